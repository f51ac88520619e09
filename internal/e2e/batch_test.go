package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// batchShop is a running stack as a scheduler sees it.
type batchShop struct {
	*client
	t       *testing.T
	up      *upproc.Process
	objects *minio.Client
}

func newBatchShop(t *testing.T) *batchShop {
	t.Helper()
	up, _ := withUp(t)
	objects, err := objectstore.Config{
		Endpoint: up.Env[env.S3Endpoint], Region: up.Env[env.S3Region], AccessKey: up.Env[env.S3AccessKey], SecretKey: up.Env[env.S3SecretKey],
	}.Client()
	if err != nil {
		t.Fatal(err)
	}
	return &batchShop{client: newClient(t, up), t: t, up: up, objects: objects}
}

// start starts a run over the API.
func (s *batchShop) start(body string) store.Run {
	s.t.Helper()
	return s.parse(s.want(s.t, http.StatusAccepted, "POST", "/runs", body))
}

func (s *batchShop) parse(answer string) (run store.Run) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(answer), &run); err != nil {
		s.t.Fatal(err, answer)
	}
	return run
}

func (s *batchShop) show(id string) store.Run {
	s.t.Helper()
	return s.parse(s.want(s.t, http.StatusOK, "GET", "/runs/"+id, ""))
}

// end returns a run once it has ended.
func (s *batchShop) end(id string) (run store.Run) {
	s.t.Helper()
	eventually(s.t, 90*time.Second, "the run has ended", func() (bool, string) {
		run = s.show(id)
		return run.Status.Final(), fmt.Sprintf("%+v", run)
	})
	return run
}

// succeed runs a batch stream to its end.
func (s *batchShop) succeed(body string) store.Run {
	s.t.Helper()
	run := s.end(s.start(body).ID)
	if run.Status != store.Succeeded || !run.Reconciles() {
		s.t.Fatalf("%s: got %+v", body, run)
	}
	return run
}

// rows counts the rows of all objects below a prefix.
func (s *batchShop) rows(bucket, prefix string) (objects int, rows int64) {
	s.t.Helper()
	for object := range s.objects.ListObjectsIter(s.t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			s.t.Fatal(object.Err)
		}
		reader, err := s.objects.GetObject(s.t.Context(), bucket, object.Key, minio.GetObjectOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			s.t.Fatal(err)
		}
		file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			s.t.Fatal(object.Key, err)
		}
		objects, rows = objects+1, rows+file.NumRows()
	}
	return objects, rows
}

func TestBatchFlowsBringEverythingToStageOnce(t *testing.T) {
	s := newBatchShop(t)
	s.want(t, 201, "POST", "/products", `{"id":"lamp","name":"Lamp","category":"light","price":19.99,"stock":100}`)
	for n := range 3 {
		s.want(t, 201, "POST", "/customers", fmt.Sprintf(`{"first_name":"Ann","last_name":"Lee","email":"ann%d@example.org"}`, n))
	}
	s.want(t, 201, "POST", "/sellers", `{"name":"Shop","email":"a@example.org","phone":"1","address":"x"}`)
	s.want(t, 204, "DELETE", "/customers/2", "")
	for range 5 {
		s.want(t, 201, "POST", "/purchases", `{"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1}`)
	}

	// the flow of api_data_processing
	s.succeed(`{"name":"process_purchases_from_api"}`)
	drained := s.succeed(`{"name":"process_kafka_data"}`)
	if _, rows := s.rows("shop-raw-data", "purchases/"); rows != 5 {
		t.Errorf("RAW has %d purchases after %+v", rows, drained)
	}
	if again := s.succeed(`{"name":"process_kafka_data"}`); again.RowsIn != 0 {
		t.Errorf("again: got %+v", again)
	}

	// the exports of daily_shop_etl
	for name, want := range map[string]int64{"upload_products_to_raw": 1, "export_customers_to_raw": 3, "export_sellers_to_raw": 1} {
		first := s.succeed(`{"name":"` + name + `","params":{"date":"2026-01-31"}}`)
		if first.RowsIn != want || first.RowsOut != want || first.Bytes == 0 || first.Parameters["date"] != "2026-01-31" {
			t.Errorf("%s: got %+v", name, first)
		}
		if again := s.succeed(`{"name":"` + name + `"}`); again.RowsIn != 0 || !strings.Contains(again.Progress, "nothing has changed") {
			t.Errorf("%s again: got %+v", name, again)
		}
		full := `{"name":"` + name + `","params":{"full":true,"date":"2026-01-31"}}`
		if objects, _ := s.rows("shop-raw-data", strings.Split(name, "_")[1]+"/export_"); objects != 1 || s.succeed(full).RowsIn != want {
			t.Errorf("%s has %d objects", name, objects)
		}
	}

	// STAGE, twice: the second run finds nothing to do
	for _, entity := range []string{"purchases", "customers", "products", "sellers"} {
		body := `{"name":"copy_raw_to_stage","params":{"entity":"` + entity + `"}}`
		first := s.succeed(body)
		if first.RowsOut == 0 || first.RowsRefused != 0 {
			t.Errorf("%s: got %+v", entity, first)
		}
		objects, rows := s.rows("shop-stage-data", entity+"/")
		s.succeed(body)
		if o, r := s.rows("shop-stage-data", entity+"/"); o != objects || r != rows {
			t.Errorf("%s: STAGE went from %d objects of %d rows to %d of %d", entity, objects, rows, o, r)
		}
	}

	t.Run("a plain curl of a file is in the ledger", s.curlIsRecorded)
	t.Run("two starts at once", s.twoAtOnce)
	t.Run("requests that are refused", s.refusals)
	t.Run("the command shows its progress and cancels on Ctrl-C", s.command)
}

