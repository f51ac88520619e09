package vitals

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/connect/v4/public/components/prometheus"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"

	"github.com/shop-connect/shop-connect/internal/store"
)

// exported runs a stream with Prometheus metrics and returns a collector of its registry and what it exports.
func exported(t *testing.T, sources ...Source) (*Collector, func() string) {
	t.Helper()
	builder := service.NewStreamBuilder()
	mux := http.NewServeMux()
	builder.SetHTTPMux(mux)
	err := errors.Join(
		builder.SetMetricsYAML(`prometheus: {}`),
		builder.SetLoggerYAML(`level: NONE`),
		builder.AddInputYAML(`generate: {mapping: "root = {}", interval: 1h}`),
		builder.AddOutputYAML(`drop: {}`),
	)
	if err != nil {
		t.Fatal(err)
	}
	var collector *Collector
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	collector = New(stream.Resources().Metrics(), sources...)
	return collector, func() string {
		answer := httptest.NewRecorder()
		mux.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		text, err := io.ReadAll(answer.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
}

type ledger struct {
	open []store.OpenQuarantine
	fail error
}

func (l *ledger) OutboxBacklog(context.Context) (store.Backlog, error) {
	return store.Backlog{Waiting: 3, Age: 1.5}, l.fail
}
func (l *ledger) StageBacklog(context.Context) ([]store.Backlog, error) {
	return []store.Backlog{{Name: "purchases", Waiting: 2, Age: 60}}, l.fail
}
func (l *ledger) QuarantineOpen(context.Context) ([]store.OpenQuarantine, error) {
	return l.open, l.fail
}
func (l *ledger) RunTotals(context.Context) ([]store.RunTotal, error) {
	return []store.RunTotal{{Name: "compact", Succeeded: 4, Failed: 1}}, l.fail
}

func TestTheSignsOfTheShopAreAmongTheMetrics(t *testing.T) {
	known := &ledger{open: []store.OpenQuarantine{{Entity: "purchases", Layer: "stage", Reason: "quantity", Open: 7}}}
	sources := append(FromLedger(known),
		FromChecks(map[string]func(context.Context) error{"s3": func(context.Context) error { return errors.New("away") }, "kafka": func(context.Context) error { return nil }}),
		FromLag(func(context.Context) ([]Lag, error) { return []Lag{{"purchases-raw", "purchases", 12}}, nil }),
		FromStatistics(func(context.Context) (int64, float64, error) { return 2, 0.25, nil }))
	collector, metrics := exported(t, sources...)
	collector.Collect(t.Context())
	want := []string{
		`shop_connect_dependency_up{dependency="kafka"} 1`, `shop_connect_dependency_up{dependency="s3"} 0`,
		`shop_connect_outbox_rows 3`, `shop_connect_outbox_age_seconds 1.5`,
		`shop_connect_consumer_lag{group="purchases-raw",topic="purchases"} 12`,
		`shop_connect_stage_pending_objects{entity="purchases"} 2`, `shop_connect_stage_pending_age_seconds{entity="purchases"} 60`,
		`shop_connect_statistics_due_days 2`, `shop_connect_statistics_age_seconds 0.25`,
		`shop_connect_quarantine_rows{entity="purchases",layer="stage",reason="quantity"} 7`,
		`shop_connect_batch_runs_1d{name="compact",status="failed"} 1`, `shop_connect_batch_last_success_timestamp_seconds{name="compact"} 0`,
		`shop_connect_vitals_failed{source="runs"} 0`,
	}
	text := metrics()
	for _, line := range want {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
	for _, gauge := range Gauges {
		if !strings.Contains(text, gauge.Name) {
			t.Errorf("the metrics lack %s", gauge.Name)
		}
	}

	known.open = nil
	collector.Collect(t.Context())
	if !strings.Contains(metrics(), `shop_connect_quarantine_rows{entity="purchases",layer="stage",reason="quantity"} 0`) {
		t.Error("rows that have left the quarantine are still counted")
	}

	known.fail = errors.New("away")
	collector.Collect(t.Context())
	for _, line := range []string{`shop_connect_vitals_failed{source="outbox"} 1`, `shop_connect_outbox_rows 3`} {
		if !strings.Contains(metrics(), line+"\n") {
			t.Errorf("while PostgreSQL is away the metrics lack %s", line)
		}
	}
}
