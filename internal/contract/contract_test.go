package contract_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/contract"
)

func TestTheShippedContractsLoad(t *testing.T) {
	contracts, err := contract.LoadDir(filepath.Join("..", "..", "pipelines", "contracts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entity := range []string{"purchases", "products", "customers", "sellers", "purchase_product_facts"} {
		if contracts[entity] == nil {
			t.Errorf("there is no contract for %s", entity)
		}
	}
	// a fact is a purchase and more: the two files must not drift apart
	facts, purchases := contracts["purchase_product_facts"], contracts["purchases"]
	for i, field := range purchases.Fields {
		if facts.Fields[i].Name != field.Name || facts.Fields[i].Type != field.Type || facts.Fields[i].Required != field.Required {
			t.Errorf("field %d of facts is %s, of purchases %s", i, facts.Fields[i].Name, field.Name)
		}
	}
}

func TestEveryFaultOfAContractIsReportedAtOnce(t *testing.T) {
	_, err := contract.Parse([]byte(`
version: 0
key: nope
event_time: id
fields:
  - {name: id, type: string, min: 1}
  - {name: id, type: text}
  - {name: price, type: "decimal(18,4)", above: 1, max: 0.5, pattern: "["}
  - {name: at, type: timestamp, missing: later, max_ahead: soon}
  - {type: int64}
`))
	if err == nil {
		t.Fatal("the contract is accepted")
	}
	for _, want := range []string{
		"entity: is required", "version:", `key: "nope"`, `event_time: "id"`, "a range does not fit type string", `type: "text" is unknown`,
		"taken by an earlier field", "no value can be both", "pattern", `missing: "later"`, `max_ahead: "soon"`, "name: is required",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestAMisspeltKeyIsNamed(t *testing.T) {
	_, err := contract.Parse([]byte("entity: a\nversion: 1\nkey: id\nfields: [{name: id, type: string, requird: true}]\n"))
	if err == nil || !strings.Contains(err.Error(), "requird") {
		t.Errorf("the error does not name the key: %v", err)
	}
}

func TestI4NoTextMayHoldWhatOneLayerCannotKeep(t *testing.T) {
	c, err := contract.Parse([]byte("entity: a\nversion: 1\nkey: id\nfields: [{name: id, type: string}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"\x00", "a\x00b", "яя\x00"} {
		if reasons := c.Fields[0].CheckText([]byte(text)); len(reasons) != 1 || reasons[0].Rule != contract.RuleType || !strings.Contains(reasons[0].Message, "U+0000") {
			t.Errorf("%q: %v", text, reasons)
		}
	}
}

func TestLengthsAreCountedInCharacters(t *testing.T) {
	c, err := contract.Parse([]byte("entity: a\nversion: 1\nkey: id\nfields: [{name: id, type: string, min_length: 3, max_length: 4}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, valid := range map[string]bool{"яя": false, "яяя": true, "яяяя": true, "яяяяя": false, "ab": false, "abcd": true, "": false} {
		if reasons := c.Fields[0].CheckText([]byte(text)); (len(reasons) == 0) != valid {
			t.Errorf("%q: %v", text, reasons)
		}
	}
}

// A name that one layer cannot hold would stop that layer's streams once the contract is in use for good.
func TestNamesThatALayerCannotHoldAreRefusedWithEveryReason(t *testing.T) {
	_, err := contract.Parse([]byte("{entity: x, version: 1, key: id, fields: [{name: id, type: string, required: true}, " +
		"{name: _value, type: string}, {name: a.b, type: bool}, {name: Big, type: bool}, {name: deleted, type: bool}, {name: purchase_date, type: date}]}"))
	if err == nil {
		t.Fatal("they were taken")
	}
	for _, name := range []string{"_value", "a.b", "Big", "deleted", "purchase_date"} {
		if !strings.Contains(err.Error(), `"`+name+`"`) {
			t.Errorf("the error lacks %s:\n%v", name, err)
		}
	}
}
