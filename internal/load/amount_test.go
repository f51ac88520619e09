package load

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestAmountAddsProductsLikeBigIntegers(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	sum, want := Amount{}, new(big.Int)
	for range 10_000 {
		price, quantity := int64(r.Uint64())>>r.IntN(60), int64(r.Uint64())>>(2+r.IntN(60))
		sum = sum.AddProduct(price, quantity)
		want.Add(want, new(big.Int).Mul(big.NewInt(price), big.NewInt(quantity)))
		if sum.Units().Cmp(want) != 0 {
			t.Fatalf("after %d × %d the sum is %s, it should be %s", price, quantity, sum.Units(), want)
		}
		back, err := ParseAmount(sum.String())
		if err != nil || back != sum {
			t.Fatalf("%s reads back as %s (%v)", sum, back, err)
		}
	}
}

func TestAmountKeepsTwoToFourDecimals(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0.00", "1.5": "1.50", "3332591.961": "3332591.961", "0.0001": "0.0001", "-0.5": "-0.50",
		"123456789012345678901234.5678": "123456789012345678901234.5678",
	} {
		a, err := ParseAmount(text)
		if err != nil || a.String() != want {
			t.Errorf("%s is written %s (%v), it should be %s", text, a, err, want)
		}
	}
	for _, text := range []string{"", "x", "1.23456", "1e3"} {
		if a, err := ParseAmount(text); err == nil {
			t.Errorf("%q was read as %s", text, a)
		}
	}
}
