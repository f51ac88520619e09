package load

import (
	"fmt"
	"math/big"
	"math/bits"
	"strings"

	"github.com/shop-connect/shop-connect/internal/money"
)

// Amount is a sum of money: ten-thousandths in 128 bits, because the revenue of a long history does
// not fit the 64 bits of a single price. Equal amounts are ==. Never a float (I5).
type Amount struct {
	hi int64
	lo uint64
}

// NewAmount widens a decimal(18,4) in ten-thousandths.
func NewAmount(units int64) Amount { return Amount{hi: units >> 63, lo: uint64(units)} }

// Add returns a + b.
func (a Amount) Add(b Amount) Amount {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	return Amount{hi: a.hi + b.hi + int64(carry), lo: lo}
}

// AddProduct returns a + price × quantity, the price in ten-thousandths.
func (a Amount) AddProduct(price, quantity int64) Amount {
	hi, lo := bits.Mul64(uint64(price), uint64(quantity))
	// Mul64 is unsigned: a negative factor reads as 2⁶⁴ too much, once per negative factor.
	high := int64(hi)
	if price < 0 {
		high -= quantity
	}
	if quantity < 0 {
		high -= price
	}
	return a.Add(Amount{hi: high, lo: lo})
}

// Units is the amount in ten-thousandths.
func (a Amount) Units() *big.Int {
	units := new(big.Int).Lsh(big.NewInt(a.hi), 64)
	return units.Add(units, new(big.Int).SetUint64(a.lo))
}

// AmountOf narrows ten-thousandths to an Amount.
func AmountOf(units *big.Int) (Amount, error) {
	if units.BitLen() > 127 {
		return Amount{}, fmt.Errorf("reading amount %s: it needs more than 128 bits", units)
	}
	mask := new(big.Int).SetUint64(^uint64(0))
	return Amount{
		hi: new(big.Int).Rsh(units, 64).Int64(),
		lo: new(big.Int).And(units, mask).Uint64(),
	}, nil
}

// ParseAmount reads a decimal number with at most 4 decimals.
func ParseAmount(text string) (Amount, error) {
	whole, decimals, _ := strings.Cut(text, ".")
	if len(decimals) > money.Scale {
		return Amount{}, fmt.Errorf("reading amount %q: it has more than %d decimals", text, money.Scale)
	}
	digits := whole + decimals + strings.Repeat("0", money.Scale-len(decimals))
	units, ok := new(big.Int).SetString(digits, 10)
	if !ok || whole == "" {
		return Amount{}, fmt.Errorf("reading amount %q: it is not a decimal number", text)
	}
	return AmountOf(units)
}

// String writes the amount with two to four decimals.
func (a Amount) String() string {
	units := a.Units()
	sign := ""
	if units.Sign() < 0 {
		sign, units = "-", units.Neg(units)
	}
	whole, rest := new(big.Int).QuoRem(units, big.NewInt(money.One), new(big.Int))
	decimals := fmt.Sprintf("%04d", rest.Int64())
	for len(decimals) > 2 && decimals[len(decimals)-1] == '0' {
		decimals = decimals[:len(decimals)-1]
	}
	return sign + whole.String() + "." + decimals
}
