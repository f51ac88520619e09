package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/internal/demo"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

func demoStack(t *testing.T, up *upproc.Process) demo.Stack {
	return demo.Stack{
		URL: apiURL(up), User: "admin", Password: "admin", Env: up.Env,
		RunBatch: func(_ context.Context, name string) error {
			output, err := shopConnect(t, up, "run-batch", name)
			if err != nil {
				t.Logf("run-batch printed:\n%s", output)
			}
			return err
		},
	}
}

// reconciled sends a source's rows through every layer and fails where any of them disagrees.
func reconciled(t *testing.T, up *upproc.Process, source load.Source) {
	t.Helper()
	var out bytes.Buffer
	if err := demo.Run(t.Context(), demoStack(t, up), source, &out, io.Discard); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("\n%s", &out)
}

func TestOnlineRetailIsRightToTheLastDecimal(t *testing.T) {
	dir := retailDir()
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Skipf("there are no days in %s", dir)
	}
	up, _ := withUp(t)
	source, err := load.OpenOnlineRetail(dir)
	if err != nil {
		t.Fatal(err)
	}
	reconciled(t, up, source)

	// the truth of the data's own README, so that loader and layers cannot be wrong alike
	truth := source.Truth()
	if truth.Sent != 209_029 || truth.Accepted != 145_450 || truth.Refused != 63_579 || truth.Items != 1_941_311 || truth.Revenue.String() != "3332591.961" {
		t.Errorf("the loader's truth is %s", truth)
	}
	conn := openClickHouse(t, up)
	var purchases, items uint64
	var revenue string
	query := "SELECT toUInt64(total_purchases), toUInt64(total_items), toString(total_revenue) FROM analytics.daily_purchase_stats WHERE purchase_date = '2010-12-01'"
	if err := conn.QueryRow(t.Context(), query).Scan(&purchases, &items, &revenue); err != nil {
		t.Fatal(err)
	}
	if purchases != 1_942 || items != 24_215 || revenue != "46376.49" {
		t.Errorf("2010-12-01: %d purchases, %d items, revenue %s", purchases, items, revenue)
	}
	var months uint64
	query = "SELECT toUInt64(sum(total_purchases)), count(), toString(sum(total_revenue)) FROM analytics.monthly_purchase_stats"
	if err := conn.QueryRow(t.Context(), query).Scan(&purchases, &months, &revenue); err != nil {
		t.Fatal(err)
	}
	if purchases != 145_450 || months != 6 || revenue != "3332591.961" {
		t.Errorf("months: %d purchases in %d months, revenue %s", purchases, months, revenue)
	}
}

func openClickHouse(t *testing.T, up *upproc.Process) clickhouse.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(up.Env[env.ClickHouseDSN])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestNothingIsLostOrDoubledWhenEverythingIsKilled(t *testing.T) {
	pipelines := filepath.Join(t.TempDir(), "pipelines")
	if err := os.CopyFS(pipelines, os.DirFS(pipelinesDir)); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	generator := load.DefaultGenerator(60_000, time.Now())
	generator.Days = 5

	// the first life ends amid the load, and with it every server and every batch in hand
	up := startUp(t, data, pipelines)
	source, err := load.NewGenerator(generator)
	if err != nil {
		t.Fatal(err)
	}
	client := load.NewClient(load.ClientConfig{URL: apiURL(up), User: "admin", Password: "admin", Connections: 2})
	ctx, cancel := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	go func() {
		_, err := load.Run(ctx, client, source, 2, io.Discard)
		loaded <- err
	}()
	conn := openClickHouse(t, up)
	eventually(t, time.Minute, "some purchases have reached ClickHouse", func() (bool, string) {
		var rows uint64
		err := conn.QueryRow(t.Context(), "SELECT count() FROM analytics.purchases").Scan(&rows)
		return err == nil && rows > 5_000, ""
	})
	up.Kill()
	cancel()
	<-loaded
	client.Close()

	// the second life gets the same purchases again, as a client would send them that has had no answer
	up = startUp(t, data, pipelines)
	defer up.Stop()
	again, err := load.NewGenerator(generator)
	if err != nil {
		t.Fatal(err)
	}
	assertDistinct(t, up, again)
}
