package doctor_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/apache/iceberg-go"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/doctor"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

// enough for a check on a machine that is busy.
const enough = time.Minute

// patient is what a test may break: variables of its own, and the servers, which provision repairs.
type patient struct {
	testing.TB
	vars map[string]string
}

func newPatient(t testing.TB) *patient {
	t.Helper()
	vars := testservers.Env(t)
	pipelines := t.TempDir()
	if err := os.CopyFS(pipelines, os.DirFS(filepath.Join("..", "..", "pipelines"))); err != nil {
		t.Fatal(err)
	}
	vars[env.ContractsDir] = filepath.Join(pipelines, "contracts")
	p := &patient{t, vars}
	p.provision()
	return p
}

func (p *patient) provision() {
	p.Helper()
	if err := provision.All(context.Background(), testservers.Env(p)); err != nil {
		p.Fatal(err)
	}
}

// examine also makes sure that no secret is shown.
func (p *patient) examine(cfg doctor.Config) *doctor.Report {
	p.Helper()
	if cfg.Vars == nil {
		cfg.Vars = p.vars
	}
	if cfg.Patience == 0 {
		cfg.Patience = enough
	}
	report := doctor.Examine(p.Context(), cfg)
	var shown bytes.Buffer
	if err := report.WriteText(&shown, true); err != nil {
		p.Fatal(err)
	}
	if err := report.WriteJSON(&shown); err != nil {
		p.Fatal(err)
	}
	secrets := []string{cfg.Vars[env.S3SecretKey], cfg.Vars[env.JWTSecret], cfg.Vars[env.StreamsPassword]}
	for _, name := range []string{env.PostgresDSN, env.ClickHouseDSN} {
		if dsn, err := url.Parse(cfg.Vars[name]); err == nil {
			password, _ := dsn.User.Password()
			secrets = append(secrets, password)
		}
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(shown.String(), secret) {
			p.Errorf("a secret is shown:\n%s", &shown)
		}
	}
	return report
}

func (p *patient) postgres(statements ...string) {
	p.Helper()
	conn, err := pgx.Connect(context.Background(), p.vars[env.PostgresDSN])
	if err != nil {
		p.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			p.Fatalf("%s: %v", statement, err)
		}
	}
}

func (p *patient) clickhouse(statement string) {
	p.Helper()
	options, err := clickhouse.ParseDSN(p.vars[env.ClickHouseDSN])
	if err != nil {
		p.Fatal(err)
	}
	db := clickhouse.OpenDB(options)
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		p.Fatalf("%s: %v", statement, err)
	}
}

// topic makes a topic anew, with other settings than provision gives it.
func (p *patient) topic(name string, partitions int32, config map[string]*string) {
	p.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.vars[env.KafkaBrokers]))
	if err != nil {
		p.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if _, err := admin.DeleteTopic(context.Background(), name); err != nil {
		p.Fatal(err)
	}
	if partitions > 0 {
		if _, err := admin.CreateTopic(context.Background(), partitions, 1, config, name); err != nil {
			p.Fatal(err)
		}
	}
}

