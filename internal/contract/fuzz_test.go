package contract_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// FuzzParse holds the reader of contracts to what it promises of any file: it is refused in words, or a
// contract whose every rule can be asked for, explained, and read again to the same.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(shipped, "*.yaml"))
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, "a")
	}
	for _, field := range []string{
		`{name: a, type: string, min_length: 1, max_length: 2, pattern: '^[a-z]+$', enum: [a, b]}`, `{name: a, type: int64, above: 0, max: 9223372036854775807}`,
		`{name: a, type: timestamp, not_before: 2000-01-01, max_ahead: 24h, missing: now}`, `{name: a, type: decimal(18,4), min: -99999999999999.9999, below: 1}`,
		`{name: a, type: string, min_length: -1, max_length: -1}`, `{name: a, type: date, above: 9999-12-31}`, `{name: a, type: bool}`, `&x {name: *x}`,
	} {
		f.Add([]byte("entity: a\nversion: 1\nkey: a\nfields:\n  - "+field+"\n"), "ä\x00")
	}
	f.Fuzz(func(t *testing.T, text []byte, value string) {
		c, err := contract.Parse(text)
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatalf("%q is refused with a contract, or without words", text)
			}
			return
		}
		if c.Entity == "" || c.Key < 0 || c.Key >= len(c.Fields) || c.EventTime >= len(c.Fields) {
			t.Fatalf("%q has no entity or key: %+v", text, c)
		}
		for i := range c.Fields {
			field := &c.Fields[i]
			if limits := field.Limits(); c.Index(field.Name) != i || limits.Low > limits.High || limits.MaxLength > 0 && limits.MinLength > limits.MaxLength {
				t.Fatalf("%q: no value can be valid: %+v", text, limits)
			}
			field.CheckText([]byte(value))
			field.OutOfRange(int64(len(value)))
			field.Rules()
		}
		contract.Reference([]*contract.Contract{c})
		again, err := contract.Parse([]byte(c.Source))
		if err := errors.Join(err, contract.CheckSuccessor(c, again)); err != nil {
			t.Fatalf("%q is not its own successor: %v", text, err)
		}
	})
}
