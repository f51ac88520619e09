package contract

// document is the shape of a contract's file; Parse turns it into a Contract whose rules are ready to
// check. Its `doc` tags are what editors and the reference say of each key.
type document struct {
	Entity    string          `yaml:"entity" doc:"What a row is, in the plural: the name of its Kafka topic and of its folder in every bucket."`
	Version   int             `yaml:"version" doc:"Counts the changes of this file: raise it with every change. Refused rows carry it."`
	Doc       string          `yaml:"doc" doc:"What a row is, in a sentence."`
	Key       string          `yaml:"key" doc:"The field that identifies a row. Of two rows with one key the later event wins."`
	EventTime string          `yaml:"event_time" doc:"The timestamp that decides which business day a row belongs to."`
	Fields    []fieldDocument `yaml:"fields" doc:"The columns, in the order that every layer stores them. Add new ones at the end."`
}

type fieldDocument struct {
	Name          string   `yaml:"name" doc:"The column's name in every layer."`
	Type          string   `yaml:"type" doc:"What the values are. Money is decimal(18,4), a time is UTC in microseconds."`
	Doc           string   `yaml:"doc" doc:"What the field says, in a sentence."`
	Required      bool     `yaml:"required" doc:"Whether a row without the field is refused."`
	Missing       string   `yaml:"missing" doc:"What stands in for an absent value: an id of its own (strings), or the time of arrival (timestamps)."`
	AcceptInteger bool     `yaml:"accept_integer" doc:"Take an integer as its decimal text, as older producers send it (strings)."`
	Min           string   `yaml:"min" doc:"The least valid value."`
	Max           string   `yaml:"max" doc:"The greatest valid value."`
	Above         string   `yaml:"above" doc:"A valid value is greater than this one."`
	Below         string   `yaml:"below" doc:"A valid value is less than this one."`
	NotBefore     string   `yaml:"not_before" doc:"The earliest valid time."`
	MaxAhead      string   `yaml:"max_ahead" doc:"How far a time may lie ahead of the moment that the row was sent, such as 24h (timestamps)."`
	MinLength     int      `yaml:"min_length" doc:"How many characters at least (strings)."`
	MaxLength     int      `yaml:"max_length" doc:"How many characters at most (strings)."`
	Pattern       string   `yaml:"pattern" doc:"A regular expression (RE2) that a value must match somewhere; anchor it with ^ and $ (strings)."`
	Enum          []string `yaml:"enum" doc:"The valid values, all of them (strings)."`
	References    string   `yaml:"references" doc:"The entity whose key the value is. STAGE looks for it there."`
	Unknown       string   `yaml:"unknown" doc:"What becomes of a row whose reference is not there: warn counts it, refuse puts it into quarantine."`
}

// The values that a key of a field may have, where they are few.
var choices = map[string][]string{
	"type":    typeNames[:],
	"missing": {"generated", "now"},
	"unknown": {"warn", "refuse"},
}

// The types of field that a key makes sense for; any, where it is not named here.
var fits = map[string][]Type{
	"accept_integer": {String},
	"min":            {Int64, Decimal, Timestamp, Date},
	"max":            {Int64, Decimal, Timestamp, Date},
	"above":          {Int64, Decimal, Timestamp, Date},
	"below":          {Int64, Decimal, Timestamp, Date},
	"not_before":     {Timestamp, Date},
	"max_ahead":      {Timestamp},
	"missing":        {String, Timestamp},
	"min_length":     {String},
	"max_length":     {String},
	"pattern":        {String},
	"enum":           {String},
	"references":     {String, Int64},
	"unknown":        {String, Int64},
}
