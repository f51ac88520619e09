package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/reconcile"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

const kafkaProperties = `process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=%[2]s
listeners=PLAINTEXT://%[1]s,CONTROLLER://%[2]s
advertised.listeners=PLAINTEXT://%[1]s
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=%[3]s
offsets.topic.num.partitions=6
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.ms=-1
`

// apacheKafka is a broker of Apache Kafka that is its own controller.
type apacheKafka struct {
	address string
	dir     string
	process *exec.Cmd
	output  *syncBuffer
}

// kafkaJars returns the folder of the broker's jars, in the cache under a name that is the hash of what
// is in it.
func kafkaJars(t *testing.T) string {
	t.Helper()
	return installed(t, "kafka", filepath.Join("kafka", "pom.xml"), func(dir, pom string) error {
		maven, err := exec.LookPath("mvn")
		if err != nil {
			return fmt.Errorf("the jars come by Maven (on Debian the package maven): %w", err)
		}
		return command(maven, "--batch-mode", "--quiet", "--file", pom, "dependency:copy-dependencies", "-DoutputDirectory="+dir)
	})
}

// startKafka formats a broker's directory and starts it.
func startKafka(t *testing.T) *apacheKafka {
	t.Helper()
	if _, err := exec.LookPath("java"); err != nil {
		t.Fatalf("Apache Kafka needs Java 17 (on Debian the package openjdk-17-jre-headless): %v", err)
	}
	k := &apacheKafka{address: freeAddress(t), dir: t.TempDir(), output: &syncBuffer{}}
	properties := fmt.Sprintf(kafkaProperties, k.address, freeAddress(t), filepath.Join(k.dir, "data"))
	if err := os.WriteFile(k.properties(), []byte(properties), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := k.java(t, "kafka.tools.StorageTool", "format", "--standalone", "-t", "Z6Kmh3L1QvWvl1xIV0wZrA", "-c", k.properties()).CombinedOutput(); err != nil {
		t.Fatalf("formatting Kafka's directory: %v: %s", err, output)
	}
	t.Cleanup(func() {
		if k.process != nil {
			k.kill()
		}
		if t.Failed() {
			t.Logf("Kafka printed:\n%s", k.output)
		}
	})
	k.start(t)
	return k
}

func (k *apacheKafka) properties() string { return filepath.Join(k.dir, "server.properties") }

func (k *apacheKafka) java(t *testing.T, arguments ...string) *exec.Cmd {
	cmd := exec.Command("java", append([]string{
		"-Xmx512m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(kafkaJars(t), "*"),
	}, arguments...)...)
	cmd.Dir = k.dir
	return cmd
}

// start returns once the broker answers.
func (k *apacheKafka) start(t *testing.T) {
	t.Helper()
	process := k.java(t, "kafka.Kafka", k.properties())
	process.Stdout, process.Stderr = k.output, k.output
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	k.process = process
	client, err := kgo.NewClient(kgo.SeedBrokers(k.address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, 2*time.Minute, "Kafka answers", func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := client.Ping(ctx)
		return err == nil, fmt.Sprint(err)
	})
}

// kill ends the broker as a crash would, and returns when it is gone.
func (k *apacheKafka) kill() {
	_ = k.process.Process.Kill()
	_ = k.process.Wait()
}

// besideKafka starts the other servers and a replica of the streams, set up as in production.
func besideKafka(t *testing.T, kafka *apacheKafka) *upproc.Process {
	t.Helper()
	servers, err := embedded.Start(t.Context(), embedded.Config{DataDir: t.TempDir(), CacheDir: os.Getenv("SHOP_CONNECT_CACHE")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := servers.Close(); err != nil {
			t.Error(err)
		}
	})
	vars := servers.Env()
	vars[env.KafkaBrokers] = kafka.address
	vars[env.StreamsUser] = "shop"
	vars[env.StreamsAddress] = freeAddress(t)
	vars[env.StreamsURL] = (&url.URL{Scheme: "http", Host: vars[env.StreamsAddress]}).String()
	for name, dir := range map[string]string{env.ContractsDir: filepath.Join(pipelinesDir, "contracts"), env.StreamsDir: os.Getenv(env.StreamsDir)} {
		if vars[name], err = filepath.Abs(dir); err != nil {
			t.Fatal(err)
		}
	}
	stack := &upproc.Process{Env: vars}
	if output, err := shopConnect(t, stack, "provision"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	r := startReplica(t, stack, pipelinesDir, env.StreamsAddress+"="+vars[env.StreamsAddress])
	vars[env.APIAddress] = r.address
	eventually(t, 3*time.Minute, "all streams are connected", func() (bool, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, vars[env.StreamsURL]+"/ready", nil)
		if err != nil {
			return false, err.Error()
		}
		request.SetBasicAuth(vars[env.StreamsUser], vars[env.StreamsPassword])
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err.Error()
		}
		defer response.Body.Close()
		said, err := io.ReadAll(response.Body)
		return response.StatusCode == http.StatusOK, fmt.Sprintf("%s %s %v", response.Status, said, err)
	})
	return stack
}