func (s *batchShop) postFile(t *testing.T, id string, text []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.up.Env[env.StreamsAddress]+"/streams/"+id, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(s.up.Env[env.StreamsUser], s.up.Env[env.StreamsPassword])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", response.StatusCode, answer)
	}
}

func (s *batchShop) newest(t *testing.T, name string) store.Run {
	t.Helper()
	var list []store.Run
	if err := json.Unmarshal([]byte(s.want(t, 200, "GET", "/runs?limit=1&name="+name, "")), &list); err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	return list[0]
}

func (s *batchShop) curlIsRecorded(t *testing.T) {
	text, err := os.ReadFile("../../streams/export_sellers_to_raw.yaml")
	if err != nil {
		t.Fatal(err)
	}
	before := s.newest(t, "export_sellers_to_raw")
	s.postFile(t, "my_own_id", text)
	eventually(t, 30*time.Second, "the run is in the ledger", func() (bool, string) {
		run := s.newest(t, "export_sellers_to_raw")
		return run.ID != before.ID && run.Status == store.Succeeded, fmt.Sprintf("%+v", run)
	})
}

func (s *batchShop) twoAtOnce(t *testing.T) {
	const id = "0190f3c2-7b1a-7c3d-8e4f-00000000000a"
	body := `{"name":"process_kafka_data","run_id":"` + id + `"}`
	if first, again := s.start(body), s.start(body); first.ID != id || again.ID != id {
		t.Errorf("a request that is sent twice started %s and %s", first.ID, again.ID)
	}
	second := s.start(`{"name":"process_kafka_data"}`) // its YAML says to queue
	for _, run := range []store.Run{s.end(id), s.end(second.ID)} {
		if run.Status != store.Succeeded {
			t.Errorf("got %+v", run)
		}
	}
}

func (s *batchShop) refusals(t *testing.T) {
	for body, status := range map[string]int{
		`{"name":"export_customer_to_raw"}`:                                            404,
		`{"name":"export_customers_to_raw","params":{"date":"2026-13-45"}}`:            422,
		`{"name":"export_customers_to_raw","params":{"date":"x\noutput: {drop: {}}"}}`: 422,
		`{"name":"copy_raw_to_stage","params":{"entity":"../x"}}`:                      422,
	} {
		if got, answer := s.do("POST", "/runs", body); got != status {
			t.Errorf("%s: answer is %d %s", body, got, answer)
		}
	}
}

// endless is a batch stream that ends by no means of its own.
const endless = `
input:
  batch_run:
    name: endless
    id: "${PARAM_RUN_ID:}"
    postgres_dsn: "${POSTGRES_DSN}"
    input: { generate: { interval: 10ms, mapping: 'root = {}' } }
output: { drop: {} }
`

func (s *batchShop) command(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "endless.yaml"), []byte(endless), 0o600); err != nil {
		t.Fatal(err)
	}
	output := &syncBuffer{}
	cmd := exec.Command(binary, "run-batch", "endless", "--streams", dir)
	cmd.Stdout, cmd.Stderr, cmd.Env = output, output, os.Environ()
	for name, value := range s.up.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "it shows its progress", func() (bool, string) {
		return strings.Contains(output.String(), "endless running"), output.String()
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	interrupted := time.Now()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || time.Since(interrupted) > 20*time.Second {
		t.Errorf("exit code %d after %s: %s", code, time.Since(interrupted), output)
	}
	if run := s.newest(t, "endless"); run.Status != store.Cancelled {
		t.Errorf("got %+v", run)
	}
	if text, err := shopConnect(t, s.up, "run-batch", "export_customers_to_raw", "--param", "date=2026-13-45"); err == nil || !strings.Contains(text, "no day") {
		t.Errorf("%v: %s", err, text)
	}
	if text, err := shopConnect(t, s.up, "run-batch", "export_customers_to_raw", "--param", "full=true"); err != nil || !strings.Contains(text, "3 rows in = 3 out") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestARunWhoseProcessIsKilledIsClosedAndTheNextOneDoesItsWork(t *testing.T) {
	data := t.TempDir()
	up := startUp(t, data, pipelinesDir)
	s := &batchShop{client: newClient(t, up), t: t, up: up}
	s.want(t, 201, "POST", "/sellers", `{"name":"Shop","email":"a@example.org","phone":"1","address":"x"}`)
	s.postFile(t, "endless", []byte(endless))
	eventually(t, 30*time.Second, "the run is at work", func() (bool, string) {
		_, answer := s.do("GET", "/runs?name=endless&status=running", "")
		return strings.Contains(answer, "endless"), answer
	})
	killed := s.newest(t, "endless")
	up.Kill()

	up = startUp(t, data, pipelinesDir)
	defer up.Stop()
	s = &batchShop{client: newClient(t, up), t: t, up: up}
	if run := s.show(killed.ID); run.Status != store.Failed || !strings.Contains(run.Error, "process") {
		t.Errorf("got %+v", run)
	}
	if run := s.succeed(`{"name":"export_sellers_to_raw"}`); run.RowsOut != 1 {
		t.Errorf("got %+v", run)
	}
}
