package clickhousesink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/record"
)

// workspace holds one batch on its way from JSON to ClickHouse. It serves one batch at a time.
type workspace struct {
	cfg        config
	decoder    *columns.Decoder
	rows       *columns.Batch
	block      block
	compressor *compress.Writer
	keys       *keys
	touched    map[place]struct{}
}

func newWorkspace(cfg config) *workspace {
	w := &workspace{
		cfg: cfg, decoder: columns.NewDecoder(cfg.contract, columns.Valid, cfg.shop),
		rows: columns.NewBatch(cfg.contract, 1024), touched: map[place]struct{}{},
	}
	w.keys = newKeys(&w.cfg)
	if cfg.compression != compress.None {
		w.compressor = compress.NewWriter(compress.LevelZero, cfg.compression)
	}
	return w
}

// decode turns rows into columns and returns those that are refused, marked with every reason.
func (w *workspace) decode(batch service.MessageBatch, q *quarantine.Refused) (service.MessageBatch, error) {
	refused, err := w.fill(batch, q, nil)
	if err != nil {
		return nil, err
	}
	// A time outside of ClickHouse's years is so rare that the whole batch is read again without it.
	if unfit := w.fit(); len(unfit) > 0 {
		refused, err = w.fill(batch, q, unfit)
		w.fit()
	}
	return refused, err
}

// unplaced refuses a row that nothing orders among the events of its key.
var unplaced = []contract.Reason{{
	Rule: "position", Message: "must come with its place in Kafka: from a Kafka input, without headers named kafka_…",
}}

func (w *workspace) fill(batch service.MessageBatch, q *quarantine.Refused, unfit map[int][]contract.Reason) (service.MessageBatch, error) {
	w.rows.Reset()
	w.decoder.SetNow(time.Now())
	var refused service.MessageBatch
	i := -1
	for row, err := range record.Rows(batch) {
		i++
		if err != nil {
			return nil, fmt.Errorf("reading row %d of the batch: %w", i, err)
		}
		reasons := unfit[i]
		if !row.Placed {
			reasons = unplaced
		}
		if reasons == nil {
			if reasons, err = w.decoder.Append(w.rows, row.Value, row.Position, i); err != nil {
				return nil, fmt.Errorf("%w; make the batches smaller", err)
			}
		}
		if reasons != nil {
			refused = append(refused, q.Mark(row.Message(), row.Position, w.cfg.contract, reasons))
		}
	}
	return refused, nil
}

// The days that Date32 and DateTime64 can hold: the years 1900 to 2299.
const (
	firstDay = -25_567
	lastDay  = 120_529

	microsPerDay = 86_400_000_000
)

// fit returns why rows have a date or time that ClickHouse cannot hold, by the index of the row in its batch. Of
// a deletion the times only choose where it is stored, and are cut to what can be held.
func (w *workspace) fit() map[int][]contract.Reason {
	var found map[int][]contract.Reason
	for i := range w.cfg.contract.Fields {
		field, column := &w.cfg.contract.Fields[i], &w.rows.Columns[i]
		low, high := int64(firstDay), int64(lastDay)
		switch field.Type {
		case contract.Date:
		case contract.Timestamp:
			low, high = low*microsPerDay, (high+1)*microsPerDay-1
		default:
			continue
		}
		for row, v := range column.Int {
			if v >= low && v <= high {
				continue
			}
			if w.rows.Deleted[row] {
				column.Int[row] = min(max(v, low), high)
				continue
			}
			if found == nil {
				found = map[int][]contract.Reason{}
			}
			source := w.rows.Source[row]
			found[source] = append(found[source], contract.Reason{
				Field: field.Name, Rule: contract.RuleRange, Message: "must be in the years 1900 to 2299, is " + field.Format(v),
			})
		}
	}
	for row, day := range w.rows.Day {
		w.rows.Day[row] = min(max(day, firstDay), lastDay)
	}
	return found
}

// written is what a batch became.
type written struct{ rows, cancelled int }

// write stores the decoded rows. Any step may be repeated, by any process: the steps leave the same
// tables behind whether they run once or often, and whether they are cut short in between or not (I3).
func (w *workspace) write(ctx context.Context, conn driver.Conn, t *tables) (written, error) {
	if w.rows.Len == 0 {
		return written{}, nil
	}
	var cancels []cancel
	if w.cfg.dayIndex != "" {
		seenAt := batchMoment()
		if err := w.insert(ctx, conn, t.insertIndex, w.block.index(w.rows, seenAt)); err != nil {
			return written{}, fmt.Errorf("writing to %s: %w", w.cfg.dayIndex, err)
		}
		histories, err := w.cfg.earlier(ctx, conn, t.selectEarlier, seenAt)
		if err != nil {
			return written{}, fmt.Errorf("looking up earlier days in %s: %w", w.cfg.dayIndex, err)
		}
		cancels = w.keys.cancels(w.rows, histories)
	}
	if err := w.insert(ctx, conn, t.insertRows, w.block.rows(w.rows, t.nullable, &w.cfg, cancels)); err != nil {
		return written{}, fmt.Errorf("writing to %s: %w", w.cfg.table, err)
	}
	if w.cfg.daysTouched != "" {
		// After the rows can be read, so that whoever sees the day here sees them too (I8).
		clear(w.touched)
		var last place
		for row := range w.rows.Len {
			if at := w.cfg.rowPlace(w.rows, row); row == 0 || at != last {
				w.touched[at] = struct{}{}
				last = at
			}
		}
		for _, c := range cancels {
			w.touched[c.place] = struct{}{}
		}
		if err := w.insert(ctx, conn, t.insertDays, w.block.places(w.touched, w.cfg.sliceColumn != "")); err != nil {
			return written{}, fmt.Errorf("writing to %s: %w", w.cfg.daysTouched, err)
		}
	}
	return written{w.rows.Len, len(cancels)}, nil
}

// insertSettings hold for every insert.
var insertSettings = clickhouse.Settings{
	// I2: the answer comes once the rows are in the table, not in a buffer.
	"async_insert": 0,
	// A load of history touches hundreds of months at once.
	"max_partitions_per_insert_block": 0,
	// Rows of one key in a batch are left to FINAL and the merges: looking for them costs a third of the insert.
	"optimize_on_insert": 0,
	// On replicated tables a repeated block would be left out by its content; versions do that here (I3), and a
	// day that is touched again must be.
	"insert_deduplicate": 0,
}

// frameSize keeps compressed frames far below ClickHouse's limit of 1 GiB.
const frameSize = 1 << 20

func (w *workspace) insert(ctx context.Context, conn driver.Conn, statement string, native []byte) error {
	settings := insertSettings
	if w.compressor != nil {
		var framed []byte
		for len(native) > 0 {
			n := min(frameSize, len(native))
			if err := w.compressor.Compress(native[:n]); err != nil {
				return fmt.Errorf("compressing the block: %w", err)
			}
			framed, native = append(framed, w.compressor.Data...), native[n:]
		}
		native = framed
		settings = clickhouse.Settings{"decompress": 1}
		maps.Copy(settings, insertSettings)
	}
	err := conn.InsertFormat(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), "Native", statement, bytes.NewReader(native))
	var exception *clickhouse.Exception
	if errors.As(err, &exception) && exception.Code == codeUnknownTable {
		return fmt.Errorf("%w: run `shop-connect provision`, or create it", err)
	}
	return err
}

const codeUnknownTable = 60
