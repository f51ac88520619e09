package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/money"
)

// Type is what a field's values are, in every layer alike.
type Type uint8

// The types of fields. Values of all but String are held as int64: Int64 as itself, Decimal times
// 10⁴ (I5), Timestamp in microseconds since 1970 UTC (I6), Date in days since 1970, Bool as 0 or 1.
const (
	String Type = iota
	Int64
	Decimal
	Timestamp
	Date
	Bool
)

var typeNames = [...]string{String: "string", Int64: "int64", Decimal: "decimal(18,4)", Timestamp: "timestamp", Date: "date", Bool: "bool"}

func (t Type) String() string { return typeNames[t] }

// Missing says what stands in for an absent value.
type Missing uint8

const (
	// MissingNull leaves the value out.
	MissingNull Missing = iota
	// MissingGenerated gives the row an id: a UUIDv7 at the API edge, else one derived from the
	// record's place in Kafka, so that a redelivery gets the same one.
	MissingGenerated
	// MissingNow takes the time of arrival at the API edge. In Kafka the value stays absent.
	MissingNow
)

// Field is one column of an entity, with the rules its values obey.
type Field struct {
	Name     string
	Type     Type
	Doc      string
	Required bool
	Missing  Missing
	// AcceptInteger lets a string field take a JSON integer as its decimal text (old producers).
	AcceptInteger bool
	// References names the entity whose key the values are, empty where they are no reference.
	References string
	// RefuseUnknown makes a reference to what is not there a reason to refuse the row, not just a warning.
	RefuseUnknown bool

	low, high        int64
	lowText, hiText  string
	maxAhead         time.Duration
	minLen, maxLen   int
	pattern          *regexp.Regexp
	enum             []string
	hasRange, anyLen bool
}

// fieldName is what is a column's name in Parquet, PostgreSQL, ClickHouse, Iceberg and Spark without quotes. Files
// keep names with a leading _ for columns of their own.
var fieldName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// taken are the columns that layers add to the contracts' fields.
var taken = []string{"deleted", "version", "is_deleted", "purchase_date", "purchase_hour", "slice", "total_price"}

func (d *fieldDocument) build() (Field, error) {
	f := Field{
		Name: d.Name, Doc: d.Doc, Required: d.Required, AcceptInteger: d.AcceptInteger,
		low: math.MinInt64, high: math.MaxInt64, minLen: d.MinLength, maxLen: d.MaxLength, enum: d.Enum,
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	switch {
	case d.Name == "":
		fault("name: is required")
	case !fieldName.MatchString(d.Name):
		fault("name: %q must be lower-case letters, digits and _, beginning with a letter, at most 63 of them: it is a column of every layer", d.Name)
	case slices.Contains(taken, d.Name):
		fault("name: %q belongs to a column of a layer's own; rename the field", d.Name)
	}
	kind := slices.Index(typeNames[:], d.Type)
	if kind < 0 {
		fault("type: %q is unknown; use one of %s", d.Type, strings.Join(typeNames[:], ", "))
		return f, errors.Join(faults...)
	}
	f.Type = Type(kind)
	switch d.Missing {
	case "":
	case "generated":
		f.Missing = MissingGenerated
	case "now":
		f.Missing = MissingNow
	default:
		fault("missing: %q is unknown; use generated or now", d.Missing)
	}
	if (f.Missing == MissingGenerated && f.Type != String) || (f.Missing == MissingNow && f.Type != Timestamp) {
		fault("missing: %q does not fit type %s", d.Missing, f.Type)
	}
	d.buildRange(&f, fault)
	d.buildText(&f, fault)
	d.buildReference(&f, fault)
	return f, errors.Join(faults...)
}

func (d *fieldDocument) buildRange(f *Field, fault func(string, ...any)) {
	bound := func(key, text string, step int64, into *int64, say *string, phrase string) {
		if text == "" {
			return
		}
		v, err := parseBound(f.Type, text)
		if err != nil {
			fault("%s: %w", key, err)
			return
		}
		*into, *say, f.hasRange = v+step, phrase+" "+text, true
	}
	bound("min", d.Min, 0, &f.low, &f.lowText, "must be at least")
	bound("above", d.Above, 1, &f.low, &f.lowText, "must be greater than")
	bound("max", d.Max, 0, &f.high, &f.hiText, "must be at most")
	bound("below", d.Below, -1, &f.high, &f.hiText, "must be less than")
	bound("not_before", d.NotBefore, 0, &f.low, &f.lowText, "must not be before")
	if d.MaxAhead != "" {
		ahead, err := time.ParseDuration(d.MaxAhead)
		if err != nil || f.Type != Timestamp || ahead <= 0 {
			fault("max_ahead: %q must be a duration such as 24h, on a timestamp", d.MaxAhead)
		}
		f.maxAhead, f.hasRange = ahead, true
		f.hiText = "must not be more than " + d.MaxAhead + " ahead of when it was sent"
	}
	if f.low > f.high {
		fault("no value can be both %q and %q", f.lowText, f.hiText)
	}
}

// maxAnyLength is the length of a text that has no limit of its own.
const maxAnyLength = math.MaxInt32

func (d *fieldDocument) buildText(f *Field, fault func(string, ...any)) {
	f.anyLen = d.MinLength != 0 || d.MaxLength != 0
	if f.Type != String && (f.anyLen || d.Pattern != "" || len(d.Enum) > 0 || d.AcceptInteger) {
		fault("min_length, max_length, pattern, enum and accept_integer belong to strings, not to type %s", f.Type)
	}
	if d.MaxLength > 0 && d.MinLength > d.MaxLength {
		fault("min_length %d is above max_length %d", d.MinLength, d.MaxLength)
	}
	if f.maxLen == 0 {
		f.maxLen = maxAnyLength
	}
	if d.Pattern != "" {
		re, err := regexp.Compile(d.Pattern)
		if err != nil {
			fault("pattern: %w", err)
		}
		f.pattern = re
	}
}

func (d *fieldDocument) buildReference(f *Field, fault func(string, ...any)) {
	f.References, f.RefuseUnknown = d.References, d.Unknown == "refuse"
	switch {
	case d.Unknown != "" && d.References == "":
		fault("unknown: says what to do with an unknown reference, and there is no `references`")
	case d.Unknown != "" && d.Unknown != "warn" && d.Unknown != "refuse":
		fault("unknown: %q is unknown; use warn or refuse", d.Unknown)
	case d.References != "" && f.Type != String && f.Type != Int64:
		fault("references: keys are of type string or int64, not %s", f.Type)
	}
}

func parseBound(t Type, text string) (int64, error) {
	switch t {
	case Int64:
		return money.ParseInteger([]byte(text))
	case Decimal:
		return money.Parse([]byte(text))
	case Timestamp:
		return clock.Parse([]byte(text), time.UTC)
	case Date:
		return clock.ParseDate([]byte(text))
	default:
		return 0, fmt.Errorf("a range does not fit type %s", t)
	}
}

func newReader(raw []byte) io.Reader { return bytes.NewReader(raw) }
