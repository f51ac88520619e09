package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
)

const (
	connections = 16
	bareTopic   = "bench"
	partitions  = 6
)

// ingestStep posts bodies of 1,000 purchases to the API, which answers once they are in Kafka.
func ingestStep() step {
	return step{name: "ingest", bareName: "franz-go produce", prepare: renderRows, run: runIngest, bare: bareIngest, check: checkIngest}
}

func renderRows(_ context.Context, b *bench) error {
	generator, err := load.NewGenerator(b.generator)
	if err == nil {
		b.rows, err = render(generator)
	}
	return err
}

func runIngest(ctx context.Context, b *bench) (measurement, error) {
	client := load.NewClient(load.ClientConfig{URL: "http://" + b.up.Env[env.APIAddress], User: "admin", Password: "admin", Connections: connections})
	defer client.Close()
	report, err := load.Run(ctx, client, b.rows, connections, io.Discard)
	if err != nil {
		return measurement{}, err
	}
	b.truth, b.rows = report.Truth, nil
	return measurement{rows: report.Truth.Sent, took: report.Took}, report.Check()
}

func bareIngest(ctx context.Context, b *bench) (measurement, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(b)...), kgo.DefaultProduceTopic(bareTopic),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000))
	if err != nil {
		return measurement{}, fmt.Errorf("opening Kafka: %w", err)
	}
	defer client.Close()
	if _, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, bareTopic); err != nil {
		return measurement{}, fmt.Errorf("creating topic: %w", err)
	}
	rows, err := b.validRows()
	if err != nil {
		return measurement{}, err
	}
	return bare(int64(len(rows)), func() error {
		var failure error
		for _, row := range rows {
			client.Produce(ctx, &kgo.Record{Key: row.id, Value: row.json}, func(_ *kgo.Record, err error) {
				if err != nil {
					failure = err
				}
			})
		}
		return errors.Join(client.Flush(ctx), failure)
	})
}

// checkIngest compares the topics with the truth: every accepted row is a record, every refused one too.
func checkIngest(ctx context.Context, b *bench) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(b)...))
	if err != nil {
		return fmt.Errorf("opening Kafka: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, "purchases", "purchases.rejected")
	if err != nil {
		return fmt.Errorf("listing offsets: %w", err)
	}
	records := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) { records[o.Topic] += o.Offset })
	if records["purchases"] != b.truth.Accepted || records["purchases.rejected"] != b.truth.Refused {
		return fmt.Errorf("topics hold %d accepted and %d refused, should be %d and %d",
			records["purchases"], records["purchases.rejected"], b.truth.Accepted, b.truth.Refused)
	}
	return nil
}

func brokers(b *bench) []string { return strings.Split(b.up.Env[env.KafkaBrokers], ",") }

// row is one accepted purchase, as the API put it into Kafka.
type row struct {
	id, json []byte
}

// validRows renders the same rows again, without the refused ones.
func (b *bench) validRows() ([]row, error) { return b.valid(int(b.truth.Accepted)) }

// valid renders so many valid rows, or as many as there are.
func (b *bench) valid(n int) ([]row, error) {
	generator, err := load.NewGenerator(b.generator)
	if err != nil {
		return nil, err
	}
	rows := make([]row, 0, n)
	for {
		if len(rows) == n {
			return rows, nil
		}
		json, valid, err := generator.Append(nil)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if valid {
			rows = append(rows, row{id: idOf(json), json: json})
		}
	}
}

// idOf cuts the id out of a rendered row.
func idOf(json []byte) []byte {
	_, rest, _ := strings.Cut(string(json), `"id":"`)
	id, _, _ := strings.Cut(rest, `"`)
	return []byte(id)
}
