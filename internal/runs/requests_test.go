package runs_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestFaultsOfARequestAreNamed(t *testing.T) {
	ledger, err := store.Open(t.Context(), testservers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ledger.Close)
	s := &runs.Client{StreamsURL: "http://127.0.0.1:1", Dir: "../../streams", Store: ledger}
	for name, test := range map[string]struct {
		params map[string]string
		want   []string
	}{
		"unknown parameter":    {map[string]string{"entty": "x"}, []string{`"entty"`, "folder"}},
		"quotes in a value":    {map[string]string{"entity": `x" }`}, []string{`"entity"`}},
		"no day":               {map[string]string{"date": "2026-02-30", "full": "perhaps"}, []string{`"date"`, `"full"`}},
		"YAML in a value":      {map[string]string{"entity": "x\noutput: {}"}, []string{`"entity"`}},
		"interpolation":        {map[string]string{"entity": "${JWT_SECRET}"}, []string{`"entity"`}},
		"a path upwards":       {map[string]string{"entity": "../../secrets"}, []string{`"entity"`}},
		"several at once":      {map[string]string{"entity": "../x", "b": "c"}, []string{`"entity"`, `"b"`}},
		"the id, as parameter": {map[string]string{"run_id": "../x"}, []string{`"run_id"`}},
		"nobody listens":       {nil, []string{"is `shop-connect up`"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Start(t.Context(), runs.Request{Name: "copy_raw_to_stage", Params: test.params})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %s", err, want)
				}
			}
		})
	}
	s.Dir = filepath.Dir(write(t, "plain.yaml", "input: { generate: { mapping: 'root = 1' } }\n"))
	if _, err := s.Start(t.Context(), runs.Request{Name: "plain"}); err == nil || !strings.Contains(err.Error(), "batch_run") {
		t.Errorf("got %v", err)
	}
}

func TestAValueThatTheStreamDoesNotAcceptIsRefusedBeforeAnythingStarts(t *testing.T) {
	s := &runs.Client{StreamsURL: "http://127.0.0.1:1"}
	s.Dir = filepath.Dir(write(t, "export.yaml", `
input:
  batch_run:
    id: "${PARAM_RUN_ID:}"
    parameters: { date: "${PARAM_DATE:}", full: "${PARAM_FULL:false}" }
    accepts: { date: "date?", full: bool }
`))
	_, err := s.Start(t.Context(), runs.Request{Name: "export", Params: map[string]string{"date": "2026-13-45", "full": "perhaps", "since": "1"}})
	var faults runs.ParamFaults
	if !errors.As(err, &faults) || len(faults) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []string{"date", "full", "since"} {
		if faults[i].Name != want {
			t.Errorf("fault %d is of %q", i, faults[i].Name)
		}
	}
	if !strings.Contains(faults[2].Message, "date, full") {
		t.Errorf("the known ones are not named: %s", faults[2].Message)
	}
}

func TestAnUnknownNameNamesTheNearestAndAll(t *testing.T) {
	for _, name := range []string{"copy_raw_to_stge", "../streams/copy_raw_to_stage", "copy_raw_to_stage_benthos_test", ""} {
		_, err := runs.Find("../../streams", name)
		var unknown *runs.UnknownName
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), "copy_raw_to_stage") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if _, err := runs.Find("../../streams", "copy_raw_to_stge"); !strings.Contains(err.Error(), "did you mean copy_raw_to_stage?") {
		t.Errorf("got %v", err)
	}
}
