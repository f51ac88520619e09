package contractcheck

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/sql/base"
	"gopkg.in/yaml.v3"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// These tests run pipelines/products_postgres.yaml as it is, but for Kafka: records are sent by hand.

var variable = regexp.MustCompile(`\$\{([A-Z_]+)(:[^}]*)?\}`)

// aside keeps what the stream sends to the topic of refused rows.
type aside struct {
	mu   sync.Mutex
	rows service.MessageBatch
}

var refused aside

func (a *aside) Connect(context.Context) error { return nil }
func (a *aside) Close(context.Context) error   { return nil }
func (a *aside) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rows = append(a.rows, batch.DeepCopy()...)
	return nil
}

func (a *aside) take() service.MessageBatch {
	a.mu.Lock()
	defer a.mu.Unlock()
	rows := a.rows
	a.rows = nil
	return rows
}

func init() {
	service.MustRegisterBatchOutput("test_refusals", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		return &refused, service.BatchPolicy{}, 1, nil
	})
}

// start runs the stream, and returns what sends a batch to it.
func start(t *testing.T, dsn string) service.MessageBatchHandlerFunc {
	t.Helper()
	root := filepath.Join("..", "..", "pipelines")
	content, err := os.ReadFile(filepath.Join(root, "products_postgres.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{"POSTGRES_DSN": dsn, "CONTRACTS_DIR": filepath.Join(root, "contracts"), "SHOP_TIMEZONE": "Europe/Berlin"}
	filled := variable.ReplaceAllStringFunc(string(content), func(v string) string { return values[variable.FindStringSubmatch(v)[1]] })
	var stream map[string]any
	if err := yaml.Unmarshal([]byte(filled), &stream); err != nil {
		t.Fatal(err)
	}
	output := stream["output"].(map[string]any)
	rejected := output["switch"].(map[string]any)["cases"].([]any)[0].(map[string]any)
	rejected["output"] = map[string]any{"test_refusals": map[string]any{}}
	builder := service.NewStreamBuilder()
	send, err := builder.AddBatchProducerFunc()
	if err != nil {
		t.Fatal(err)
	}
	for _, processor := range stream["pipeline"].(map[string]any)["processors"].([]any) {
		if err := builder.AddProcessorYAML(asYAML(t, processor)); err != nil {
			t.Fatal(err)
		}
	}
	if err := builder.AddOutputYAML(asYAML(t, output)); err != nil {
		t.Fatal(err)
	}
	if err := builder.SetLoggerYAML("level: none"); err != nil {
		t.Fatal(err)
	}
	running, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := running.Run(ctx)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
		ended <- err
	}()
	t.Cleanup(func() { stop(); <-ended; refused.take() })
	return func(ctx context.Context, batch service.MessageBatch) error {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		return send(ctx, batch)
	}
}

func asYAML(t *testing.T, document any) string {
	t.Helper()
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// recordOf is a message as the redpanda input makes it.
func recordOf(content string, offset int, at time.Time, headers ...string) *service.Message {
	msg := service.NewMessage([]byte(content))
	for key, value := range map[string]any{
		"kafka_topic": "products", "kafka_partition": 3, "kafka_offset": offset, "kafka_timestamp_ms": at.UnixMilli(),
	} {
		msg.MetaSetMut(key, value)
	}
	for i := 0; i < len(headers); i += 2 {
		msg.MetaSetMut(headers[i], headers[i+1])
	}
	return msg
}

func open(t *testing.T) (*store.Store, service.MessageBatchHandlerFunc) {
	t.Helper()
	dsn := testservers.Postgres(t)
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, start(t, dsn)
}

const lamp = `{"id":"a","name":"Lamp","category":"light","price":99999999999999.9999,"stock":3.0,"created_at":"2026-01-02T03:04:05"}`

func TestProductsOfAllWaysInAreInPostgreSQL(t *testing.T) {
	s, send := open(t)
	ctx, at := t.Context(), time.Now().Add(-time.Hour)
	err := send(ctx, service.MessageBatch{
		recordOf(lamp, 1, at),
		recordOf(strings.Replace(lamp, `"id":"a",`, ``, 1), 2, at),
		recordOf(strings.Replace(lamp, `"id":"a"`, `"id":456`, 1), 3, at),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "products-3-2", "456"} {
		p, err := s.Product(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if p.Price != money.Max || p.Stock != 3 || !p.CreatedAt.Equal(time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC)) { // I5, I6
			t.Errorf("product is %+v", p)
		}
	}
	var events int
	if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM outbox`).Scan(&events); err != nil || events != 0 {
		t.Errorf("%d events would go round in a loop (%v)", events, err)
	}
}

func TestI3TheLaterEventOfAProductWinsAndKeepsItsStock(t *testing.T) {
	s, send := open(t)
	ctx, at := t.Context(), time.Now().Add(-time.Hour)
	named := func(name string) string { return strings.Replace(lamp, "Lamp", name, 1) }
	for _, step := range []struct {
		record *service.Message
		want   string
	}{
		{recordOf(named("first"), 1, at), "first"},
		{recordOf(strings.Replace(named("second"), "3.0", "77", 1), 2, at.Add(time.Second)), "second"},
		{recordOf(named("first"), 1, at), "second"}, // redelivered
		{recordOf(`{"id":"a","deleted":true}`, 0, at.Add(-time.Second)), "second"},
		{recordOf(`{"id":"a","deleted":true}`, 3, at.Add(2*time.Second)), ""},
	} {
		if err := send(ctx, service.MessageBatch{step.record}); err != nil {
			t.Fatal(err)
		}
		p, err := s.Product(ctx, "a")
		if p.Name != step.want || step.want != "" && p.Stock != 3 {
			t.Fatalf("want %q, product is %+v (%v)", step.want, p, err)
		}
	}
}

func TestEventsOfTheTableItselfChangeNothing(t *testing.T) {
	s, send := open(t)
	ctx := t.Context()
	if _, err := s.CreateProduct(ctx, store.Product{ID: "a", Name: "old", Category: "light", Price: 1, Stock: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteProduct(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateProduct(ctx, store.Product{ID: "a", Name: "new", Category: "light", Price: 1, Stock: 1}); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Pool().Query(ctx, `SELECT payload FROM outbox ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for offset := 1; rows.Next(); offset++ {
		var payload []byte
		if err := rows.Scan(&payload); err != nil {
			t.Fatal(err)
		}
		// relayed later than all that happened since
		if err := send(ctx, service.MessageBatch{recordOf(string(payload), offset, time.Now().Add(time.Minute), "published_by", "outbox")}); err != nil {
			t.Fatal(err)
		}
		if p, err := s.Product(ctx, "a"); err != nil || p.Name != "new" {
			t.Fatalf("after %s product is %+v (%v)", payload, p, err)
		}
	}
}

func TestI4RowsThatAreNoProductsAreSetAside(t *testing.T) {
	s, send := open(t)
	at := time.Now()
	err := send(t.Context(), service.MessageBatch{
		recordOf(`not JSON`, 1, at), recordOf(`{"id":"b","price":1.00001}`, 2, at), recordOf(strings.Replace(lamp, "Lamp", `a\u0000b`, 1), 3, at),
		recordOf(lamp, 4, at, quarantine.MetaReasons, "forged"),
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := refused.take()
	if len(rows) != 3 {
		t.Fatalf("%d rows are set aside", len(rows))
	}
	for i, want := range []string{`"rule":"json"`, `"field":"price"`, `the character U+0000`} {
		reasons, _ := rows[i].MetaGet(quarantine.MetaReasons)
		by, _ := rows[i].MetaGet(quarantine.MetaBy)
		source, _ := rows[i].MetaGet(quarantine.MetaSource)
		if !strings.Contains(reasons, want) || by != "postgres" || source != "products-3-"+string(rune('1'+i)) {
			t.Errorf("row %d is refused by %s at %s for %s", i, by, source, reasons)
		}
	}
	if _, err := s.Product(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestI2EventsWaitWhilePostgreSQLIsAway(t *testing.T) {
	send := start(t, "postgres://shop:shop@127.0.0.1:1/shop?sslmode=disable")
	if err := send(t.Context(), service.MessageBatch{recordOf(lamp, 1, time.Now())}); err == nil {
		t.Error("an event that is not stored is acknowledged")
	}
	if rows := refused.take(); len(rows) != 0 {
		t.Errorf("a good row is set aside: %v", rows)
	}
}

func TestEveryFaultOfTheConfigIsNamed(t *testing.T) {
	conf, err := Spec().ParseYAML("{contract: nowhere.yaml, timezone: Mars, layer: ''}", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fromParsed(conf, service.MockResources())
	for _, word := range []string{"nowhere.yaml", "Mars", "layer"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not named: %v", word, err)
		}
	}
}
