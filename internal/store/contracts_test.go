package store_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// orders is a contract with these fields besides its key.
func orders(t *testing.T, version int, fields ...string) *contract.Contract {
	t.Helper()
	text := fmt.Sprintf("entity: orders\nversion: %d\nkey: id\nfields:\n  - {name: id, type: string}\n", version)
	for _, field := range fields {
		text += "  - " + field + "\n"
	}
	c, err := contract.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAContractIsAdoptedIfItFitsTheLatestOne(t *testing.T) {
	s, ctx := open(t), t.Context()
	const quantity, ruled, coupon = "{name: quantity, type: int64}", "{name: quantity, type: int64, min: 1}", "{name: coupon, type: string}"
	for _, c := range []*contract.Contract{
		orders(t, 1, quantity), orders(t, 1, quantity), orders(t, 1, ruled), orders(t, 2, ruled, coupon),
	} {
		if err := s.AdoptContracts(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // what is refused changes nothing
		err := s.AdoptContracts(ctx, orders(t, 3, coupon))
		if err == nil || !strings.Contains(err.Error(), `adopting the contract of orders: `) || !strings.Contains(err.Error(), `field "quantity": is gone`) {
			t.Errorf("a contract that lost a field: %v", err)
		}
		if err := s.AdoptContracts(ctx, orders(t, 1, quantity)); err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("an older contract: %v", err)
		}
	}
}

func TestAllContractsThatDoNotFitAreNamedAtOnce(t *testing.T) {
	s, ctx := open(t), t.Context()
	bill := func(version int, kind string) *contract.Contract {
		c := orders(t, version, "{name: total, type: "+kind+"}")
		c.Entity, c.Source = "bills", strings.Replace(c.Source, "orders", "bills", 1)
		return c
	}
	if err := s.AdoptContracts(ctx, orders(t, 1, "{name: note, type: string}"), bill(1, "int64")); err != nil {
		t.Fatal(err)
	}
	err := s.AdoptContracts(ctx, orders(t, 2), bill(2, "string"))
	for _, want := range []string{`field "note": is gone`, `field "total": was int64, is string`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named: %v", want, err)
		}
	}
}
