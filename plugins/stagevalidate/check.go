package stagevalidate

import (
	"math"
	"math/bits"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/references"
)

// What is known of a row. A row without marks is a good one.
const (
	markDeleted = 1 << iota // only its key is held against the contract
	markSkipped             // it is in STAGE or quarantine already
	markRefused
)

// rowGroup is what is known of the rows of one row group.
type rowGroup struct {
	number int
	// firstRow is the number of its first row in the object.
	firstRow int64
	marks    []uint8
	reasons  map[int][]contract.Reason

	skipped, refused int
}

func (g *rowGroup) len() int { return len(g.marks) }

// good is the number of rows that go to STAGE.
func (g *rowGroup) good() int { return g.len() - g.skipped - g.refused }

func (g *rowGroup) skip(row int) {
	g.marks[row] |= markSkipped
	g.skipped++
}

func (g *rowGroup) refuse(row int, reasons ...contract.Reason) {
	if g.marks[row]&markSkipped != 0 {
		return // its faults were told when it first came
	}
	if g.marks[row]&markRefused == 0 {
		g.marks[row] |= markRefused
		g.refused++
	}
	g.reasons[row] = append(g.reasons[row], reasons...)
}

// checker holds the columns of row groups against the contract.
type checker struct {
	file    *file
	now     time.Time
	scratch []int64
	// directory has the keys that values may refer to; nil asks nothing of them.
	directory *references.Directory
	// references are by the index of their field.
	references map[int]*reference
	// sent is when each row of the group was sent, for contracts that limit how far ahead a time may be.
	sent []int64
}

