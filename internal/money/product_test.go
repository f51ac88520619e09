package money_test

import (
	"testing"

	"github.com/shop-connect/shop-connect/internal/money"
)

func TestI5ATotalIsExactHoweverLarge(t *testing.T) {
	for _, tc := range []struct {
		price money.Amount
		times int64
		want  string
	}{
		{199_900, 3, "59.97"},
		{1, 3, "0.0003"},
		{money.Max, 1_000_000_000, "99999999999999999900000.00"},
		{money.Max, 999_999_999, "99999999899999999900000.0001"},
		{-money.Max, 1000, "-99999999999999999.90"},
	} {
		if got := tc.price.Times(tc.times); got != tc.want {
			t.Errorf("%s times %d is %s, want %s", tc.price, tc.times, got, tc.want)
		}
	}
}
