package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFaultNamesFileLineAndTheNameThatWasMeant(t *testing.T) {
	for typo, want := range map[string]struct{ in, meant string }{
		"field of a component of ours":   {"output: {s3_parquet: {day_foldr: a}}", "day_folder"},
		"field of a component of theirs": {"input: {redpanda: {consumer_gruop: a}}", "consumer_group"},
		"component":                      {"output: {s3_parqet: {}}", "s3_parquet"},
	} {
		t.Run(typo, func(t *testing.T) {
			dir := t.TempDir()
			text := "# a stream\ninput: {generate: {mapping: root = 1}}\n" + want.in + "\n"
			if strings.HasPrefix(want.in, "input") {
				text = "# a stream\noutput: {drop: {}}\n" + want.in + "\n"
			}
			if err := os.WriteFile(filepath.Join(dir, "typo.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := newPipelines(dir, streamsAPI{}, Environment(), slog.New(slog.DiscardHandler)).check()
			if err == nil || !strings.Contains(err.Error(), "typo.yaml:3:") || !strings.Contains(err.Error(), "did you mean "+want.meant+"?") {
				t.Errorf("the fault reads: %v", err)
			}
		})
	}
}
