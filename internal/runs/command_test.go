package runs_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

// reach gives the streams API a front that calls posted when a stream was posted, before the client hears of it.
func (s *server) reach(posted func()) map[string]string {
	s.t.Helper()
	target, err := url.Parse(s.StreamsURL)
	if err != nil {
		s.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		if r.Method == http.MethodPost {
			posted()
		}
	}))
	s.t.Cleanup(front.Close)
	return map[string]string{
		env.StreamsURL: front.URL, env.StreamsUser: user, env.StreamsPassword: password, env.PostgresDSN: s.vars[env.PostgresDSN],
	}
}

func wantExit(t *testing.T, err error, code int) {
	t.Helper()
	var exit cli.ExitCoder
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		t.Errorf("got %v, want exit code %d", err, code)
	}
}

func TestAStartThatIsInterruptedLeavesNoRunAtWork(t *testing.T) {
	s := startServer(t)
	path := write(t, "endless.yaml", endless)
	ctx, interrupt := context.WithCancel(t.Context())
	err := runs.ToEnd(ctx, s.reach(interrupt), path, nil, io.Discard, io.Discard)
	wantExit(t, err, 130)
	all, err := s.Runs(t.Context(), store.RunFilter{}, 10)
	if err != nil || len(all) != 1 || all[0].Status != store.Cancelled {
		t.Errorf("got %+v, %v", all, err)
	}
}

// A run that was started past this API holds the name though the streams API knows no stream of it.
func TestBusyHasItsExitCodeWhoeverFindsItOut(t *testing.T) {
	s := startServer(t)
	path := write(t, "endless.yaml", endless)
	lock, err := s.Store.LockRun(t.Context(), "endless", false)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	for range 2 { // the second finds the stream of the first
		err := runs.ToEnd(t.Context(), s.reach(func() {}), path, nil, io.Discard, io.Discard)
		wantExit(t, err, 3)
		if err == nil || !strings.Contains(err.Error(), "at work") {
			t.Errorf("got %v", err)
		}
	}
}

func TestRunsAreListedAndShown(t *testing.T) {
	s := startServer(t)
	path, raw := s.copyStream()
	s.putPurchases(raw, "purchases/purchase_date=2026-01-02/purchases-0-0.parquet", purchase, `{"id":"bad"}`)
	first := s.run(path, nil)
	second := s.run(path, map[string]string{"folder": "no/such"})
	if !strings.Contains(second.Progress, "nothing lies below s3://"+raw+"/purchases/no/such") {
		t.Errorf("got %+v", second)
	}
	if again := s.run(path, map[string]string{"folder": "purchase_date=2026-01-02/"}); again.Progress != "" {
		t.Errorf("got %+v", again)
	}
	show := func(args ...string) (string, error) {
		t.Helper()
		t.Setenv(env.PostgresDSN, s.vars[env.PostgresDSN])
		var out bytes.Buffer
		app := &cli.App{Writer: &out, Commands: []*cli.Command{runs.ShowCommand()}, ExitErrHandler: func(*cli.Context, error) {}}
		err := app.RunContext(t.Context(), append([]string{"shop-connect", "runs"}, args...))
		return out.String(), err
	}
	list, err := show("--name", "copy_raw_to_stage", "--limit", "3")
	if err != nil || strings.Count(list, "succeeded") != 3 || !strings.Contains(list, first.ID) || strings.Index(list, second.ID) > strings.Index(list, first.ID) {
		t.Errorf("%v: %s", err, list)
	}
	one, err := show(first.ID)
	for _, want := range []string{"2 rows in = 1 out + 1 refused + 0 skipped; 1 objects", "entity=purchases", first.ID} {
		if err != nil || !strings.Contains(one, want) {
			t.Errorf("%v: %s does not say %q", err, one, want)
		}
	}
	if strings.Contains(one, "unchanged") || strings.Contains(one, "of them refused") {
		t.Errorf("it counts what there is none of: %s", one)
	}
	for _, args := range [][]string{{"x"}, {"00000000-0000-0000-0000-000000000000"}, {"--limit", "0"}, {"a", "b"}} {
		if text, err := show(args...); err == nil {
			t.Errorf("%q: %s", args, text)
		}
	}
}

func TestAnEntityThatRawDoesNotHaveIsRefused(t *testing.T) {
	s := startServer(t)
	path, _ := s.copyStream()
	if _, err := s.start(path, map[string]string{"entity": "purchase_product_facts"}); err == nil || !strings.Contains(err.Error(), "all") || !strings.Contains(err.Error(), "sellers") {
		t.Fatalf("got %v", err)
	}
}
