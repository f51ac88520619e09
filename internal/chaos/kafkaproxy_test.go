package chaos

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKafkaClientsStayBehindTheProxies(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(6, "things"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var mu sync.Mutex
	proxies := map[string]*kafkaProxy{}
	var advertise func(string) (string, error)
	advertise = func(broker string) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if proxies[broker] == nil {
			p, err := newKafkaProxy(broker, advertise)
			if err != nil {
				return "", err
			}
			proxies[broker] = p
		}
		return proxies[broker].address(), nil
	}
	seed, err := advertise(cluster.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.DefaultProduceTopic("things"), kgo.ConsumeTopics("things"),
		kgo.ConsumerGroup("readers"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const rows = 300
	for n := range rows {
		client.Produce(t.Context(), kgo.StringRecord(fmt.Sprint(n)), nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for read := 0; read < rows; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		read += fetches.NumRecords()
	}
	if len(proxies) != 3 {
		t.Errorf("%d brokers are behind proxies, want 3", len(proxies))
	}
	// with the proxies everything is gone, so nothing went past them
	for _, p := range proxies {
		if err := p.close(); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if fresh.Ping(t.Context()) == nil {
		t.Error("Kafka answers behind a closed proxy")
	}
}
