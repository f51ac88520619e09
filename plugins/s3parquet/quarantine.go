package s3parquet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/redpanda-data/benthos/v4/public/service"
	"golang.org/x/sync/errgroup"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	rejectedSuffix = ".rejected"
	// unknown stands for an entity or a layer that a message does not name.
	unknown = "unknown"
)

// folder is what an entity or layer must look like to be a folder's name; metadata is anybody's text.
var folder = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$`)

func init() {
	service.MustRegisterBatchOutput("s3_quarantine", QuarantineSpec(), newQuarantine)
}

// QuarantineSpec documents the output s3_quarantine.
func QuarantineSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Keeps refused rows, with who refused them, every reason, and their bytes as they came.").
		Description(`
It takes whatever it is given: bytes of any kind, with the metadata that sinks and the API give a refused row, or without. The key of an object is
`+"`<entity>/layer=<refused_by>/date=YYYY-MM-DD/<topic>-<partition>-<first offset>.parquet`"+`. The entity is the topic
without `+"`.rejected`"+`, else that of the metadata; a row of which nobody says who refused it is in `+"`layer=unknown`"+`; the day is that of the record's Kafka timestamp in UTC.
So a batch that is redelivered overwrites itself. A message that did not come from Kafka has a name of its own, and may be kept twice.`).
		Fields(bucketFields()...).
		Fields(
			service.NewIntField(fieldMaxInFlight).Description("How many batches are written at a time.").Default(4),
			service.NewBatchPolicyField(fieldBatching),
		)
}

type quarantineOutput struct {
	bucket *bucket
}

var _ service.BatchOutput = (*quarantineOutput)(nil)

func newQuarantine(conf *service.ParsedConfig, _ *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
	bucket, bucketErr := bucketFromParsed(conf)
	inFlight, inFlightErr := conf.FieldInt(fieldMaxInFlight)
	if inFlightErr == nil && inFlight < 1 {
		inFlightErr = fmt.Errorf("field %q: must be 1 or more", fieldMaxInFlight)
	}
	policy, policyErr := conf.FieldBatchPolicy(fieldBatching)
	return &quarantineOutput{bucket: bucket}, policy, inFlight, errors.Join(bucketErr, inFlightErr, policyErr)
}

func (q *quarantineOutput) Connect(ctx context.Context) error { return q.bucket.connect(ctx) }

// refusedRows are the rows of one object.
type refusedRows struct {
	key  string
	last int64
	rows []quarantine.Row
}

// WriteBatch returns once every row is in the store. I4: no bytes and no metadata make it fail; only the
// store can.
func (q *quarantineOutput) WriteBatch(ctx context.Context, messages service.MessageBatch) error {
	objects, err := arrange(messages)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelPuts)
	for _, object := range objects {
		group.Go(func() error {
			file, err := encodeRefused(object.rows)
			if err != nil {
				return fmt.Errorf("encoding object %q: %w", object.key, err)
			}
			_, err = q.bucket.put(ctx, object.key, file, object.last)
			return err
		})
	}
	return group.Wait()
}

// arrange sorts messages into objects.
func arrange(messages service.MessageBatch) ([]*refusedRows, error) {
	type id struct {
		folder string
		place
	}
	index := map[id]*refusedRows{}
	first := map[place]int64{}
	for came, err := range record.Rows(messages) {
		if err != nil {
			return nil, fmt.Errorf("reading a row of the batch: %w", err)
		}
		pos := came.Position
		if !came.Placed {
			pos = columns.Position{Partition: -1, Offset: -1, Timestamp: time.Now().UnixMicro()}
		}
		row := refusedRow(came.Message(), pos, came.Value)
		at := place{pos.Topic, pos.Partition}
		key := id{fmt.Sprintf("%s/layer=%s/date=%s/", row.Entity, row.Layer, clock.DateString(int64(clock.Day(pos.Timestamp, time.UTC)))), at}
		if index[key] == nil {
			index[key] = &refusedRows{}
		}
		index[key].rows = append(index[key].rows, row)
		if lowest, seen := first[at]; !seen || pos.Offset < lowest {
			first[at] = pos.Offset
		}
	}
	objects := make([]*refusedRows, 0, len(index))
	for key, object := range index {
		slices.SortStableFunc(object.rows, func(a, b quarantine.Row) int { return cmp.Compare(a.Offset, b.Offset) })
		object.last = object.rows[len(object.rows)-1].Offset
		object.key = key.folder + key.name(first[key.place])
		if key.topic == "" {
			object.key = key.folder + uuid.Must(uuid.NewV7()).String() + suffix
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func refusedRow(msg *service.Message, pos columns.Position, value []byte) quarantine.Row {
	row := quarantine.Row{
		Entity: entityOf(msg, pos.Topic), Layer: folderOf(msg, quarantine.MetaBy),
		Reasons: reasonsOf(msg), Source: text(msg, quarantine.MetaSource),
		RefusedAt: pos.Timestamp, Value: value,
		Topic: pos.Topic, Partition: pos.Partition, Offset: pos.Offset,
	}
	if row.Source == "" && pos.Topic != "" {
		row.Source = string(columns.AppendDerivedID(nil, pos))
	}
	// 0 is no version of any contract
	row.ContractVersion, _ = strconv.ParseInt(text(msg, quarantine.MetaVersion), 10, 64)
	return row
}

// entityOf names what the row was sent as. The contract in the metadata may be that of a table which
// joins it with others.
func entityOf(msg *service.Message, topic string) string {
	if entity, rejected := strings.CutSuffix(topic, rejectedSuffix); rejected && folder.MatchString(entity) {
		return entity
	}
	return folderOf(msg, quarantine.MetaEntity)
}

func folderOf(msg *service.Message, key string) string {
	if name := text(msg, key); folder.MatchString(name) {
		return name
	}
	return unknown
}

// reasonsOf returns a JSON array of reasons whatever the metadata holds.
func reasonsOf(msg *service.Message) string {
	given := text(msg, quarantine.MetaReasons)
	var reasons []contract.Reason
	if err := json.Unmarshal([]byte(given), &reasons); err == nil && len(reasons) > 0 {
		return given
	}
	message := "came without a reason"
	if given != "" {
		message = "came with a reason that is not of the usual form: " + given
	}
	return quarantine.ReasonsJSON([]contract.Reason{{Rule: unknown, Message: message}})
}

func text(msg *service.Message, key string) string {
	value, _ := msg.MetaGet(key)
	return strings.ToValidUTF8(value, "\uFFFD")
}

func encodeRefused(rows []quarantine.Row) ([]byte, error) {
	var file bytes.Buffer
	writer := parquet.NewGenericWriter[quarantine.Row](&file, parquetfile.Zstd.WriterOption())
	if _, err := writer.Write(rows); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

func (q *quarantineOutput) Close(context.Context) error { return nil }