// check marks the deletions and the rows that the contract refuses.
func (c *checker) check(g *rowGroup) error {
	if err := c.markDeletions(g); err != nil {
		return err
	}
	if err := c.readSent(g); err != nil {
		return err
	}
	for i := range c.file.layout.Contract.Fields {
		if err := c.checkField(g, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) markDeletions(g *rowGroup) error {
	column := c.file.layout.Index(parquetfile.ColumnDeleted)
	return c.file.eachPage(g.number, column, func(page parquet.Page, first int) error {
		rows, values := int(page.NumRows()), page.Data()
		for i, eight := range values.Boolean() {
			for ; eight != 0; eight &= eight - 1 {
				if row := 8*i + bits.TrailingZeros8(eight); row < rows {
					g.marks[first+row] |= markDeleted
				}
			}
		}
		return nil
	})
}

// readSent reads the records' own timestamps: a time is ahead of when it was sent, not of when STAGE is
// made, so that every layer and every replay comes to the same verdict.
func (c *checker) readSent(g *rowGroup) error {
	limited := slices.ContainsFunc(c.file.layout.Contract.Fields, func(f contract.Field) bool { return f.MaxAhead() > 0 })
	if !limited {
		return nil
	}
	c.sent = slices.Grow(c.sent[:0], g.len())[:g.len()]
	return c.file.eachPage(g.number, c.file.layout.Index(parquetfile.ColumnTimestamp), func(page parquet.Page, first int) error {
		copy(c.sent[first:], integers(page, nil))
		return nil
	})
}

// tooFarAhead reports whether a time lies further ahead of when its row was sent than the field allows.
func (c *checker) tooFarAhead(field *contract.Field, v int64, row int) bool {
	if field.MaxAhead() == 0 || v <= c.sent[row] {
		return false
	}
	sent := c.now
	if c.sent[row] != 0 {
		// as in columns.Decoder: timestamps are cut to milliseconds
		sent = time.UnixMicro(c.sent[row]).Add(time.Millisecond)
	}
	_, high, _ := field.Range(sent)
	return v > high
}

func (c *checker) checkField(g *rowGroup, i int) error {
	field, key := &c.file.layout.Contract.Fields[i], i == c.file.layout.Contract.Key
	if c.file.columns[i] < 0 {
		// an older file: the field was added since
		for row := range g.marks {
			c.absent(g, field, key, row)
		}
		return nil
	}
	refer, err := c.referTo(c.file.source.ctx, i)
	if err != nil {
		return err
	}
	var low, high int64
	var verdicts dictionaryVerdicts
	if field.Type != contract.String {
		low, high = limits(field)
	}
	err = c.file.eachPage(g.number, i, func(page parquet.Page, first int) error {
		rows := rowsIn(page, first)
		if (field.Required || key) && rows.nulls {
			for n, level := range page.DefinitionLevels() {
				if level == 0 {
					c.absent(g, field, key, first+n)
				}
			}
		}
		switch field.Type {
		case contract.Bool:
		case contract.String:
			c.checkTexts(g, field, key, page, &rows, refer, &verdicts)
		default:
			c.checkIntegers(g, field, key, page, &rows, refer, low, high)
		}
		return nil
	})
	if err != nil || refer == nil {
		return err
	}
	return refer.decide(c.file.source.ctx, g)
}

func (c *checker) absent(g *rowGroup, field *contract.Field, key bool, row int) {
	switch {
	case key && g.marks[row]&markDeleted != 0:
		g.refuse(row, contract.Reason{Field: field.Name, Rule: contract.RuleRequired, Message: "is required in a deletion"})
	case key || (field.Required && g.marks[row]&markDeleted == 0):
		g.refuse(row, field.Absent())
	}
}

func (c *checker) checkIntegers(g *rowGroup, field *contract.Field, key bool, page parquet.Page, rows *rowsOf, refer *reference, low, high int64) {
	values := integers(page, c.scratch[:0])
	if page.Dictionary() != nil {
		c.scratch = values
	}
	ahead := field.MaxAhead() > 0
	for i, v := range values {
		if v >= low && v <= high && !ahead {
			continue
		}
		row := rows.row(i)
		if v >= low && v <= high && !c.tooFarAhead(field, v, row) {
			continue
		}
		if key || g.marks[row]&markDeleted == 0 {
			g.refuse(row, outOfLimits(field, v))
		}
	}
	if refer == nil {
		return
	}
	refer.keys.EachUnknown(values, func(n int) {
		row, v := rows.row(n), values[n]
		// what is no valid value need not be known
		if v >= low && v <= high && (key || g.marks[row]&markDeleted == 0) {
			refer.numbers.add(row, v)
		}
	})
}

// limits narrows what a contract allows to what the type can hold: RAW cannot go past it, but files of
// other writers can.
func limits(field *contract.Field) (low, high int64) {
	low, high = typeLimits(field.Type)
	if l, h, ok := field.Range(endOfTime); ok {
		low, high = max(low, l), min(high, h)
	}
	return low, high
}

// endOfTime leaves out the limit on how far ahead a time may be: tooFarAhead knows it by row.
var endOfTime = time.UnixMicro((lastDay + 1) * microsPerDay)

// The years 1 to 9999.
const (
	firstDay = -719_162
	lastDay  = 2_932_896

	microsPerDay = 86_400_000_000
)

func typeLimits(t contract.Type) (low, high int64) {
	switch t {
	case contract.Decimal:
		return -money.Max, money.Max
	case contract.Timestamp:
		return firstDay * microsPerDay, (lastDay+1)*microsPerDay - 1
	case contract.Date:
		return firstDay, lastDay
	default:
		return math.MinInt64, math.MaxInt64
	}
}

func outOfLimits(field *contract.Field, v int64) contract.Reason {
	if low, high := typeLimits(field.Type); v < low || v > high {
		message := clock.ErrRange.Error()
		if field.Type == contract.Decimal {
			message = money.ErrTooLarge.Error()
		}
		return contract.Reason{Field: field.Name, Rule: contract.RuleType, Message: message}
	}
	return field.OutOfRange(v)
}

// dictionaryVerdicts remembers which values of a dictionary are refused: a dictionary serves many pages.
type dictionaryVerdicts struct {
	of     parquet.Dictionary
	values []textVerdict
	any    bool
}

// textVerdict is what is wrong with a text: reasons to refuse it, or that it refers to nothing.
type textVerdict struct {
	reasons []contract.Reason
	unknown bool
	text    string // where it is unknown
}

func (v *textVerdict) wrong() bool { return v.unknown || v.reasons != nil }

func judgeText(field *contract.Field, refer *reference, v []byte) (verdict textVerdict) {
	verdict.reasons = checkText(field, v)
	// what is no valid value need not be known
	if verdict.reasons == nil && refer != nil && !refer.keys.HasText(v) {
		verdict.unknown, verdict.text = true, string(v)
	}
	return verdict
}

func (c *checker) checkTexts(g *rowGroup, field *contract.Field, key bool, page parquet.Page, rows *rowsOf, refer *reference, verdicts *dictionaryVerdicts) {
	values := textsOf(page)
	execute := func(i int, verdict *textVerdict) {
		row := rows.row(i)
		switch {
		case !key && g.marks[row]&markDeleted != 0:
		case verdict.unknown:
			refer.texts.add(row, verdict.text)
		case verdict.reasons != nil:
			g.refuse(row, verdict.reasons...)
		}
	}
	if values.dictionary == nil {
		for i := range values.len() {
			if verdict := judgeText(field, refer, values.at(i)); verdict.wrong() {
				execute(i, &verdict)
			}
		}
		return
	}
	if verdicts.of != values.dictionary {
		*verdicts = dictionaryVerdicts{of: values.dictionary, values: make([]textVerdict, values.dictionary.Len())}
		for k := range verdicts.values {
			verdicts.values[k] = judgeText(field, refer, values.dictionary.Index(int32(k)).ByteArray())
			verdicts.any = verdicts.any || verdicts.values[k].wrong()
		}
	}
	// the copy of a row group with an index past its dictionary would be unreadable
	known := uint32(len(verdicts.values))
	for i, index := range values.indexes {
		if uint32(index) >= known {
			panic("an index lies past the dictionary")
		}
		if verdicts.any && verdicts.values[index].wrong() {
			execute(i, &verdicts.values[index])
		}
	}
}

func checkText(field *contract.Field, v []byte) []contract.Reason {
	if !utf8.Valid(v) {
		return []contract.Reason{{Field: field.Name, Rule: contract.RuleType, Message: "must be valid UTF-8"}}
	}
	return field.CheckText(v)
}
