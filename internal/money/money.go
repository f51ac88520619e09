// Package money holds amounts as decimal(18,4): an int64 that counts ten-thousandths. No amount is
// ever a float, not even between two lines (I5).
package money

import (
	"errors"
	"math"
	"strconv"
)

const (
	// Scale is the number of decimals of every amount.
	Scale = 4
	// One is the amount 1 in ten-thousandths.
	One = 10_000
	// Max is the largest amount of 18 digits, in ten-thousandths.
	Max = 999_999_999_999_999_999
)

// Why a text is not an amount or an integer. The messages finish the sentence "price …".
var (
	ErrSyntax    = errors.New("must be a number")
	ErrScale     = errors.New("must have at most 4 decimals")
	ErrTooLarge  = errors.New("must have at most 14 digits before the point")
	ErrNotWhole  = errors.New("must be a whole number")
	ErrTooBigInt = errors.New("must fit 64 bits")
)

// Parse reads a JSON number, or the text of one, exactly. More than 4 decimals are refused unless
// the rest are zeros: nothing is ever rounded (I5).
func Parse(text []byte) (int64, error) {
	v, err := parse(text, Scale)
	if err != nil {
		return 0, err
	}
	if v > Max || v < -Max {
		return 0, ErrTooLarge
	}
	return v, nil
}

// ParseInteger reads a whole number in any JSON notation: 6, 6.0 and 6e0 are the same.
func ParseInteger(text []byte) (int64, error) {
	v, err := parse(text, 0)
	switch {
	case errors.Is(err, ErrScale):
		return 0, ErrNotWhole
	case errors.Is(err, ErrTooLarge):
		return 0, ErrTooBigInt
	}
	return v, err
}

// parse returns the number times 10^scale.
func parse(text []byte, scale int) (int64, error) {
	i, n := 0, len(text)
	negative := false
	if i < n && (text[i] == '-' || text[i] == '+') {
		negative = text[i] == '-'
		i++
	}
	var v uint64
	digits, decimals, point := 0, 0, false
	for ; i < n; i++ {
		c := text[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if point {
			decimals++
		}
		if v > (math.MaxUint64-9)/10 {
			// a long run of zeros behind the point changes nothing
			if point && c == '0' {
				decimals--
				continue
			}
			return 0, tooLong(point)
		}
		v = v*10 + uint64(c-'0')
	}
	if digits == 0 {
		return 0, ErrSyntax
	}
	exponent := 0
	if i < n {
		if text[i] != 'e' && text[i] != 'E' {
			return 0, ErrSyntax
		}
		e, err := strconv.ParseInt(string(text[i+1:]), 10, 16)
		if err != nil {
			return 0, ErrSyntax
		}
		exponent = int(e)
	}
	return shift(v, scale-decimals+exponent, negative)
}

func tooLong(behindPoint bool) error {
	if behindPoint {
		return ErrScale
	}
	return ErrTooLarge
}

// shift multiplies by a power of ten, refusing to lose a digit at either end.
func shift(v uint64, power int, negative bool) (int64, error) {
	for ; power > 0 && v != 0; power-- {
		if v > math.MaxInt64/10 {
			return 0, ErrTooLarge
		}
		v *= 10
	}
	for ; power < 0 && v != 0; power++ {
		if v%10 != 0 {
			return 0, ErrScale
		}
		v /= 10
	}
	if v > math.MaxInt64 {
		return 0, ErrTooLarge
	}
	if negative {
		return -int64(v), nil
	}
	return int64(v), nil
}

// Append writes an amount with two to four decimals.
func Append(b []byte, v int64) []byte {
	u := uint64(v)
	if v < 0 {
		b, u = append(b, '-'), -u
	}
	b = strconv.AppendUint(b, u/One, 10)
	f := u % One
	b = append(b, '.', byte('0'+f/1000), byte('0'+f/100%10))
	if f%100 != 0 {
		b = append(b, byte('0'+f/10%10))
		if f%10 != 0 {
			b = append(b, byte('0'+f%10))
		}
	}
	return b
}

// String is Append as a string.
func String(v int64) string { return string(Append(nil, v)) }
