package money_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/shop-connect/shop-connect/internal/money"
)

func TestAmountsAreReadExactlyOrRefused(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "1": 10_000, "2.55": 25_500, "-2.55": -25_500, "0.0001": 1, "0.1": 1_000,
		"1.50000000000": 15_000, "1e2": 1_000_000, "1.5E-3": 15, "25e-4": 25, "1000e-7": 1,
		"99999999999999.9999": money.Max, "-99999999999999.9999": -money.Max, "0e999": 0,
		"0.00000000000000000000000000000000000000": 0, "1.0000000000000000000000000000000000000": 10_000,
	} {
		if got, err := money.Parse([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": money.ErrSyntax, "-": money.ErrSyntax, ".": money.ErrSyntax, "abc": money.ErrSyntax, "NaN": money.ErrSyntax,
		"1,5": money.ErrSyntax, "1e": money.ErrSyntax, "1e99999999": money.ErrSyntax, "0x10": money.ErrSyntax, "1\t": money.ErrSyntax,
		"0.00001": money.ErrScale, "1.23456": money.ErrScale, "1e-5": money.ErrScale, "1e-999": money.ErrScale,
		"100000000000000": money.ErrTooLarge, "1e15": money.ErrTooLarge, "99999999999999999999999999": money.ErrTooLarge, "1e999": money.ErrTooLarge,
	} {
		if got, err := money.Parse([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%q: %d, %v; want %v", text, got, err, want)
		}
	}
}

func TestWholeNumbersInAnyNotation(t *testing.T) {
	for text, want := range map[string]int64{"6": 6, "6.0": 6, "6e0": 6, "60e-1": 6, "-9223372036854775807": -9223372036854775807} {
		if got, err := money.ParseInteger([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]error{"6.5": money.ErrNotWhole, "9223372036854775808": money.ErrTooBigInt, "x": money.ErrSyntax} {
		if _, err := money.ParseInteger([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestAmountsAreWrittenWithTwoToFourDecimals(t *testing.T) {
	for v, want := range map[int64]string{0: "0.00", 1: "0.0001", 10: "0.001", 100: "0.01", 25_500: "2.55", -25_501: "-2.5501", money.Max: "99999999999999.9999"} {
		if got := money.String(v); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
	}
}

// FuzzParse compares with arithmetic that has no limits.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1.5", "-0.0001", "1e3", "99999999999999.9999", "1.00005", "00012.10"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := money.Parse([]byte(text))
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("%q is no number, read as %d", text, got)
		}
		if exact.Mul(exact, big.NewRat(money.One, 1)).Cmp(new(big.Rat).SetInt64(got)) != 0 {
			t.Fatalf("%q read as %d", text, got)
		}
		if again, err := money.Parse(money.Append(nil, got)); err != nil || again != got {
			t.Fatalf("%d is written as %q and read as %d, %v", got, money.Append(nil, got), again, err)
		}
	})
}
