package kafkarows

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

// sink is an output kafka_rows, as YAML makes it.
func sink(t testing.TB, fields string) *output {
	t.Helper()
	o, err := parseSink(fields)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close(context.Background()) })
	return o.(*output)
}

func parseSink(fields string) (service.BatchOutput, error) {
	conf, err := OutputSpec().ParseYAML(fields, nil)
	if err != nil {
		return nil, err
	}
	o, _, _, err := newOutput(conf, service.MockResources())
	return o, err
}

func connected(t testing.TB, fields string) *output {
	t.Helper()
	o := sink(t, fields)
	if err := o.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

const shopTopics = `
topic: purchases
refused_topic: purchases.rejected`

func at(broker string) string { return "seed_brokers: [" + strconv.Quote(broker) + "]" + shopTopics }

// kafka runs a broker that keeps its records in a directory, so that it can be started again.
func kafka(t testing.TB, dir string, port int, options ...kfake.Opt) (c *kfake.Cluster, address string) {
	t.Helper()
	c, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir), kfake.SeedTopics(3, "purchases", "purchases.rejected"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, c.ListenAddrs()[0]
}

// freePort is one that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func rowsBlock(values ...string) *service.Message {
	b := &record.Block{}
	for i, value := range values {
		b.Records = append(b.Records, &kgo.Record{Key: []byte(fmt.Sprintf("k-%d", i)), Value: []byte(value)})
	}
	return b.Message()
}

// read returns so many records of topics as "topic key value".
func read(t testing.TB, broker string, n int, topics ...string) (found []string, records []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d records of %d", len(records), n)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			records = append(records, r)
			found = append(found, r.Topic+" "+string(r.Key)+" "+string(r.Value))
		})
	}
	return found, records
}

func wantAll(t *testing.T, found []string, want ...string) {
	t.Helper()
	all := "\n" + strings.Join(found, "\n") + "\n"
	for _, w := range want {
		if strings.Count(all, "\n"+w+"\n") != 1 {
			t.Errorf("%q is not there once:%s", w, all)
		}
	}
}

func TestI1RowsOfAnAcknowledgedBatchAreInKafka(t *testing.T) {
	_, broker := kafka(t, t.TempDir(), 0)
	o := connected(t, at(broker))
	alone := service.NewMessage([]byte("alone"))
	alone.MetaSetMut(record.MetaEntityID, "a-1")
	moved := service.NewMessage([]byte("moved"))
	moved.MetaSetMut("kafka_key", "m-1")
	refused := service.NewMessage([]byte("not JSON"))
	refused.MetaSetMut(quarantine.MetaReasons, "[]")
	refused.MetaSetMut(quarantine.MetaSource, "r#1")
	refused.MetaSetMut("note", "stays here")
	if err := o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("0", "1"), alone, moved, rowsBlock("2"), refused}); err != nil {
		t.Fatal(err)
	}
	found, records := read(t, broker, 6, "purchases", "purchases.rejected")
	wantAll(t, found, "purchases k-0 0", "purchases k-1 1", "purchases k-0 2", "purchases a-1 alone", "purchases m-1 moved", "purchases.rejected r#1 not JSON")
	for _, r := range records {
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[h.Key] = string(h.Value)
		}
		if good := r.Topic == "purchases"; good && len(headers) > 0 || !good && (len(headers) != 2 || headers[quarantine.MetaSource] != "r#1") {
			t.Errorf("%s has headers %v", r.Value, headers)
		}
	}
}

func TestTopicKeyAndHeadersMayComeOfTheMessage(t *testing.T) {
	_, broker := kafka(t, t.TempDir(), 0, kfake.SeedTopics(1, "shop-7"))
	o := connected(t, "seed_brokers: [\""+broker+"\"]\ntopic: shop-${! @shop }\nkey: ${! this.id }\nheaders: [from, absent]")
	msg := service.NewMessage([]byte(`{"id":"x"}`))
	msg.MetaSetMut("shop", "7")
	msg.MetaSetMut("from", "till 3")
	block := rowsBlock("1")
	block.MetaSetMut("shop", "7")
	if err := o.WriteBatch(t.Context(), service.MessageBatch{msg, block}); err != nil {
		t.Fatal(err)
	}
	found, records := read(t, broker, 2, "shop-7")
	wantAll(t, found, `shop-7 x {"id":"x"}`, "shop-7 k-0 1")
	for _, r := range records {
		if alone := string(r.Key) == "x"; alone && (len(r.Headers) != 1 || r.Headers[0].Key != "from" || string(r.Headers[0].Value) != "till 3") || !alone && len(r.Headers) > 0 {
			t.Errorf("%s has headers %v", r.Key, r.Headers)
		}
	}
}

