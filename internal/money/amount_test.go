package money_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/shop-connect/shop-connect/internal/money"
)

func TestI5AmountsPassThroughJSONExactly(t *testing.T) {
	for given, want := range map[string]string{
		`1`: `1.00`, `"19.99"`: `19.99`, `0.1`: `0.10`, `0.0001`: `0.0001`, `1.230`: `1.23`, `1e2`: `100.00`,
		`99999999999999.9999`: `99999999999999.9999`, `-2.5`: `-2.50`,
	} {
		var a money.Amount
		if err := json.Unmarshal([]byte(given), &a); err != nil {
			t.Fatalf("%s: %v", given, err)
		}
		if got, err := json.Marshal(a); err != nil || string(got) != want {
			t.Errorf("%s became %s, want %s (%v)", given, got, want, err)
		}
	}
}

func TestI5WhatIsNoAmountIsRefused(t *testing.T) {
	for given, want := range map[string]error{
		`0.00001`: money.ErrScale, `"x"`: money.ErrSyntax, `true`: money.ErrSyntax, `100000000000000`: money.ErrTooLarge, `""`: money.ErrSyntax,
	} {
		var a money.Amount
		if err := json.Unmarshal([]byte(given), &a); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", given, err, want)
		}
	}
}

func TestI5AmountsGoToAndFromTheDatabaseAsText(t *testing.T) {
	if v, err := money.Amount(199900).Value(); err != nil || v != "19.99" {
		t.Errorf("got %v, %v", v, err)
	}
	var a money.Amount
	if err := a.Scan("12.3450"); err != nil || a != 123450 {
		t.Errorf("got %d, %v", a, err)
	}
	if err := a.Scan(12.345); err == nil {
		t.Error("a float is read as an amount")
	}
}
