package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// repair is what a data engineer makes of rows that lack a customer, name none, or write numbers as text.
const repair = `root = this
root.customer_id = if (this.customer_id | 0) < 1 { 1 } else { this.customer_id }
root.quantity = this.quantity.number()
`

func TestRefusedRowsOfEveryWayInAreRepairedAndCountOnce(t *testing.T) {
	t.Setenv(env.StreamsDir, filepath.Join("..", "..", "streams"))
	up, _ := withUp(t)
	token := token(t, up)
	sale := func(members string) string {
		return `{` + members + `"product_id":"a","seller_id":1,"price_at_time":"2.5000","purchased_at":"2024-02-29T12:00:00Z"}`
	}
	rows := sale(`"id":"good","customer_id":1,"quantity":1,`) + "," + sale(`"id":"edge","quantity":1,`) + "," + sale(`"quantity":1,`)
	if status, answer := post(t, up, token, "application/json", `{"purchases":[`+rows+`]}`); status != 200 || !strings.Contains(answer, `"error_count":2`) {
		t.Fatal(status, answer)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(up.Env[env.KafkaBrokers], ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for key, value := range map[string]string{
		"a": sale(`"id":"foreign","customer_id":1,"quantity":"2",`), // no layer can type it
		"b": sale(`"customer_id":0,"quantity":1,`),                  // RAW takes it and STAGE refuses it; it has no id
		"c": `hello`,                                                // nobody can repair it
	} {
		if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "purchases", Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	quarantined := func(layers reconcile.Layers, want string) (bool, string) {
		seen := fmt.Sprint(layers.Quarantined)
		return seen == want, seen
	}
	counter, err := reconcile.NewCounter(up.Env)
	if err != nil {
		t.Fatal(err)
	}
	defer counter.Close()
	count := func() reconcile.Layers {
		t.Helper()
		layers, err := counter.Count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return layers
	}
	eventually(t, time.Minute, "every layer has set aside what it refuses", func() (bool, string) {
		layers := count()
		ok, seen := quarantined(layers, "map[api:2 clickhouse:3 iceberg:3 raw:2]")
		return ok && layers.Raw.Distinct == 2, seen
	})
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if ok, seen := quarantined(count(), "map[api:2 clickhouse:3 iceberg:3 raw:2 stage:1]"); !ok {
		t.Fatal(seen)
	}
	quarantine := func(args ...string) string {
		t.Helper()
		output, err := shopConnect(t, up, append([]string{"quarantine"}, args...)...)
		if err != nil {
			t.Fatalf("quarantine %q: %v\n%s", args, err, output)
		}
		return output
	}
	if output := quarantine("ls"); !strings.Contains(output, "11 rows open of 11") || !strings.Contains(output, "customer_id required") {
		t.Errorf("ls prints\n%s", output)
	}
	if output := quarantine("show", "--entity", "purchases", "--layer", "stage"); !strings.Contains(output, `"customer_id":0`) || !strings.Contains(output, "must be at least 1, is 0") {
		t.Errorf("show prints\n%s", output)
	}
	for want, args := range map[string][]string{
		"Did you mean": {"ls", "--entity", "purchase"}, "--why": {"discard", "--entity", "purchases"}, "--entity": {"replay"},
		"unrecognised function": {"replay", "--entity", "purchases", "--mapping", `root = env("JWT_SECRET")`}, "no day": {"ls", "--day", "yesterday"},
		`no layer "gold"`: {"ls", "--layer", "gold"}, "nothing in quarantine is meant": {"replay", "--entity", "purchases", "--reason", "no such reason"},
	} {
		if output, err := shopConnect(t, up, append([]string{"quarantine"}, args...)...); err == nil || !strings.Contains(output, want) {
			t.Errorf("quarantine %q: %v\n%s", args, err, output)
		}
	}

	mapping := filepath.Join(t.TempDir(), "repair.blobl")
	if err := os.WriteFile(mapping, []byte(repair), 0o600); err != nil {
		t.Fatal(err)
	}
	replay := []string{"replay", "--entity", "purchases", "--mapping-file", mapping}
	if output := quarantine(append(replay, "--dry-run")...); !strings.Contains(output, "4 would be replayed, 1 still refused") {
		t.Errorf("a dry run prints\n%s", output)
	}
	output := quarantine(replay...)
	run := regexp.MustCompile(`(?m)^run (\S+)$`).FindStringSubmatch(output)
	if run == nil || !strings.Contains(output, "4 replayed, 1 still refused") {
		t.Fatalf("replay prints\n%s", output)
	}
	output, err = shopConnect(t, up, append([]string{"quarantine"}, replay...)...)
	if err == nil || !strings.Contains(output, " 0 replayed, 1 still refused") || !strings.Contains(output, "nothing was brought back") {
		t.Errorf("a second replay (%v) prints\n%s", err, output)
	}
	if output := quarantine("discard", "--entity", "purchases", "--why", "no purchase at all"); !strings.Contains(output, "1 discarded") {
		t.Errorf("discard prints\n%s", output)
	}
	if output := quarantine("ls"); !strings.Contains(output, "nothing") {
		t.Errorf("in the end ls prints\n%s", output)
	}

	eventually(t, time.Minute, "the tables hold each purchase once", func() (bool, string) {
		layers := count()
		return layers.ClickHouse.Rows == 5 && layers.ClickHouse.Items == 6 && layers.ClickHouse.Revenue.String() == "15.00" &&
			layers.Iceberg.Rows == 5 && layers.Iceberg.Revenue.String() == "15.00" && layers.Daily().Items == 6 && layers.Raw.Distinct == 6, fmt.Sprintf("%+v", layers)
	})
	if output, err := shopConnect(t, up, "run-batch", "copy_raw_to_stage"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	// I4: four records that came, four that were sent again, and one that nobody can read
	layers := count()
	if ok, seen := quarantined(layers, "map[api:2 clickhouse:3 iceberg:3 raw:2 stage:1]"); !ok || layers.Stage.Rows != 5 {
		t.Errorf("STAGE %+v, quarantine %s", layers.Stage, seen)
	}
	api := newClient(t, up)
	var view struct {
		Rows, Open int64
		Counts     []struct{ Rows, Open, Replayed, Discarded int64 }
	}
	if err := json.Unmarshal([]byte(api.want(t, 200, "GET", "/quarantine?all=true", "")), &view); err != nil {
		t.Fatal(err)
	}
	var replayed, discarded int64
	for _, c := range view.Counts {
		replayed, discarded = replayed+c.Replayed, discarded+c.Discarded
	}
	if view.Rows != 11 || view.Open != 0 || replayed != 8 || discarded != 3 {
		t.Errorf("the API shows %+v", view)
	}
	if text := api.want(t, 200, "GET", "/runs/"+run[1], ""); !strings.Contains(text, `"rows_out":4`) || !strings.Contains(text, `"succeeded"`) {
		t.Errorf("the ledger shows %s", text)
	}
}
