package contract_test

import (
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/contract"
)

const before = `
entity: orders
version: 1
key: id
event_time: at
fields:
  - {name: id, type: string}
  - {name: at, type: timestamp, required: true}
  - {name: note, type: string}
`

func parse(t *testing.T, text string) *contract.Contract {
	t.Helper()
	c, err := contract.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACompatibleContractFollows(t *testing.T) {
	old := parse(t, before)
	for name, next := range map[string]string{
		"nothing changed":          before,
		"only a rule":              strings.Replace(before, "note, type: string", "note, type: string, max_length: 10", 1),
		"an optional field more":   strings.Replace(before, "version: 1", "version: 2", 1) + "  - {name: coupon_code, type: string}\n",
		"a required field relaxed": strings.NewReplacer("version: 1", "version: 2", "required: true", "required: false").Replace(before),
	} {
		if err := contract.CheckSuccessor(old, parse(t, next)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnIncompatibleContractIsRefusedWithEveryReason(t *testing.T) {
	err := contract.CheckSuccessor(parse(t, before), parse(t, `
entity: orders
version: 1
key: note
fields:
  - {name: at, type: date}
  - {name: note, type: string, required: true}
  - {name: buyer, type: int64, required: true}
`))
	if err == nil {
		t.Fatal("the contract is accepted")
	}
	for _, want := range []string{
		`version: is 1, and 1 is in use`, `key: was "id", is "note"`, `event_time: was "at", is ""`, `field "id": is gone`,
		`field "at": was timestamp, is date`, `field "note": was optional, is required`, `field "buyer": is new and required`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}
