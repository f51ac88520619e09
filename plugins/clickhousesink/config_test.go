package clickhousesink

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// build makes an output of YAML that names no server which exists.
func build(t *testing.T, yaml string) (*output, error) {
	t.Helper()
	parsed, err := Spec().ParseYAML(yaml+"\nrefused: {drop: {}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	return newOutput(parsed, service.MockResources())
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error does not say %q:\n%v", word, err)
		}
	}
}

func TestAllFaultsOfTheConfigurationAreReportedAtOnce(t *testing.T) {
	_, err := build(t, `
dsn: clickhouse://127.0.0.1:9000/analytics
table: "purchases; DROP TABLE purchases"
contract: nowhere.yaml
timezone: Mars/Olympus
day_index: analytics.purchase_day_index
days_touched: 1days
max_in_flight: 0
`)
	wantWords(t, err, "dsn: must begin with http://", "table:", "nowhere.yaml", "Mars/Olympus", "day_index: needs day_column", "days_touched:", "max_in_flight:")
}

func TestADayIndexNeedsAKeyOfText(t *testing.T) {
	_, err := build(t, `
dsn: http://127.0.0.1:8123/analytics
table: customers
contract: ../../pipelines/contracts/customers.yaml
day_column: day
day_index: customer_day_index
`)
	wantWords(t, err, "day_index:", "customer_id")
}

func TestCloseIsSafeTwiceAndBeforeConnect(t *testing.T) {
	out, err := build(t, "dsn: http://127.0.0.1:1/analytics\ntable: t\ncontract: ../../pipelines/contracts/customers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := out.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestAServerThatIsAwayIsReportedByConnect(t *testing.T) {
	out, err := build(t, "dsn: http://127.0.0.1:1/analytics\ntable: t\ncontract: ../../pipelines/contracts/customers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close(context.Background())
	wantWords(t, out.Connect(t.Context()), "table t", "127.0.0.1:1")
}

func TestConnectNamesEveryDifferenceBetweenTableAndContract(t *testing.T) {
	conn, dsn := shop(t)
	out := sink(t, dsn, nil)
	execute(t, conn, "ALTER TABLE analytics.purchases DROP COLUMN total_price", "ALTER TABLE analytics.purchases DROP COLUMN seller_id",
		"ALTER TABLE analytics.purchases MODIFY COLUMN price_at_time Float64", "DROP TABLE analytics.purchase_day_index SYNC")
	wantWords(t, out.Connect(t.Context()), "ALTER TABLE analytics.purchases ADD COLUMN `seller_id` Int64",
		"price_at_time of table analytics.purchases is Float64", "table analytics.purchase_day_index does not exist: run `shop-connect provision`")
}

func TestSlicesThatDoNotSetRowsApartAreRefused(t *testing.T) {
	conn, dsn := shop(t)
	out := sink(t, dsn, nil)
	execute(t, conn, "CREATE TABLE analytics.unsliced AS analytics.purchases ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY (purchase_date, id)",
		"EXCHANGE TABLES analytics.purchases AND analytics.unsliced")
	wantWords(t, out.Connect(t.Context()), "column slice", "sorting key of table analytics.purchases", "(purchase_date, id)")
}

func TestAFailedWriteIsReportedOnceAndThenConnectsAgain(t *testing.T) {
	conn, dsn := shop(t)
	out := sink(t, dsn, nil)
	execute(t, conn, "RENAME TABLE analytics.purchases TO analytics.elsewhere")
	batch := service.MessageBatch{bought(0, "a", "2024-01-01T00:00:00Z", "1", 1).message()}
	if err := out.WriteBatch(t.Context(), batch); !errors.Is(err, service.ErrNotConnected) {
		t.Fatalf("writing to a table that is gone: %v, want %v", err, service.ErrNotConnected)
	}
	wantWords(t, out.Connect(t.Context()), "writing to analytics.purchases", "shop-connect provision")
	wantWords(t, out.Connect(t.Context()), "table analytics.purchases does not exist")
	execute(t, conn, "RENAME TABLE analytics.elsewhere TO analytics.purchases")
	if err := out.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := out.WriteBatch(t.Context(), batch); err != nil {
		t.Error(err)
	}
}

func TestATableWithoutADayKeepsTheLatestRowOfEachKey(t *testing.T) {
	conn, dsn := shop(t)
	execute(t, conn, `CREATE TABLE analytics.customers (customer_id Int64, first_name String, last_name LowCardinality(String),
		email String, phone Nullable(String), created_at Nullable(DateTime64(6, 'UTC')), version UInt64, is_deleted UInt8)
		ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY customer_id`)
	out, err := build(t, "dsn: "+dsn+"\ntable: customers\ncontract: ../../pipelines/contracts/customers.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close(context.Background())
	if err := out.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, out,
		event{offset: 0, at: delivered, value: `{"customer_id":1,"first_name":"Ada","last_name":"B","email":"a@b","phone":"1"}`},
		event{offset: 1, at: delivered, value: `{"customer_id":2,"first_name":"Bea","last_name":"B","email":"b@b"}`},
		event{offset: 2, at: delivered, value: `{"customer_id":1,"first_name":"Ada","last_name":"C","email":"a@c"}`})
	write(t, out, event{offset: 3, at: delivered, value: `{"customer_id":2,"deleted":true}`})
	got := lines(t, conn, "SELECT customer_id, last_name, isNull(phone), isNull(created_at), version FROM analytics.customers FINAL ORDER BY 1")
	if len(got) != 1 || got[0] != "1|C|1|1|4" {
		t.Errorf("customers %q, want the latest row of customer 1", got)
	}
}

func TestATimeThatClickHouseCannotHoldIsRefused(t *testing.T) {
	conn, dsn := shop(t)
	execute(t, conn, `CREATE TABLE analytics.sellers (id Int64, name String, email Nullable(String), phone Nullable(String), address Nullable(String),
		created_at Nullable(DateTime64(6, 'UTC')), version UInt64, is_deleted UInt8) ENGINE = ReplacingMergeTree(version, is_deleted) ORDER BY id`)
	parsed, err := Spec().ParseYAML("dsn: "+dsn+"\ntable: sellers\ncontract: ../../pipelines/contracts/sellers.yaml\nrefused: {test_refusals: {}}", nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := newOutput(parsed, service.MockResources())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close(context.Background())
	if err := out.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused.messages = nil
	write(t, out,
		event{offset: 0, at: delivered, value: `{"id":1,"name":"old","created_at":"1066-10-14T09:00:00Z"}`},
		event{offset: 1, at: delivered, value: `{"id":2,"name":"new","created_at":"2024-01-01T00:00:00Z"}`})
	if got := lines(t, conn, "SELECT id FROM analytics.sellers"); len(got) != 1 || got[0] != "2" {
		t.Errorf("stored %q, want 2", got)
	}
	if len(refused.messages) != 1 {
		t.Fatalf("%d rows refused, want 1", len(refused.messages))
	}
	if reasons, _ := refused.messages[0].MetaGet("refused_reasons"); !strings.Contains(reasons, "1900 to 2299") {
		t.Errorf("refused for %s, want the years that can be held", reasons)
	}
}
