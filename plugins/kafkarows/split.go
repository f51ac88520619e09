package kafkarows

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/record"
)

func init() {
	service.MustRegisterBatchProcessor("split_rows", SplitSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchProcessor, error) {
		return splitter{}, nil
	})
}

// SplitSpec documents processor split_rows.
func SplitSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Utility").
		Summary("Makes each row a message of its own, where rows travel many as one message.").
		Description("Put it before processors that are to see one row at a time, such as a `mapping`. Each row then costs as much as a message does, several times what it costs in a block. Messages of one row pass as they are.\n\nA row from Kafka has the metadata that the `redpanda` input gives it (`kafka_key`, `kafka_topic`, `kafka_partition`, `kafka_offset`, `kafka_timestamp_ms` and its headers); a row that input `jwt_http` took has its business key as `"+record.MetaEntityID+"`.").
		Example("Change single rows", "The rows of one request stay one batch, and are acknowledged together.", `
pipeline:
  processors:
    - split_rows: {}
    - mapping: |
        root = this
        root.channel = "web"
`).
		// so that YAML writes it as a processor without fields: split_rows: {}
		Field(service.NewObjectField("").Default(map[string]any{}))
}

type splitter struct{}

var _ service.BatchProcessor = splitter{}

// ProcessBatch keeps the rows one batch: they are acknowledged together, as they came (I1).
func (splitter) ProcessBatch(_ context.Context, batch service.MessageBatch) ([]service.MessageBatch, error) {
	split := make(service.MessageBatch, 0, record.Count(batch))
	for _, msg := range batch {
		if record.BlockOf(msg) == nil {
			split = append(split, msg)
			continue
		}
		for row, err := range record.Rows(service.MessageBatch{msg}) {
			if err != nil {
				return nil, err
			}
			split = append(split, row.Message().WithContext(msg.Context()))
		}
	}
	if len(split) == 0 {
		return nil, nil
	}
	return []service.MessageBatch{split}, nil
}

func (splitter) Close(context.Context) error { return nil }
