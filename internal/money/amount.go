package money

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// Amount is an amount of money in ten-thousandths. Its JSON form is an exact number with two to four
// decimals; it is read from a number or from the text of one (I5).
type Amount int64

// String writes an amount as its JSON form does.
func (a Amount) String() string { return String(int64(a)) }

// MarshalJSON writes a number with two to four decimals.
func (a Amount) MarshalJSON() ([]byte, error) { return Append(nil, int64(a)), nil }

// UnmarshalJSON reads a number, or the text of one. A null leaves the amount as it is.
func (a *Amount) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	text := raw
	if n := len(raw); n >= 2 && raw[0] == '"' && raw[n-1] == '"' {
		text = raw[1 : n-1]
	}
	v, err := Parse(text)
	if err != nil {
		return fmt.Errorf("reading amount %s: %w", raw, err)
	}
	*a = Amount(v)
	return nil
}

// Value hands an amount to a PostgreSQL numeric as text: an integer would be taken for whole units.
func (a Amount) Value() (driver.Value, error) { return a.String(), nil }

// Scan reads a PostgreSQL numeric, which database/sql and pgx hand over as text.
func (a *Amount) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return errors.New("reading amount: it is not the text of a numeric")
	}
	v, err := Parse([]byte(text))
	if err != nil {
		return fmt.Errorf("reading amount %s: %w", text, err)
	}
	*a = Amount(v)
	return nil
}
