package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/reconcile"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// assertDistinct sends a source's rows, of which some may have been sent before, and waits until the
// tables and the statistics hold each purchase once.
func assertDistinct(t *testing.T, up *upproc.Process, source load.Source) {
	t.Helper()
	client := load.NewClient(load.ClientConfig{URL: apiURL(up), User: "admin", Password: "admin", Connections: 2})
	defer client.Close()
	report, err := load.Run(t.Context(), client, source, 2, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	truth := report.Truth
	eventually(t, 3*time.Minute, "ClickHouse, the statistics and Iceberg hold each purchase once", func() (bool, string) {
		layers, err := reconcile.Count(context.Background(), up.Env)
		if err != nil {
			return false, err.Error()
		}
		daily := layers.Daily()
		seen := fmt.Sprintf("truth %d of %s; ClickHouse %+v, daily %+v, Iceberg %+v, STAGE %+v",
			truth.Distinct, truth.Revenue, layers.ClickHouse, daily, layers.Iceberg, layers.Stage)
		ok := layers.ClickHouse.Rows == truth.Distinct && layers.ClickHouse.Revenue == truth.Revenue &&
			layers.Iceberg.Rows == truth.Distinct && layers.Iceberg.Revenue == truth.Revenue &&
			daily.Rows == truth.Distinct && daily.Revenue == truth.Revenue && layers.Stage.Rows == layers.Stage.Distinct
		return ok, seen
	})
}

func token(t *testing.T, up *upproc.Process) string {
	t.Helper()
	response, err := http.Post(apiURL(up)+"/api/v1/token", "application/json", strings.NewReader(`{"username":"admin","password":"admin"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
		TokenType   string `json:"token_type"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.TokenType != "bearer" || answer.ExpiresIn != 1800 {
		t.Errorf("the token's answer: %+v", answer)
	}
	return answer.AccessToken
}

// post sends a body to the bulk endpoint and returns status and answer.
func post(t *testing.T, up *upproc.Process, token, contentType, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, apiURL(up)+"/api/v1/purchases/bulk-kafka/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 400 && response.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s answers in %s", response.Status, response.Header.Get("Content-Type"))
	}
	return response.StatusCode, string(answer)
}

func TestBadInputIsAnsweredSetAsideAndStopsNothing(t *testing.T) {
	up, _ := withUp(t)
	token := token(t, up)
	good := `{"id":"good","product_id":"a","customer_id":1,"seller_id":1,"quantity":2,"price_at_time":"1.2345","purchased_at":"2024-02-29T23:59:59"}`
	for name, tc := range map[string]struct {
		contentType, body string
		statuses          []int
	}{
		"malformed JSON":       {"application/json", `{"purchases":[` + good, []int{400}},
		"not JSON":             {"application/json", `hello`, []int{400}},
		"an array":             {"application/json", `[]`, []int{400, 422}},
		"rows of a wrong type": {"application/json", `{"purchases":7}`, []int{400, 422}},
		"no rows":              {"application/json", `{}`, []int{400, 422}},
		"another content type": {"text/csv", `a,b`, []int{415}},
		"an oversized body":    {"application/json", `{"purchases":["` + strings.Repeat("x", 200<<20) + `"]}`, []int{413}},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := post(t, up, token, tc.contentType, tc.body)
			for _, want := range tc.statuses {
				if status == want && strings.Contains(answer, `"detail"`) {
					return
				}
			}
			t.Errorf("status %d, want %v with a detail: %s", status, tc.statuses, answer)
		})
	}
	for name, bearer := range map[string]string{"no token": "", "a wrong token": "nonsense"} {
		if status, _ := post(t, up, bearer, "application/json", `{"purchases":[]}`); status != 401 {
			t.Errorf("%s: status %d", name, status)
		}
	}

	// one good row between two bad ones, then anything at all on the topic, by another producer
	status, answer := post(t, up, token, "application/json",
		`{"purchases":[{"id":"bad","quantity":0},`+good+`,{"id":"bad too","product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1.00001,"purchased_at":"2024-01-01"}]}`)
	var bulk struct {
		SuccessCount int `json:"success_count"`
		ErrorCount   int `json:"error_count"`
		Errors       []struct {
			Index int `json:"index"`
		} `json:"errors"`
	}
	if err := json.Unmarshal([]byte(answer), &bulk); err != nil || status != 200 {
		t.Fatalf("status %d: %s", status, answer)
	}
	if bulk.SuccessCount != 1 || bulk.ErrorCount != 2 || len(bulk.Errors) != 2 || bulk.Errors[0].Index != 0 || bulk.Errors[1].Index != 2 {
		t.Errorf("the answer: %s", answer)
	}
	if !strings.Contains(answer, "quantity") || !strings.Contains(answer, "at most 4 decimals") {
		t.Errorf("the answer does not name the faults: %s", answer)
	}
	junk := []string{"", "\xff\xfe\x00", "null", "[1,2,3]", "hello", `{"id":1`, `{}`, `{"id":"x","quantity":"many"}`, strings.Repeat("[", 50_000),
		`{"id":"nan","product_id":"a","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":NaN,"purchased_at":"2024-01-01"}`}
	// as large as a record may be, and not to be made smaller by compression; its reasons come on top
	large := make([]byte, 495_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(large)
	junk = append(junk, hex.EncodeToString(large), `{"id":"again",`+strings.Repeat(`"quantity":"",`, 70_000)+`"quantity":""}`)
	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(up.Env[env.KafkaBrokers], ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for i, value := range junk {
		record := &kgo.Record{Topic: "purchases", Key: fmt.Appendf(nil, "%d", i), Value: []byte(value)}
		if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// a record that an older producer wrote: integer product, no id; and one that is later deleted
	for _, value := range []string{
		`{"product_id":456,"customer_id":1,"seller_id":1,"quantity":1,"price_at_time":10,"purchased_at":"2024-02-29T08:00:00Z"}`,
		`{"id":"gone","product_id":"a","customer_id":1,"seller_id":1,"quantity":9,"price_at_time":9,"purchased_at":"2024-02-29T08:00:00Z"}`,
		`{"id":"gone","deleted":true}`,
	} {
		record := &kgo.Record{Topic: "purchases", Key: []byte("gone"), Value: []byte(value)}
		if err := producer.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, 30*time.Second, "the good rows arrive, the bad ones are set aside", func() (bool, string) {
		layers, err := reconcile.Count(context.Background(), up.Env)
		if err != nil {
			return false, err.Error()
		}
		seen := fmt.Sprintf("%+v", layers)
		// every piece of junk is refused by both tables; what is typed, {} and the null object aside, is in RAW
		ok := layers.Quarantined["api"] == 2 && layers.Quarantined["clickhouse"] == int64(len(junk)) && layers.Quarantined["iceberg"] == int64(len(junk)) &&
			layers.ClickHouse.Rows == 2 && layers.Iceberg.Rows == 2 && layers.ClickHouse.Revenue.String() == "12.469" && layers.Iceberg.Revenue.String() == "12.469" &&
			layers.Raw.Distinct+layers.Quarantined["raw"] == int64(len(junk))+4
		return ok, seen
	})
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	layers, err := reconcile.Count(t.Context(), up.Env)
	if err != nil {
		t.Fatal(err)
	}
	// I4: what RAW holds is in STAGE or in quarantine
	if layers.Raw.Distinct != layers.Stage.Rows+layers.Quarantined["stage"] {
		t.Errorf("RAW %d, STAGE %d, quarantined %v", layers.Raw.Distinct, layers.Stage.Rows, layers.Quarantined)
	}
}
