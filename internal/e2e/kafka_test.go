package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/embedded"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
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
	k.start(t)
	t.Cleanup(func() {
		k.kill()
		if t.Failed() {
			t.Logf("Kafka printed:\n%s", k.output)
		}
	})
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
	k.process = k.java(t, "kafka.Kafka", k.properties())
	k.process.Stdout, k.process.Stderr = k.output, k.output
	if err := k.process.Start(); err != nil {
		t.Fatal(err)
	}
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

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
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
	vars[env.JWTSecret] = strings.Repeat("not a secret ", 4)
	vars[env.StreamsUser], vars[env.StreamsPassword] = "shop", "shop"
	vars[env.StreamsAddress] = freeAddress(t)
	vars[env.StreamsURL] = (&url.URL{Scheme: "http", Host: vars[env.StreamsAddress]}).String()
	contracts, err := filepath.Abs(filepath.Join(pipelinesDir, "contracts"))
	if err != nil {
		t.Fatal(err)
	}
	vars[env.ContractsDir] = contracts
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
	loaded := make(chan error, 1)
	go func() {
		_, err := load.Run(ctx, client, source, 2, io.Discard)
		loaded <- err
	}()
	conn := openClickHouse(t, stack)
	eventually(t, 2*time.Minute, "some purchases have reached ClickHouse", func() (bool, string) {
		var rows uint64
		err := conn.QueryRow(t.Context(), "SELECT count() FROM analytics.purchases").Scan(&rows)
		select {
		case ended := <-loaded:
			if ended != nil {
				t.Fatalf("loading while Kafka is there: %v", ended)
			}
			loaded <- nil
		default:
		}
		return err == nil && rows > 5_000, fmt.Sprint(rows, " rows ", err)
	})
	kafka.kill()
	kafka.start(t)
	cancel()
	if err := <-loaded; err != nil && !errors.Is(err, context.Canceled) {
		t.Logf("the load that the broker's death interrupted: %v", err)
	}
	client.Close()

	// the same purchases again, as a client would send them that has had no answer
	again, err := load.NewGenerator(generator)
	if err != nil {
		t.Fatal(err)
	}
	assertDistinct(t, stack, again)
}
