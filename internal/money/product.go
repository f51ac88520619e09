package money

import "math/big"

// Times writes an amount times a number, exactly, however large it is.
func (a Amount) Times(n int64) string {
	product := new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(n))
	if product.IsInt64() {
		return String(product.Int64())
	}
	whole, rest := new(big.Int).QuoRem(product, big.NewInt(One), new(big.Int))
	decimals := String(rest.Abs(rest).Int64())
	return whole.String() + decimals[1:] // without its zero
}
