package stagevalidate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// A contract that the streams refuse, because stored rows do not fit it, must not judge rows here either.
func TestRowsAreNotHeldAgainstAContractThatRowsStoredSoFarDoNotFit(t *testing.T) {
	l := newLake(t)
	l.process(l.processor, l.put(rawKey("2026-01-02", 0), encode(t, "purchases", goodRows(0, 9)...)))

	text, err := os.ReadFile(contractPath)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "version: 1", "version: 2", 1)
	edited = strings.Replace(edited, "name: quantity", "name: pieces", 1)
	path := filepath.Join(t.TempDir(), "purchases.yaml")
	if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	next := l.put(rawKey("2026-01-02", 10), encode(t, "purchases", goodRows(10, 19)...))
	shipped := l.yaml
	l.yaml = strings.Replace(l.yaml, contractPath, path, 1)
	refusing := l.newProcessor()
	for range 2 { // a run tries again
		_, err = refusing.ProcessBatch(t.Context(), service.MessageBatch{next.Copy()})
		if err == nil || !strings.Contains(err.Error(), "adopting the contract of purchases: ") || !strings.Contains(err.Error(), `field "quantity": is gone`) {
			t.Fatalf("staging by an incompatible contract: %v", err)
		}
	}
	if keys := l.keys(l.quarantine); len(keys) > 0 {
		t.Errorf("quarantined %q", keys)
	}

	l.yaml = shipped
	if r := l.process(l.newProcessor(), next)[0]; r.RowsOut != 10 {
		t.Errorf("after the edit is taken back: %+v", r)
	}
}
