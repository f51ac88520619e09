package kafkarows_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestATopicThatIsNotThereYetIsTakenOnceItIs(t *testing.T) {
	b := startBroker(t)
	m := b.join(t, "")
	m.none(t, "there is no topic")
	if _, err := b.admin.CreateTopic(t.Context(), 1, 1, nil, inputTopic); err != nil {
		t.Fatal(err)
	}
	b.produce(t, 0, 0, 2)
	m.collect(t, 2)
}

func TestRowsThatRetentionTookAreReportedAndReadingGoesOn(t *testing.T) {
	b := startBroker(t, kfake.SeedTopics(1, inputTopic))
	b.produce(t, 0, 0, 5)
	m := b.join(t, "")
	m.collect(t, 5)
	m.stop()
	b.produce(t, 0, 5, 20)
	deleted := kadm.Offsets{}
	deleted.Add(kadm.Offset{Topic: inputTopic, Partition: 0, At: 12})
	if _, err := b.admin.DeleteRecords(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	m = b.join(t, "")
	if got := m.collect(t, 8); got[0] != "0-12" {
		t.Errorf("reading went on with %v", got)
	}
	if log := m.log.String(); !strings.Contains(log, "7 rows, from offset 5 to 11") {
		t.Errorf("the log does not say what is gone:\n%s", log)
	}
}

func TestARecreatedTopicStopsTheInput(t *testing.T) {
	for name, restart := range map[string]bool{"while it runs": false, "while it is away": true} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, kfake.SeedTopics(1, inputTopic))
			b.produce(t, 0, 0, 5)
			m := b.join(t, "")
			m.collect(t, 5)
			eventually(t, "committed", func() bool { return b.committed(t, 0) == 5 })
			if restart {
				m.stop()
			}
			if _, err := b.admin.DeleteTopic(t.Context(), inputTopic); err != nil {
				t.Fatal(err)
			}
			if _, err := b.admin.CreateTopic(t.Context(), 1, 1, nil, inputTopic); err != nil {
				t.Fatal(err)
			}
			b.client.PurgeTopicsFromClient(inputTopic)
			b.produce(t, 0, 0, 3)
			if restart {
				// kfake drops a deleted topic's offsets, as Kafka does; an older backup of the group has them
				offsets := kadm.Offsets{}
				offsets.Add(kadm.Offset{Topic: inputTopic, Partition: 0, At: 5, LeaderEpoch: -1})
				if err := b.admin.CommitAllOffsets(t.Context(), "readers", offsets); err != nil {
					t.Fatal(err)
				}
				m = b.join(t, "")
			}
			eventually(t, "the input says why it stopped", func() bool { return strings.Contains(m.log.String(), "deleted and created again") })
			m.none(t, "rows of another topic came under offsets that were read")
		})
	}
}

func TestABrokerThatComesBackIsReadOn(t *testing.T) {
	dir := t.TempDir()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, inputTopic), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{Cluster: cluster, address: cluster.ListenAddrs()[0]}
	if b.client, err = kgo.NewClient(kgo.SeedBrokers(b.address), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	defer b.client.Close()
	b.produce(t, 0, 0, 3)
	m := b.join(t, "")
	m.collect(t, 3)
	cluster.Close()
	var port int
	if _, err := fmt.Sscanf(b.address[strings.LastIndexByte(b.address, ':')+1:], "%d", &port); err != nil {
		t.Fatal(err)
	}
	if cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(dir)); err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	defer m.stop()
	b.produce(t, 0, 3, 6)
	for seen := ""; seen != "0-5"; {
		got := m.next(t)
		seen = got.values()[len(got.rows)-1]
		got.answer <- nil
	}
}
