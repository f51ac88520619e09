package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// What follows names rows where Counter counts them: for those who must say which are missing, or twice.

// Places are offsets of Kafka records by "<topic>-<partition>". A refused row that was none has a space of
// another name.
type Places map[string]*roaring64.Bitmap

// RecordPlaces are the Kafka records that the Parquet layers hold.
type RecordPlaces struct {
	Raw, Stage Places
	// StageRows counts rows, so that one that is twice shows.
	StageRows int64
	// Refused are the places of quarantined rows by the layer that refused them.
	Refused map[string]Places
}

// RecordPlaces reads which records RAW, STAGE and quarantine hold.
func (c *Counter) RecordPlaces(ctx context.Context) (RecordPlaces, error) {
	var found RecordPlaces
	raw, _, err := c.objects.places(ctx, bucketRaw)
	if err != nil {
		return found, fmt.Errorf("reading RAW: %w", err)
	}
	stage, rows, err := c.objects.places(ctx, bucketStage)
	if err != nil {
		return found, fmt.Errorf("reading STAGE: %w", err)
	}
	keys, err := c.objects.read(ctx, bucketQuarantine)
	if err != nil {
		return found, fmt.Errorf("reading quarantine: %w", err)
	}
	sets := map[string]*placeSet{}
	for _, key := range keys {
		layer, _ := layerOf(key.key)
		if sets[layer] == nil {
			sets[layer] = newPlaceSet()
		}
		sets[layer].add(c.objects.known[key].places)
	}
	found = RecordPlaces{Raw: raw.named(true), Stage: stage.named(true), StageRows: rows, Refused: map[string]Places{}}
	for layer, set := range sets {
		found.Refused[layer] = set.named(false)
	}
	return found, nil
}

func (c *objectCounter) places(ctx context.Context, bucket string) (*placeSet, int64, error) {
	keys, err := c.read(ctx, bucket)
	if err != nil {
		return nil, 0, err
	}
	var rows int64
	set := newPlaceSet()
	for _, key := range keys {
		rows += c.known[key].rows
		set.add(c.known[key].places)
	}
	return set, rows, nil
}

// named writes the partition's number behind the topic, where it is not part of the space already.
func (s *placeSet) named(numbered bool) Places {
	places := Places{}
	for p, offsets := range s.offsets {
		name := p.topic
		if numbered {
			name += "-" + strconv.FormatInt(p.number, 10)
		}
		places[name] = offsets
	}
	return places
}

// Sale is one row of an analytical table.
type Sale struct {
	Quantity int64
	// Units is the price in ten-thousandths.
	Units int64
	Day   string
}

// ClickHouseRows visits every purchase of analytics.purchases.
func (c *Counter) ClickHouseRows(ctx context.Context, visit func(id string, s Sale)) (err error) {
	rows, err := c.clickhouse.QueryContext(ctx, `SELECT id, quantity, toInt64(price_at_time * 10000), toString(purchase_date) FROM analytics.purchases FINAL`)
	if err != nil {
		return fmt.Errorf("querying analytics.purchases: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var s Sale
		if err := rows.Scan(&id, &s.Quantity, &s.Units, &s.Day); err != nil {
			return fmt.Errorf("reading analytics.purchases: %w", err)
		}
		visit(id, s)
	}
	return rows.Err()
}

// IcebergRows visits every row of the facts table's newest snapshot.
func (c *Counter) IcebergRows(ctx context.Context, visit func(id string, s Sale)) error {
	t, current, err := c.iceberg.newest(ctx)
	if err != nil || current == nil {
		return err
	}
	days := map[int32]string{}
	return scanBatches(ctx, t, current.SnapshotID, append([]string{"purchase_date"}, salesColumns...), func(batch arrow.RecordBatch) error {
		dates, ok := columnOf[*array.Date32](batch, "purchase_date")
		ids, ok1 := columnOf[interface{ Value(int) string }](batch, "id")
		quantities, ok2 := columnOf[*array.Int64](batch, "quantity")
		prices, ok3 := columnOf[*array.Decimal128](batch, "price_at_time")
		if !ok || !ok1 || !ok2 || !ok3 {
			return fmt.Errorf("reading %v: its columns have other types", factsTable)
		}
		for i := range int(batch.NumRows()) {
			date := int32(dates.Value(i))
			if days[date] == "" {
				days[date] = time.Unix(int64(date)*24*60*60, 0).UTC().Format(time.DateOnly)
			}
			visit(ids.Value(i), Sale{Quantity: quantities.Value(i), Units: int64(prices.Value(i).LowBits()), Day: days[date]})
		}
		return nil
	})
}

func columnOf[T any](batch arrow.RecordBatch, name string) (column T, ok bool) {
	found := batch.Schema().FieldIndices(name)
	if len(found) != 1 {
		return column, false
	}
	column, ok = any(batch.Column(found[0])).(T)
	return column, ok
}

// Period is a row of the daily or the monthly statistics, numbers as a reader sees them.
type Period struct{ Name, Purchases, Items, Revenue, AvgPrice string }

// Statistics reads the daily and the monthly statistics.
func (c *Counter) Statistics(ctx context.Context) (daily, monthly []Period, err error) {
	if daily, err = c.periods(ctx, "daily_purchase_stats", "purchase_date"); err != nil {
		return nil, nil, err
	}
	monthly, err = c.periods(ctx, "monthly_purchase_stats", "purchase_month")
	return daily, monthly, err
}

func (c *Counter) periods(ctx context.Context, table, period string) (list []Period, err error) {
	rows, err := c.clickhouse.QueryContext(ctx, fmt.Sprintf(`SELECT toString(%[1]s), toString(total_purchases), toString(total_items),
	toString(toDecimal128(total_revenue, 4)), toString(toDecimal128(avg_price, 4)) FROM analytics.%[2]s ORDER BY %[1]s`, period, table))
	if err != nil {
		return nil, fmt.Errorf("querying %s: %w", table, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p Period
		if err := rows.Scan(&p.Name, &p.Purchases, &p.Items, &p.Revenue, &p.AvgPrice); err != nil {
			return nil, fmt.Errorf("reading %s: %w", table, err)
		}
		list = append(list, p)
	}
	return list, rows.Err()
}
