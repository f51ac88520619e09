package contract

import "math"

// Limits are the rules of a field that do not change with time, for whoever describes them to others.
type Limits struct {
	// Low and High are the least and the greatest valid value of a field that is held as int64.
	Low, High int64
	// MinLength and MaxLength count characters; MaxLength is 0 where there is none.
	MinLength, MaxLength int
	// Pattern is a regular expression that a text must match; empty for none.
	Pattern string
	// Enum holds the texts that are valid, where not all are.
	Enum []string
}

// Limits returns the field's rules.
func (f *Field) Limits() Limits {
	l := Limits{Low: f.low, High: f.high, MinLength: f.minLen, MaxLength: f.maxLen, Enum: f.enum}
	if l.MaxLength == math.MaxInt32 {
		l.MaxLength = 0
	}
	if f.pattern != nil {
		l.Pattern = f.pattern.String()
	}
	return l
}