// Several outputs of a broker have the same block in hand.
func TestABlockIsNotChangedByBeingWritten(t *testing.T) {
	_, broker := kafka(t, t.TempDir(), 0)
	o := connected(t, at(broker))
	msg := rowsBlock("1", "2")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := o.WriteBatch(t.Context(), service.MessageBatch{msg}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, r := range record.BlockOf(msg).Records {
		if r.Topic != "" || !r.Timestamp.IsZero() || r.Offset != 0 {
			t.Errorf("the record is %+v", r)
		}
	}
	read(t, broker, 8, "purchases")
}

func TestABatchIsRejectedWithWhatToDo(t *testing.T) {
	_, broker := kafka(t, t.TempDir(), 0)
	refused := service.NewMessage(nil)
	refused.MetaSetMut(quarantine.MetaReasons, "[]")
	for _, tc := range []struct {
		name, fields string
		batch        service.MessageBatch
		says         []string
	}{
		{"a row too large", at(broker) + "\nmax_message_bytes: 10000", service.MessageBatch{rowsBlock("1", strings.Repeat("x", 10_001), "3")}, []string{`"purchases"`, "max_message_bytes", "max.message.bytes"}},
		{"a topic that is not there", strings.Replace(at(broker), "topic: purchases\n", "topic: nowhere\n", 1), service.MessageBatch{rowsBlock("1")}, []string{`"nowhere"`, "create it"}},
		{"no place for refused rows", strings.Replace(at(broker), "refused_topic: purchases.rejected", "", 1), service.MessageBatch{rowsBlock("1"), refused}, []string{"refused_topic"}},
		{"a topic that cannot be said", strings.Replace(at(broker), "topic: purchases\n", "topic: ${! this.a.uppercase() }\n", 1), service.MessageBatch{service.NewMessage([]byte("{}"))}, []string{"topic"}},
	} {
		o := connected(t, tc.fields)
		err := o.WriteBatch(t.Context(), tc.batch)
		for _, text := range tc.says {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: error %v does not say %s", tc.name, err, text)
			}
		}
		if tc.name != "a topic that is not there" && tc.name != "a topic that cannot be said" {
			if err := o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("next")}); err != nil {
				t.Errorf("%s: the next batch: %v", tc.name, err)
			}
		}
	}
}

func TestABrokerThatDoesNotAnswerIsAnErrorInBoundedTime(t *testing.T) {
	cluster, broker := kafka(t, t.TempDir(), 0)
	o := connected(t, at(broker)+"\nrecord_delivery_timeout: 1s")
	if err := o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("before")}); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-release })
		return nil, nil, false
	})
	begun := time.Now()
	err := o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("late")})
	if took := time.Since(begun); err == nil || !strings.Contains(err.Error(), "did not acknowledge within 1s") || took > 5*time.Second {
		t.Errorf("error %v after %v", err, took)
	}
	close(release)
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err = o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("after")}); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	found, _ := read(t, broker, 2, "purchases")
	wantAll(t, found, "purchases k-0 before")
}

// I1: across a broker that is away and comes back, what was acknowledged is there once.
func TestI1RowsAcknowledgedAroundARestartOfTheBrokerAreThereOnce(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	cluster, broker := kafka(t, dir, port)
	o := connected(t, at(broker)+"\nrecord_delivery_timeout: 2s")
	var mu sync.Mutex
	var acknowledged []string
	sofar := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	stop, begun := make(chan struct{}), make(chan struct{})
	var writers sync.WaitGroup
	var once sync.Once
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				value := fmt.Sprintf("%d-%d", w, i)
				if err := o.WriteBatch(context.Background(), service.MessageBatch{rowsBlock(value, value+"b")}); err == nil {
					mu.Lock()
					acknowledged = append(acknowledged, value)
					mu.Unlock()
					if i == 20 {
						once.Do(func() { close(begun) })
					}
				}
			}
		})
	}
	<-begun
	cluster.Close()
	if err := o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("while away")}); err == nil {
		t.Error("a broker that is away acknowledges")
	}
	before := sofar()
	_, broker = kafka(t, dir, port)
	for deadline := time.Now().Add(30 * time.Second); sofar() <= before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is acknowledged after the restart")
		}
	}
	close(stop)
	writers.Wait()
	count := map[string]int{}
	found, _ := read(t, broker, 2*len(acknowledged), "purchases")
	for _, f := range found {
		count[f]++
	}
	for _, value := range acknowledged {
		for _, want := range []string{"purchases k-0 " + value, "purchases k-1 " + value + "b"} {
			if count[want] != 1 {
				t.Errorf("%q is there %d times", want, count[want])
			}
		}
	}
}

func TestAbsentKafkaIsAnErrorOfConnectAndClosingIsSafe(t *testing.T) {
	o := sink(t, at("127.0.0.1:1"))
	if err := o.WriteBatch(t.Context(), service.MessageBatch{rowsBlock("1")}); !errors.Is(err, service.ErrNotConnected) {
		t.Errorf("writing before Connect: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := o.Connect(ctx); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), fieldBrokers) {
		t.Errorf("error is %v", err)
	}
	for range 2 {
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestOutputFaultsAreReportedAllAtOnce(t *testing.T) {
	_, err := parseSink(`
seed_brokers: [","]
topic: purchases
sasl: [{mechanism: PLAIN}]
record_delivery_timeout: 1ms
max_message_bytes: 5
max_buffered_records: 0
max_buffered_mib: -1`)
	if err == nil {
		t.Fatal("it is constructed")
	}
	for _, field := range []string{"seed_brokers", "username", "record_delivery_timeout", "max_message_bytes", "max_buffered_records", "max_buffered_mib"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not in %q", field, err)
		}
	}
}

func TestTheClientProvesWhoItIs(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"} {
		_, broker := kafka(t, t.TempDir(), 0, kfake.EnableSASL(), kfake.Superuser(mechanism, "shop", "right"))
		login := func(password string) string {
			return at(broker) + "\nsasl: [{mechanism: " + mechanism + ", username: shop, password: " + password + "}]"
		}
		if err := connected(t, login("right")).WriteBatch(t.Context(), service.MessageBatch{rowsBlock("1")}); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if err := sink(t, login("wrong")).Connect(ctx); err == nil || !strings.Contains(err.Error(), fieldSASL) {
			t.Errorf("%s: a wrong password: %v", mechanism, err)
		}
		cancel()
	}
}
