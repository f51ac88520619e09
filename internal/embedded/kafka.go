package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	dirKafka = "kafka"

	kafkaPartitions = 6
	// kafkaLogBytes caps what a topic keeps. After a crash the broker reads all of it into memory, at
	// about 0.5 GB/s; less would drop records that a stream which lags behind has still to read.
	kafkaLogBytes = 4 << 30
	// kafkaSegmentBytes is what a partition takes in memory while the broker starts after a clean stop.
	kafkaSegmentBytes = 32 << 20
	retentionInterval = 30 * time.Second
)

func newKafka(l layout, address string) *server {
	return &server{
		name: nameKafka, engine: "franz-go kfake", address: address,
		data: l.data(dirKafka), log: l.log(dirKafka), stopSignal: syscall.SIGTERM,
		command: childCmd(childKafka, childConfig{Address: address, DataDir: l.data(dirKafka)}),
		probe:   func(ctx context.Context) error { return probeKafka(ctx, address) },
	}
}

func probeKafka(ctx context.Context, address string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RequestRetries(0))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Ping(ctx)
}

// serveKafka runs a broker until ctx ends. I1: an acknowledged record is in the log file, so it outlives
// kill -9 of every process; like any Kafka with default settings it leaves the flush to the disk to the
// kernel.
func serveKafka(ctx context.Context, cfg childConfig) error {
	_, port, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return fmt.Errorf("parsing address: %w", err)
	}
	portNumber, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("parsing port: %w", err)
	}
	clients := &connections{open: map[string]struct{}{}}
	cluster, err := kfake.NewCluster(
		kfake.ListenFn(clients.listen),
		kfake.NumBrokers(1),
		kfake.Ports(portNumber), // on 127.0.0.1
		kfake.DataDir(cfg.DataDir),
		kfake.DefaultNumPartitions(kafkaPartitions),
		kfake.BrokerConfigs(map[string]string{
			"log.segment.bytes":   strconv.Itoa(kafkaSegmentBytes),
			"log.retention.bytes": strconv.Itoa(kafkaLogBytes / kafkaPartitions), // of one partition
			// By size only: purchases of years ago carry the time they were made.
			"log.retention.ms": "-1",
		}),
		kfake.WithLogger(kfake.BasicLogger(os.Stderr, kfake.LogLevelWarn)),
	)
	if err != nil {
		return fmt.Errorf("starting broker: %w", err)
	}
	defer cluster.Close()
	debug.FreeOSMemory() // what reading the log took
	createTopicsOnDemand(cluster)
	go expireMembers(ctx, cfg.Address, clients)
	touched := make(chan struct{}, 1)
	compactOnDemand(cluster, touched)

	retention := time.NewTicker(retentionInterval)
	defer retention.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-retention.C:
			cluster.ApplyRetention()
		case <-touched:
			cluster.Compact()
		}
	}
}

// createTopicsOnDemand makes the topics that clients ask for by name. kfake can do so itself, but then
// forgets such a topic, and every record in it, when it is killed before another topic changes (I1):
// CreateTopic writes the list of topics down.
func createTopicsOnDemand(cluster *kfake.Cluster) {
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		// kfake remembers every connection that a control function has seen, so each serves one request.
		cluster.DropControl()
		createTopicsOnDemand(cluster)

		metadata, ok := req.(*kmsg.MetadataRequest)
		if !ok || !metadata.AllowAutoTopicCreation {
			return nil, nil, false
		}
		for _, topic := range metadata.Topics {
			if topic.Topic == nil {
				continue
			}
			err := cluster.CreateTopic(*topic.Topic, kafkaPartitions, nil)
			if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
				fmt.Fprintf(os.Stderr, "creating topic %s: %v\n", *topic.Topic, err)
			}
		}
		return nil, nil, false // the broker answers
	})
}

// compactOnDemand compacts what is to be compacted when somebody sets delete.retention.ms of a topic, and nothing
// else. By itself the broker does so once an hour: who erases a person cannot wait for that. It writes its
// files anew and is not to be killed amid that, so it does so no more often than it is asked to.
func compactOnDemand(cluster *kfake.Cluster, touched chan<- struct{}) {
	cluster.ControlKey(int16(kmsg.IncrementalAlterConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		// as above, each serves one request
		cluster.DropControl()
		compactOnDemand(cluster, touched)
		alter, ok := req.(*kmsg.IncrementalAlterConfigsRequest)
		if ok && len(alter.Resources) == 1 && len(alter.Resources[0].Configs) == 1 && alter.Resources[0].Configs[0].Name == "delete.retention.ms" {
			select {
			case touched <- struct{}{}:
			default: // it is about to be done anyway
			}
		}
		return nil, nil, false // the broker answers
	})
}
