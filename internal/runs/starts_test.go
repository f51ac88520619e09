package runs_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

const endless = `
input:
  batch_run:
    name: endless
    id: "${PARAM_RUN_ID:}"
    postgres_dsn: "${POSTGRES_DSN}"
    input: { generate: { interval: 10ms, mapping: 'root = {}' } }
output: { drop: {} }
`

func TestASecondStartIsRefusedWhileTheFirstIsAtWorkAndCancelEndsIt(t *testing.T) {
	s := startServer(t)
	path := write(t, "endless.yaml", endless)
	first, err := s.start(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.awaitStatus(first.ID, store.Running)
	if _, err := s.start(path, nil); !errors.Is(err, runs.ErrBusy) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Cancel(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	s.awaitStatus(first.ID, store.Cancelled)
	again, err := s.start(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.awaitStatus(again.ID, store.Running)
}

func TestARunWhoseProcessIsKilledEndsAsFailed(t *testing.T) {
	s := startServer(t)
	first, err := s.start(write(t, "endless.yaml", endless), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.awaitStatus(first.ID, store.Running)
	s.kill()
	run, err := s.Follow(t.Context(), first.ID, nil)
	if err != nil || run.Status != store.Failed || !strings.Contains(run.Error, "process") {
		t.Fatalf("got %+v, %v", run, err)
	}
}

func TestARequestThatIsSentTwiceStartsOneRun(t *testing.T) {
	s := startServer(t)
	path := write(t, "endless.yaml", endless)
	s.Dir = filepath.Dir(path)
	request := runs.Request{Name: "endless", ID: "01900000-0000-7000-8000-00000000000b"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if run, err := s.Start(t.Context(), request); err != nil || run.ID != request.ID {
				t.Errorf("got %+v, %v", run, err)
			}
		})
	}
	wg.Wait()
	all, err := s.Runs(t.Context(), store.RunFilter{}, 10)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	if _, err := s.Start(t.Context(), runs.Request{Name: "endless", ID: request.ID, Params: map[string]string{"a": "b"}}); !errors.Is(err, runs.ErrTaken) {
		t.Fatalf("got %v", err)
	}
}

func TestASecondStartQueuesWhereTheYAMLSaysSoAndCanBeCancelledThere(t *testing.T) {
	s := startServer(t)
	path := write(t, "endless.yaml", strings.Replace(endless, "name: endless", "name: endless\n    on_busy: queue", 1))
	started := make([]store.Run, 3)
	for i := range started {
		var err error
		if started[i], err = s.start(path, nil); err != nil {
			t.Fatal(err)
		}
		s.awaitStatus(started[i].ID, map[bool]store.Status{true: store.Running, false: store.Queued}[i == 0])
	}
	cancel := func(i int) {
		t.Helper()
		if _, err := s.Cancel(t.Context(), started[i].ID); err != nil {
			t.Fatal(err)
		}
		s.awaitStatus(started[i].ID, store.Cancelled)
	}
	cancel(1) // while it waits
	cancel(0)
	s.awaitStatus(started[2].ID, store.Running)
	cancel(2)
}