// store puts a proxy before S3 that refuses writes, or whose clock is wrong.
func (p *patient) store(refuse string, ahead time.Duration) {
	p.Helper()
	target, err := url.Parse(p.vars[env.S3Endpoint])
	if err != nil {
		p.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, // which is signed
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			return nil
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != refuse {
			proxy.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<Error><Code>AccessDenied</Code><Message>the bucket is read-only</Message></Error>`))
	}))
	p.Cleanup(server.Close)
	p.vars[env.S3Endpoint] = server.URL
}

// gain gives the purchase contract a field.
func (p *patient) gain(field string) {
	p.Helper()
	path := filepath.Join(p.vars[env.ContractsDir], "purchases.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		p.Fatal(err)
	}
	changed := strings.Replace(string(text), "version: 1", "version: 2", 1) + "  - name: " + field + "\n    type: string\n    doc: New.\n"
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		p.Fatal(err)
	}
}

// facts makes the Iceberg table with a column of another type than the contract's.
func (p *patient) facts() {
	p.Helper()
	db, err := sql.Open("pgx", p.vars[env.PostgresDSN])
	if err != nil {
		p.Fatal(err)
	}
	defer db.Close()
	catalog, err := sqlcatalog.NewCatalog("shop", db, sqlcatalog.Postgres, iceberg.Properties{
		"warehouse": "s3://analytics", iceio.S3EndpointURL: p.vars[env.S3Endpoint], iceio.S3Region: p.vars[env.S3Region],
		iceio.S3AccessKeyID: p.vars[env.S3AccessKey], iceio.S3SecretAccessKey: p.vars[env.S3SecretKey],
	})
	if err != nil {
		p.Fatal(err)
	}
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String, Required: true},
		iceberg.NestedField{ID: 2, Name: "purchase_date", Type: iceberg.PrimitiveTypes.Date, Required: true},
		iceberg.NestedField{ID: 3, Name: "quantity", Type: iceberg.PrimitiveTypes.String})
	ctx, name := context.Background(), table.Identifier{"analytics", "purchase_product_facts"}
	if err := catalog.CreateNamespace(ctx, name[:1], nil); err != nil {
		p.Fatal(err)
	}
	if _, err := catalog.CreateTable(ctx, name, schema); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { p.postgres("DELETE FROM iceberg_tables", "DELETE FROM iceberg_namespace_properties") })
}

func TestNothingIsFoundInAHealthyShop(t *testing.T) {
	p := newPatient(t)
	report := p.examine(doctor.Config{DataDir: t.TempDir()})
	for _, f := range report.Findings() {
		// no stream runs here, so nobody reads and nobody has made the table
		known := f.Server == "Iceberg" || f.Server == "Kafka" && f.Check == "groups"
		if f.Level != doctor.OK && !known {
			t.Errorf("%+v", f)
		}
	}
	seen := map[string]bool{}
	for _, f := range report.Findings() {
		seen[f.Server+" "+f.Check] = true
	}
	for _, wanted := range []string{"Settings disk", "Kafka topics", "S3 shop-stage-data", "PostgreSQL rights", "ClickHouse rights", "ClickHouse schema"} {
		if !seen[wanted] {
			t.Errorf("%s was not looked at", wanted)
		}
	}
	if left := objects(t, "shop-raw-data"); len(left) > 0 {
		t.Errorf("it leaves %v behind", left)
	}
}

func TestEachFaultIsFoundWithWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		what          string
		breaks        func(p *patient)
		server, check string
		level         doctor.Level
		found, do     string
	}{
		{"a variable is missing", func(p *patient) { delete(p.vars, env.S3Region) }, "Settings", "variables", doctor.Fault, "S3_REGION", "README"},
		{"a short secret", func(p *patient) { p.vars[env.JWTSecret] = "admin" }, "Settings", "secret", doctor.Fault, "5 bytes", "openssl"},
		{"no such zone", func(p *patient) { p.vars[env.ShopTimezone] = "Mars" }, "Settings", "timezone", doctor.Fault, "Mars", "Europe/Berlin"},
		{"no contracts", func(p *patient) { p.vars[env.ContractsDir] = p.TempDir() }, "Settings", "contracts", doctor.Fault, "no *.yaml", "CONTRACTS_DIR"},
		{"Kafka is away", func(p *patient) { p.vars[env.KafkaBrokers] = "127.0.0.1:1" }, "Kafka", "reach", doctor.Fault, "refused", "KAFKA_BROKERS"},
		{"a topic is missing", func(p *patient) { p.topic("sellers.rejected", 0, nil) }, "Kafka", "topics", doctor.Fault, "sellers.rejected is missing", "shop-connect provision"},
		{"a topic is too narrow", func(p *patient) {
			p.topic("purchases", 2, nil)
			p.Cleanup(func() { p.topic("purchases", 0, nil); p.provision() })
		}, "Kafka", "topics", doctor.Warning, "purchases has 2 partitions, not 6", "key must stay"},
		{"a topic forgets", func(p *patient) { p.topic("products", 3, nil) }, "Kafka", "topics", doctor.Fault, `cleanup.policy "delete", not "compact"`, "shop-connect provision"},
		{"nobody reads", func(*patient) {}, "Kafka", "groups", doctor.Warning, "purchases-raw", "shop-connect streams"},
		{"a bucket is missing", func(p *patient) { removeBucket(p, "shop-quarantine") }, "S3", "shop-quarantine", doctor.Fault, "no bucket", "shop-connect provision"},
		{"S3 takes no writes", func(p *patient) {
			p.postgres("INSERT INTO raw_objects (bucket, entity, key, etag, size) VALUES ('shop-raw-data', 'purchases', 'k', 'e', 1)")
			p.Cleanup(func() { p.postgres("DELETE FROM raw_objects") })
			p.store(http.MethodPut, 0)
		}, "S3", "shop-raw-data", doctor.Fault, "writing is refused: the bucket is read-only (AccessDenied); last written to RAW, UTC: purchases 20", "read-only"},
		{"wrong keys", func(p *patient) { p.vars[env.S3SecretKey] = "wrong-secret-key" }, "S3", "analytics", doctor.Fault, "SignatureDoesNotMatch", "S3_SECRET_KEY"},
		{"the store's clock is wrong", func(p *patient) { p.store("", 10*time.Minute) }, "S3", "reach", doctor.Fault, "10 min ahead of", "NTP"},
		{"the store's clock is a bit wrong", func(p *patient) { p.store("", -2*time.Minute) }, "S3", "reach", doctor.Warning, "behind", "NTP"},
		{"a migration is missing", func(p *patient) {
			p.postgres("DELETE FROM goose_db_version WHERE version_id = 13")
			p.Cleanup(func() { p.postgres("INSERT INTO goose_db_version (version_id, is_applied) VALUES (13, true)") })
		}, "PostgreSQL", "migrations", doctor.Fault, "13", "shop-connect provision"},
		{"a newer version was here", func(p *patient) {
			p.postgres("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
			p.Cleanup(func() { p.postgres("DELETE FROM goose_db_version WHERE version_id = 99999") })
		}, "PostgreSQL", "migrations", doctor.Warning, "99999", "newer version"},
		{"rights are missing", func(p *patient) {
			p.postgres("REVOKE INSERT, DELETE ON outbox FROM CURRENT_USER")
			p.Cleanup(func() { p.postgres("GRANT INSERT, DELETE ON outbox TO CURRENT_USER") })
		}, "PostgreSQL", "rights", doctor.Fault, "outbox: INSERT, DELETE", "provision --roles"},
		{"Kafka has refused an event", func(p *patient) {
			p.postgres("INSERT INTO outbox (topic, key, payload, refused) VALUES ('purchases', 'a', '{}', 'too large')")
			p.Cleanup(func() { p.postgres("DELETE FROM outbox") })
		}, "PostgreSQL", "outbox", doctor.Warning, "too large", "UPDATE outbox"},
		{"a run has failed", func(p *patient) {
			p.postgres("INSERT INTO batch_runs (id, name, status, error) VALUES (gen_random_uuid(), 'compact', 'failed', 'no room')")
			p.Cleanup(func() { p.postgres("DELETE FROM batch_runs") })
		}, "PostgreSQL", "runs", doctor.Warning, "no room", "run-batch compact"},
		{"a contract that rows do not fit", func(p *patient) {
			text, err := os.ReadFile(filepath.Join(p.vars[env.ContractsDir], "purchases.yaml"))
			if err != nil {
				p.Fatal(err)
			}
			more := strings.Replace(string(text), "version: 1", "version: 2", 1) + "  - name: coupon\n    type: string\n"
			p.postgres("INSERT INTO contracts (entity, version, document) VALUES ('purchases', 2, $doc$" + more + "$doc$)")
			p.Cleanup(func() { p.postgres("DELETE FROM contracts") })
		}, "PostgreSQL", "contracts", doctor.Fault, `"coupon": is gone`, "correct the contract"},
		{"a migration of ClickHouse is missing", func(p *patient) {
			p.clickhouse("DELETE FROM schema_migrations WHERE name = '0021_purchases_hourly.sql' SETTINGS mutations_sync = 2")
		}, "ClickHouse", "migrations", doctor.Fault, "0021_purchases_hourly.sql", "shop-connect provision"},
		{"a contract has gained a field", func(p *patient) { p.gain("coupon_code") }, "ClickHouse", "schema", doctor.Warning, "coupon_code", "purchases_clickhouse again"},
		{"a column is gone", func(p *patient) {
			p.clickhouse("ALTER TABLE purchases DROP COLUMN seller_id")
			p.Cleanup(func() { p.clickhouse("ALTER TABLE purchases ADD COLUMN seller_id Int64") })
		}, "ClickHouse", "schema", doctor.Fault, "no column seller_id", "purchases_clickhouse does not start"},
		{"ClickHouse is away", func(p *patient) { p.vars[env.ClickHouseDSN] = "http://shop:a-password@127.0.0.1:1/analytics" }, "ClickHouse", "reach", doctor.Fault, "refused", "CLICKHOUSE_DSN"},
		{"the facts are of another type", func(p *patient) { p.facts() }, "Iceberg", "schema", doctor.Fault, `"quantity" is string`, "purchases_iceberg"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			p := newPatient(t)
			tc.breaks(p)
			report := p.examine(doctor.Config{})
			at := slices.IndexFunc(report.Findings(), func(f doctor.Finding) bool {
				return f.Server == tc.server && f.Check == tc.check && f.Level == tc.level && strings.Contains(f.Found, tc.found) && strings.Contains(f.Do, tc.do)
			})
			if at < 0 {
				t.Errorf("not found: %s, %s, %s with %q and %q in\n%+v", tc.level, tc.server, tc.check, tc.found, tc.do, report.Findings())
			}
			if tc.level == doctor.Fault && report.Level != doctor.Fault {
				t.Errorf("the report is %s: %s", report.Level, report.Summary)
			}
		})
	}
}

func TestAServerThatHangsHoldsUpNoOther(t *testing.T) {
	p := newPatient(t)
	testservers.HangPostgres(t)
	const patience = 8 * time.Second
	began := time.Now()
	report := p.examine(doctor.Config{Patience: patience})
	if took := time.Since(began); took > 3*patience {
		t.Errorf("it took %s", took)
	}
	for _, f := range report.Findings() {
		switch {
		case f.Server == "PostgreSQL" && (f.Check != "reach" || f.Level != doctor.Fault || !strings.Contains(f.Found, "no answer within ") || !strings.Contains(f.Do, "process")):
			t.Errorf("%+v", f)
		case f.Server == "ClickHouse" && f.Level != doctor.OK, f.Server == "Kafka" && f.Check == "topics" && f.Level != doctor.OK:
			t.Errorf("%+v", f)
		}
	}
}

func TestTheProgramItselfIsAsked(t *testing.T) {
	p := newPatient(t)
	sick := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); r.URL.Path == "/ready" && password != p.vars[env.StreamsPassword] {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte("streams purchases_raw are not connected\n"))
	}))
	defer sick.Close()
	p.vars[env.StreamsURL], p.vars[env.StreamsUser] = sick.URL, "shop"
	report := p.examine(doctor.Config{HealthURL: "http://127.0.0.1:1/health"})
	want := map[string]doctor.Level{"api": doctor.Warning, "streams": doctor.Fault}
	for _, f := range report.Findings() {
		if f.Server != "shop-connect" {
			continue
		}
		if f.Level != want[f.Check] || f.Do == "" {
			t.Errorf("%+v", f)
		}
		if f.Check == "streams" && !strings.Contains(f.Found, "purchases_raw") {
			t.Errorf("the stream is not named: %+v", f)
		}
	}
}

func TestAConnectionStringThatIsNoneShowsNoPassword(t *testing.T) {
	const password = "correct-horse-battery"
	vars := map[string]string{env.PostgresDSN: "postgres://shop?" + password + "@127.0.0.1:1/shop", env.ClickHouseDSN: "http://shop:" + password + "%zz@127.0.0.1:1/analytics"}
	for _, f := range doctor.Examine(t.Context(), doctor.Config{Vars: vars, Patience: enough}).Findings() {
		if strings.Contains(f.Found+f.Do, password) {
			t.Errorf("%+v", f)
		}
	}
}

func TestTheReportIsForPeopleAndForMachines(t *testing.T) {
	report := doctor.Examine(t.Context(), doctor.Config{Vars: map[string]string{}})
	var plain, coloured, machine bytes.Buffer
	for _, err := range []error{report.WriteText(&plain, false), report.WriteText(&coloured, true), report.WriteJSON(&machine)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b") {
		t.Error("colours are for terminals alone")
	}
	lines := strings.Split(strings.TrimSpace(plain.String()), "\n")
	if last := lines[len(lines)-1]; last != report.Summary || !strings.Contains(last, "begin with Settings, variables: environment variables are not set: KAFKA_BROKERS, S3_ENDPOINT") {
		t.Errorf("the last line is %q", last)
	}
	var read doctor.Report
	if err := json.Unmarshal(machine.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Level != doctor.Fault || len(read.Servers) != len(report.Servers) || len(read.Findings()) != len(report.Findings()) {
		t.Errorf("read back: %+v", read)
	}
}
