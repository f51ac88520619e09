package runs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/shop-connect/shop-connect/plugins/batchrun"
	_ "github.com/shop-connect/shop-connect/plugins/s3parquet"
	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

// childStreams makes this test binary a streams server: Connect keeps too much of itself in globals to
// be started and killed within a process.
const childStreams = "streams"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == childStreams {
		code, err := service.RunCLIToCode(context.Background(), service.CLIOptSetArgs(os.Args...))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	testservers.Main(m)
}

const (
	user, password = "shop", "secret"
	contracts      = "../../pipelines/contracts"
)

// server is a streams server with a ledger and an object store of its own.
type server struct {
	*runs.Client
	t       *testing.T
	process *exec.Cmd
	objects *minio.Client
	vars    map[string]string
}

func startServer(t *testing.T) *server {
	t.Helper()
	config, objects := testservers.ObjectStore(t)
	s := &server{t: t, objects: objects, vars: map[string]string{
		env.S3Endpoint: config.Endpoint, env.S3Region: config.Region, env.S3AccessKey: config.AccessKey, env.S3SecretKey: config.SecretKey,
		env.PostgresDSN: testservers.Postgres(t), env.ContractsDir: contracts, env.KafkaBrokers: testservers.Env(t)[env.KafkaBrokers],
	}}
	ledger, err := store.Open(t.Context(), s.vars[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ledger.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	hash := sha256.Sum256([]byte(password))
	root := write(t, "root.yaml", fmt.Sprintf("http:\n  address: %s\n  basic_auth:\n    enabled: true\n    username: %s\n    password_hash: %s\n    algorithm: sha256\nlogger: { level: NONE }\n",
		address, user, base64.StdEncoding.EncodeToString(hash[:])))
	s.process = exec.Command(os.Args[0], childStreams, "-o", root)
	s.process.Env = os.Environ()
	for name, value := range s.vars {
		s.process.Env = append(s.process.Env, name+"="+value)
	}
	s.process.Stderr = os.Stderr
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.Client = &runs.Client{StreamsURL: "http://" + address, User: user, Password: password, Store: ledger}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		response, err := http.Get(s.StreamsURL + "/ping")
		if err == nil {
			response.Body.Close()
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// start starts the batch stream of a file.
func (s *server) start(path string, params map[string]string) (store.Run, error) {
	s.Dir = filepath.Dir(path)
	return s.Start(s.t.Context(), runs.Request{Name: strings.TrimSuffix(filepath.Base(path), ".yaml"), Params: params})
}

// run runs a batch stream to its end.
func (s *server) run(path string, params map[string]string) store.Run {
	s.t.Helper()
	run, err := s.start(path, params)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	if run, err = s.Follow(ctx, run.ID, nil); err != nil {
		s.t.Fatal(err)
	}
	return run
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// copyStream is the project's own batch stream with buckets of the test's own.
func (s *server) copyStream() (path, raw string) {
	s.t.Helper()
	text, err := os.ReadFile("../../streams/copy_raw_to_stage.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	yaml := string(text)
	for _, bucket := range []string{"shop-raw-data", "shop-stage-data", "shop-quarantine"} {
		own := testservers.Bucket(s.t, s.objects, bucket)
		yaml = strings.ReplaceAll(yaml, ": "+bucket+"\n", ": "+own+"\n")
		if bucket == "shop-raw-data" {
			raw = own
		}
	}
	return write(s.t, "copy_raw_to_stage.yaml", yaml), raw
}

func (s *server) putPurchases(bucket, key string, rows ...string) {
	s.t.Helper()
	c, err := contract.Load(contracts + "/purchases.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	layout, err := parquetfile.NewLayout(c)
	if err != nil {
		s.t.Fatal(err)
	}
	decoder, batch := columns.NewDecoder(c, columns.Typed, time.UTC), columns.NewBatch(c, len(rows))
	var numbers []int32
	for i, row := range rows {
		if reasons, err := decoder.Append(batch, []byte(row), columns.Position{Topic: "purchases", Offset: int64(i)}, i); err != nil || reasons != nil {
			s.t.Fatal(reasons, err)
		}
		numbers = append(numbers, int32(i))
	}
	var out bytes.Buffer
	if err := layout.NewWriter(parquetfile.Zstd).WriteFile(&out, batch, numbers, func(row int32) []byte { return []byte(rows[row]) }); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.objects.PutObject(s.t.Context(), bucket, key, &out, int64(out.Len()), minio.PutObjectOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

const purchase = `{"id":"p-1","product_id":"a","customer_id":7,"seller_id":3,"quantity":6,"price_at_time":19.99,"purchased_at":"2026-01-02T05:20:48Z"}`

func TestCopyRawToStageRunsToItsEndAndAgainChangesNothing(t *testing.T) {
	s := startServer(t)
	path, raw := s.copyStream()
	s.putPurchases(raw, "purchases/purchase_date=2026-01-02/purchases-0-0.parquet", purchase, `{"id":"bad"}`, `{"id":"p-1","deleted":true}`)
	first := s.run(path, nil)
	if first.Status != store.Succeeded || first.RowsIn != 3 || first.RowsOut != 2 || first.RowsRefused != 1 || first.Objects != 1 {
		t.Fatalf("got %+v", first)
	}
	if first.Parameters["entity"] != "purchases" || first.Parameters["folder"] != "" {
		t.Fatalf("got %v", first.Parameters)
	}
	second := s.run(path, map[string]string{"entity": "purchases", "folder": "purchase_date=2026-01-02/"})
	if second.Status != store.Succeeded || second.RowsIn != 0 || second.Objects+second.ObjectsUnchanged != 0 || second.ID == first.ID {
		t.Fatalf("got %+v", second)
	}
	// what is not of the day stays for a run that asks for it
	s.putPurchases(raw, "purchases/purchase_date=2026-01-04/purchases-1-0.parquet", purchase)
	if third := s.run(path, map[string]string{"date": "2026-01-03", "full": "true"}); third.Status != store.Succeeded || third.Objects+third.ObjectsUnchanged != 0 {
		t.Fatalf("got %+v", third)
	}
	if fourth := s.run(path, map[string]string{"entity": "all"}); fourth.Status != store.Succeeded || fourth.Objects != 1 {
		t.Fatalf("got %+v", fourth)
	}
}

// A run of an entity that does not exist would move nothing, and look as if all was well.
func TestAMisspeltEntityIsRefusedBeforeThereIsARun(t *testing.T) {
	s := startServer(t)
	path, _ := s.copyStream()
	s.Dir = filepath.Dir(path)
	_, err := s.Start(t.Context(), runs.Request{Name: "copy_raw_to_stage", Params: map[string]string{"entity": "purchase"}})
	if err == nil || !strings.Contains(err.Error(), `"purchase" has no contract`) || !strings.Contains(err.Error(), "purchases") {
		t.Fatalf("got %v", err)
	}
}

func TestAPlainPostOfTheFileIsInTheLedgerToo(t *testing.T) {
	s := startServer(t)
	path, raw := s.copyStream()
	s.putPurchases(raw, "purchases/purchase_date=2026-01-02/purchases-0-0.parquet", purchase)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.StreamsURL+"/streams/copy_raw_to_stage", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(user, password)
	response, err := http.DefaultClient.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(response, err)
	}
	response.Body.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		ledger, err := s.Store.Runs(t.Context(), store.RunFilter{Name: "copy_raw_to_stage"}, 1)
		if err == nil && len(ledger) == 1 && ledger[0].Status == store.Succeeded && ledger[0].RowsOut == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, %v", ledger, err)
		}
	}
}

func TestAStoreThatDoesNotAnswerFailsTheRunWithItsError(t *testing.T) {
	s := startServer(t)
	path, _ := s.copyStream()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	yaml := strings.ReplaceAll(string(text), "${S3_ENDPOINT}", "http://127.0.0.1:1")
	yaml = strings.ReplaceAll(yaml, "no_progress_timeout: 10m", "no_progress_timeout: 2s")
	run := s.run(write(t, "copy_raw_to_stage.yaml", yaml), nil)
	if run.Status != store.Failed || !strings.Contains(run.Error, "127.0.0.1:1") {
		t.Fatalf("got %+v", run)
	}
}

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

func (s *server) awaitStatus(id string, status store.Status) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		run, err := s.Store.Run(s.t.Context(), id)
		if err == nil && run.Status == status {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("got %+v, %v", run, err)
		}
	}
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

func TestFaultsOfARequestAreNamed(t *testing.T) {
	s := &runs.Client{StreamsURL: "http://127.0.0.1:1", Dir: "../../streams"}
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
