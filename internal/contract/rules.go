package contract

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/money"
)

// Reason is one fault of a refused row, in words a client can act on.
type Reason struct {
	Field   string `json:"field"`
	Rule    string `json:"rule"`
	Message string `json:"message"`
}

// The rules a reason can name.
const (
	RuleJSON     = "json"
	RuleRequired = "required"
	RuleType     = "type"
	RuleRange    = "range"
	RuleLength   = "length"
	RulePattern  = "pattern"
	RuleEnum     = "enum"
	// RuleReference is a value that is no key of the entity it refers to.
	RuleReference = "reference"
)

// Absent is the reason for a required value that is not there.
func (f *Field) Absent() Reason {
	return Reason{f.Name, RuleRequired, "is required"}
}

// UnknownReference is the reason for a value that is no key of the entity that the field refers to.
func (f *Field) UnknownReference(value string) Reason {
	return Reason{f.Name, RuleReference, "must be known among " + f.References + ", is " + Quote([]byte(value))}
}

// Range returns the smallest and largest valid value of a field that is held as int64, at a given
// moment; ok is false where any value is valid. A whole column is checked by its least and greatest.
func (f *Field) Range(now time.Time) (low, high int64, ok bool) {
	high = f.high
	if f.maxAhead > 0 {
		high = min(high, now.Add(f.maxAhead).UnixMicro())
	}
	return f.low, high, f.hasRange
}

// MaxAhead is how far ahead of the moment it was sent a time may lie; 0 is no limit.
func (f *Field) MaxAhead() time.Duration { return f.maxAhead }

// OutOfRange is the reason for a value that is not in Range.
func (f *Field) OutOfRange(v int64) Reason {
	text := f.hiText
	if v < f.low {
		text = f.lowText
	}
	return Reason{f.Name, RuleRange, text + ", is " + f.Format(v)}
}

// CheckText returns the reasons why a string value is refused, none for a valid one. The character U+0000
// is valid in no field: ClickHouse and Parquet can hold it, PostgreSQL and most readers of CSV cannot, and a
// row that one layer has and another loses would break I4.
func (f *Field) CheckText(v []byte) []Reason {
	var reasons []Reason
	if bytes.IndexByte(v, 0) >= 0 {
		reasons = append(reasons, Reason{f.Name, RuleType, "must not contain the character U+0000"})
	}
	if f.anyLen {
		n := len(v)
		// bytes are at least as many as characters: only where they leave a doubt are those counted
		if n > f.maxLen || f.minLen > 1 {
			n = utf8.RuneCount(v)
		}
		if n < f.minLen {
			reasons = append(reasons, Reason{f.Name, RuleLength, fmt.Sprintf("must have at least %d characters, has %d", f.minLen, n)})
		}
		if n > f.maxLen {
			reasons = append(reasons, Reason{f.Name, RuleLength, fmt.Sprintf("must have at most %d characters, has %d", f.maxLen, n)})
		}
	}
	if f.pattern != nil && !f.pattern.Match(v) {
		reasons = append(reasons, Reason{f.Name, RulePattern, "must match " + f.pattern.String() + ", is " + Quote(v)})
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, string(v)) {
		reasons = append(reasons, Reason{f.Name, RuleEnum, fmt.Sprintf("must be one of %q, is %s", f.enum, Quote(v))})
	}
	return reasons
}

// Format writes a value that is held as int64 as people write it.
func (f *Field) Format(v int64) string {
	switch f.Type {
	case Decimal:
		return money.String(v)
	case Timestamp:
		return clock.String(v)
	case Date:
		return clock.DateString(v)
	case Bool:
		return strconv.FormatBool(v != 0)
	default:
		return strconv.FormatInt(v, 10)
	}
}

const quoteLimit = 60

// Quote shows a value from outside in a message: escaped, and cut where it is long.
func Quote(v []byte) string {
	if len(v) > quoteLimit {
		return strconv.Quote(string(v[:quoteLimit])) + "…"
	}
	return strconv.Quote(string(v))
}