func TestApacheKafkaGivesTheSameResultThoughItIsKilledMidway(t *testing.T) {
	kafka := startKafka(t)
	stack := besideKafka(t, kafka)
	generator := load.DefaultGenerator(60_000, time.Now())
	generator.Days = 5
	source, err := load.NewGenerator(generator)
	if err != nil {
		t.Fatal(err)
	}

	client := load.NewClient(load.ClientConfig{URL: apiURL(stack), User: "admin", Password: "admin", Connections: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	loaded := make(chan error, 1)
	go func() {
		_, err := load.Run(ctx, client, source, 2, io.Discard)
		loaded <- err
	}()
	conn := openClickHouse(t, stack)
	eventually(t, 2*time.Minute, "some purchases have reached ClickHouse", func() (bool, string) {
		var rows uint64
		err := conn.QueryRow(t.Context(), "SELECT count() FROM analytics.purchases").Scan(&rows)
		return err == nil && rows > 5_000, fmt.Sprint(rows, " rows ", err)
	})
	kafka.kill()
	kafka.start(t)
	cancel()
	if err := <-loaded; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("loading: %v", err)
	}
	client.Close()

	// the same purchases again, as a client would send them that has had no answer
	again, err := load.NewGenerator(generator)
	if err != nil {
		t.Fatal(err)
	}
	assertDistinct(t, stack, again)
	sellOne(t, stack)
	assertStaged(t, stack, uint64(again.Truth().Distinct)+2)
}

// sellOne sells two pieces and takes one back: the outbox, and what facts know from compacted topics.
func sellOne(t *testing.T, stack *upproc.Process) {
	t.Helper()
	c := newClient(t, stack)
	c.want(t, 201, "POST", "/products", `{"id":"lamp","name":"Lamp","category":"light","price":19.99,"stock":10}`)
	c.want(t, 201, "POST", "/sellers", `{"name":"Lamps","email":"l@example.org","phone":"1","address":"x"}`)
	c.want(t, 201, "POST", "/customers", `{"first_name":"Ada","last_name":"King","email":"ada@example.org","country":"UK"}`)
	for _, id := range []string{"kept", "returned"} {
		c.want(t, 201, "POST", "/purchases", fmt.Sprintf(`{"id":%q,"product_id":"lamp","customer_id":1,"seller_id":1,"quantity":1}`, id))
	}
	c.want(t, 204, "DELETE", "/purchases/returned", "")
	conn := openClickHouse(t, stack)
	for table, query := range map[string]string{
		"ClickHouse": "SELECT groupArray(id) FROM analytics.purchases FINAL WHERE product_id = 'lamp'",
		"Iceberg": fmt.Sprintf(`SELECT groupArray(concat(id, ' ', ifNull(product_name, '-'), ' ', ifNull(seller_name, '-'), ' ', ifNull(customer_country, '-')))
			FROM icebergS3('%s/analytics/analytics.db/purchase_product_facts/', '%s', '%s') WHERE product_id = 'lamp'`,
			stack.Env[env.S3Endpoint], stack.Env[env.S3AccessKey], stack.Env[env.S3SecretKey]),
	} {
		want := map[string]string{"ClickHouse": "[kept]", "Iceberg": "[kept Lamp Lamps UK]"}[table]
		eventually(t, 2*time.Minute, table+" has what was sold", func() (bool, string) {
			var got []string
			err := conn.QueryRow(t.Context(), query).Scan(&got)
			return fmt.Sprint(got) == want, fmt.Sprint(got, err)
		})
	}
	c.want(t, 200, "GET", "/health", "")
	eraseOne(t, stack, c)
}

// eraseOne forgets a customer of whom a topic of refused rows knows too: of these, whole segments go.
func eraseOne(t *testing.T, stack *upproc.Process, c *client) {
	t.Helper()
	kafka, err := kgo.NewClient(kgo.SeedBrokers(stack.Env[env.KafkaBrokers]))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	refused := &kgo.Record{Topic: "customers", Key: []byte("1"), Value: []byte(`{"customer_id":1,"first_name":7,"email":"ada@example.org"}`)}
	if err := kafka.ProduceSync(t.Context(), refused).FirstErr(); err != nil {
		t.Fatal(err)
	}
	const topic = "customers.rejected"
	admin := kadm.NewClient(kafka)
	eventually(t, time.Minute, "the row is refused", func() (bool, string) {
		ends, err := admin.ListEndOffsets(t.Context(), topic)
		end, _ := ends.Lookup(topic, 0)
		return err == nil && end.Offset > 0, fmt.Sprint(end, err)
	})
	if output, err := shopConnect(t, stack, "run-batch", "erase_customer", "--param", "customer_id=1"); err != nil {
		t.Fatalf("erasing a customer: %v\n%s", err, output)
	}
	if runs := c.want(t, 200, "GET", "/runs?name=erase_customer", ""); strings.Contains(runs, "can be read by no client") {
		t.Errorf("segments of %s are left: %s", topic, runs)
	}
	starts, err := admin.ListStartOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	if start, _ := starts.Lookup(topic, 0); start.Offset == 0 {
		t.Errorf("%s still begins with what is erased: %+v", topic, start)
	}
}

// assertStaged brings all of Kafka to STAGE and holds both against each other, record by record (I4).
func assertStaged(t *testing.T, stack *upproc.Process, distinct uint64) {
	t.Helper()
	for _, batch := range []string{"process_kafka_data", "copy_raw_to_stage"} {
		if output, err := shopConnect(t, stack, "run-batch", batch); err != nil {
			t.Fatalf("%s: %v\n%s", batch, err, output)
		}
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(stack.Env[env.KafkaBrokers]))
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	ends, err := kadm.NewClient(kafka).ListEndOffsets(t.Context(), "purchases")
	if err != nil {
		t.Fatal(err)
	}
	var records int64
	ends.Each(func(end kadm.ListedOffset) { records += end.Offset })
	layers, err := reconcile.Count(t.Context(), stack.Env)
	if err != nil {
		t.Fatal(err)
	}
	if raw, stage := layers.Raw, layers.Stage; raw.Distinct != records || stage.Distinct != records || stage.Rows != records {
		t.Errorf("Kafka has %d records, RAW %+v, STAGE %+v, quarantine %v", records, raw, stage, layers.Quarantined)
	}
	var ids uint64
	if err := openClickHouse(t, stack).QueryRow(t.Context(), fmt.Sprintf("SELECT uniqExact(id) FROM s3('%s/shop-stage-data/purchases/**.parquet', '%s', '%s', 'Parquet')",
		stack.Env[env.S3Endpoint], stack.Env[env.S3AccessKey], stack.Env[env.S3SecretKey])).Scan(&ids); err != nil {
		t.Fatal(err)
	}
	if ids != distinct {
		t.Errorf("STAGE has %d purchases, %d were sent", ids, distinct)
	}
}
