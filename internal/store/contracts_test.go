package store_test

import (
	"errors"
	"strings"
	"testing"
)

func TestAContractIsAdoptedIfItFitsTheLatestOne(t *testing.T) {
	s, ctx := open(t), t.Context()
	var asked []string
	fits := func(latest string) error { asked = append(asked, latest); return nil }
	for _, step := range []struct {
		version  int
		document string
	}{{1, "a"}, {1, "a"}, {2, "b"}, {2, "c"}} {
		if err := s.AdoptContract(ctx, "orders", step.version, step.document, fits); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(asked, " "); got != "a b" {
		t.Errorf("held against %q, want the first for b and the second for c", got)
	}
	refusal := errors.New("does not fit")
	for range 2 {
		err := s.AdoptContract(ctx, "orders", 3, "d", func(latest string) error {
			if latest != "c" {
				t.Errorf("held against %q", latest)
			}
			return refusal
		})
		if !errors.Is(err, refusal) || !strings.Contains(err.Error(), "orders") {
			t.Errorf("a contract that does not fit: %v", err)
		}
	}
}
