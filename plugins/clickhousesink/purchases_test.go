package clickhousesink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	daily   = "SELECT * FROM analytics.daily_purchase_stats ORDER BY purchase_date"
	monthly = "SELECT * FROM analytics.monthly_purchase_stats ORDER BY purchase_month"
)

// delivered is when the events of the tests arrived in Kafka, unless they say otherwise.
var delivered = time.Date(2024, 6, 1, 12, 0, 0, 0, time.UTC)

func bought(offset int64, id, when, price string, quantity int) event {
	return event{offset: offset, at: delivered, value: fmt.Sprintf(
		`{"id":%q,"product_id":"p","customer_id":1,"seller_id":1,"quantity":%d,"price_at_time":%s,"purchased_at":%q}`, id, quantity, price, when)}
}

func deleted(offset int64, id, when string) event {
	if when != "" {
		when = fmt.Sprintf(`,"purchased_at":%q`, when)
	}
	return event{offset: offset, at: delivered, value: fmt.Sprintf(`{"id":%q,"deleted":true%s}`, id, when)}
}

func TestStatisticsCountEachPurchaseOnceOnTheDayOfItsLatestEvent(t *testing.T) {
	const (
		january  = "2024-01-31T23:59:59.999999Z"
		february = "2024-02-01T00:00:00Z"
	)
	// Each step is a batch; the statistics are made after each, and looked at after the last.
	for name, test := range map[string]struct {
		steps [][]event
		days  []string
	}{
		"sums are exact, and the mean price is rounded half up": {
			steps: [][]event{{
				bought(0, "a", january, "1.5", 3), bought(1, "b", january, "0.0001", 1),
				bought(2, "c", february, "99999999999999.9999", 1_000_000_000),
			}},
			days: []string{"2024-01-31|2|4|4.5001|0.7501", "2024-02-01|1|1000000000|99999999999999999900000|99999999999999.9999"},
		},
		"a batch that is delivered again changes nothing": {
			steps: [][]event{{bought(0, "a", january, "1", 1), bought(1, "b", january, "2", 1)}, {bought(0, "a", january, "1", 1), bought(1, "b", january, "2", 1)}},
			days:  []string{"2024-01-31|2|2|3|1.5"},
		},
		"of several events in a batch the last one counts": {
			steps: [][]event{{bought(0, "a", january, "1", 1), bought(1, "a", january, "1", 2), bought(2, "a", january, "2", 3)}},
			days:  []string{"2024-01-31|1|3|6|2"},
		},
		"a correction replaces what it corrects": {
			steps: [][]event{{bought(0, "a", january, "1", 1)}, {bought(1, "a", january, "2", 2)}},
			days:  []string{"2024-01-31|1|2|4|2"},
		},
		"an earlier event that is delivered again does not undo a correction": {
			steps: [][]event{{bought(0, "a", january, "1", 1)}, {bought(1, "a", january, "2", 2)}, {bought(0, "a", january, "1", 1)}},
			days:  []string{"2024-01-31|1|2|4|2"},
		},
		"a correction takes a purchase to another month": {
			steps: [][]event{{bought(0, "a", january, "1", 1), bought(1, "b", january, "1", 1)}, {bought(2, "a", february, "1", 1)}},
			days:  []string{"2024-01-31|1|1|1|1", "2024-02-01|1|1|1|1"},
		},
		"a day that loses its last purchase is not there": {
			steps: [][]event{{bought(0, "a", january, "1", 1)}, {bought(1, "a", february, "1", 1)}},
			days:  []string{"2024-02-01|1|1|1|1"},
		},
		"a correction to another day in the same batch": {
			steps: [][]event{{bought(0, "a", january, "1", 1), bought(1, "a", february, "1", 1)}},
			days:  []string{"2024-02-01|1|1|1|1"},
		},
		"a purchase moves away and back": {
			steps: [][]event{{bought(0, "a", january, "1", 1)}, {bought(1, "a", february, "1", 1)}, {bought(2, "a", january, "1", 1)}},
			days:  []string{"2024-01-31|1|1|1|1"},
		},
		"the correction is written before what it corrects": {
			steps: [][]event{{bought(1, "a", february, "1", 1)}, {bought(0, "a", january, "1", 1)}},
			days:  []string{"2024-02-01|1|1|1|1"},
		},
		"a deletion that names its day": {
			steps: [][]event{{bought(0, "a", january, "1", 1), bought(1, "b", january, "1", 1)}, {deleted(2, "a", january)}},
			days:  []string{"2024-01-31|1|1|1|1"},
		},
		"a deletion that names no day": {
			steps: [][]event{{bought(0, "a", january, "1", 1), bought(1, "b", january, "1", 1)}, {deleted(2, "a", "")}},
			days:  []string{"2024-01-31|1|1|1|1"},
		},
		"a deletion in the batch of its purchase": {
			steps: [][]event{{bought(0, "a", january, "1", 1), deleted(1, "a", "")}},
		},
		"a deletion that is written before the purchase it deletes": {
			steps: [][]event{{deleted(1, "a", "")}, {bought(0, "a", january, "1", 1)}},
		},
		"a purchase that comes after the deletion of its id counts": {
			steps: [][]event{{deleted(0, "a", "")}, {bought(1, "a", january, "1", 1)}},
			days:  []string{"2024-01-31|1|1|1|1"},
		},
		"a purchase that comes back after its deletion counts": {
			steps: [][]event{{bought(0, "a", january, "1", 1)}, {deleted(1, "a", "")}, {bought(2, "a", january, "1", 1)}},
			days:  []string{"2024-01-31|1|1|1|1"},
		},
		"a deletion of an id that nobody knows": {
			steps: [][]event{{deleted(0, "x", ""), deleted(1, "y", "9999-12-31T00:00:00Z"), deleted(2, "z", "0001-01-01T00:00:00Z")}},
		},
		"a late purchase counts on its own day": {
			steps: [][]event{{bought(0, "a", february, "1", 1)}, {bought(1, "late", january, "3", 1)}},
			days:  []string{"2024-01-31|1|1|3|3", "2024-02-01|1|1|1|1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, dsn := shop(t)
			out := sink(t, dsn, nil)
			for _, step := range test.steps {
				write(t, out, step...)
				compute(t, dsn)
			}
			if got := lines(t, conn, daily); !slices.Equal(got, test.days) {
				t.Errorf("days\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.days, "\n"))
			}
			if len(refused.messages) > 0 {
				t.Errorf("%d rows were refused", len(refused.messages))
			}
			// What the background merges leave must be what FINAL shows.
			execute(t, conn, "OPTIMIZE TABLE analytics.purchases FINAL", "OPTIMIZE TABLE analytics.purchase_day_index FINAL",
				"INSERT INTO analytics.purchase_slices_touched (day, slice) SELECT DISTINCT purchase_date, slice FROM analytics.purchases")
			compute(t, dsn)
			if got := lines(t, conn, daily); !slices.Equal(got, test.days) {
				t.Errorf("days after merging\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.days, "\n"))
			}
		})
	}
}

func TestMonthsAreTheSumsOfTheirDays(t *testing.T) {
	conn, dsn := shop(t)
	write(t, sink(t, dsn, nil),
		bought(0, "a", "2024-01-01T10:00:00Z", "1.0001", 2), bought(1, "b", "2024-01-31T10:00:00Z", "2", 1),
		bought(2, "c", "2024-01-31T11:00:00Z", "2", 1), bought(3, "d", "2023-12-31T23:59:59Z", "5", 1))
	compute(t, dsn)
	want := []string{"2023-12|1|1|5|5", "2024-01|3|4|6.0002|1.6667"}
	if got := lines(t, conn, monthly); !slices.Equal(got, want) {
		t.Errorf("months %q, want %q", got, want)
	}
}

func TestRowsAreStoredAsTheyCame(t *testing.T) {
	conn, dsn := shop(t)
	for _, compression := range []string{"none", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			execute(t, conn, "TRUNCATE TABLE analytics.purchases")
			out := sink(t, dsn, map[string]any{fieldCompression: compression, fieldTimezone: "Asia/Yekaterinburg"})
			write(t, out, event{partition: 3, offset: 41, at: delivered, value: `{"product_id":456,"customer_id":9007199254740993,"seller_id":7,"quantity":2,"price_at_time":"123456789012.3457","purchased_at":"2023-11-09T03:20:48.123456"}`})
			want := []string{"purchases-3-41|456|9007199254740993|7|2|123456789012.3457|2023-11-08_22:20:48.123456|2023-11-09|3|0|82|0|246913578024.6914"}
			got := lines(t, conn, "SELECT * REPLACE replaceAll(toString(purchased_at), ' ', '_') AS purchased_at, total_price FROM analytics.purchases")
			if !slices.Equal(got, want) {
				t.Errorf("row %q, want %q", got, want)
			}
		})
	}
}

func TestRefusedRowsAreSetAsideAndTheRestIsStored(t *testing.T) {
	conn, dsn := shop(t)
	unplaced := bought(4, "d", "2024-01-01T10:00:00Z", "1", 1).message()
	unplaced.MetaDelete("kafka_offset")
	out := sink(t, dsn, nil)
	write(t, out,
		bought(0, "a", "2024-01-01T10:00:00Z", "1", 1),
		event{offset: 1, at: delivered, value: "\xff not JSON"},
		bought(2, "b", "2024-01-01T10:00:00Z", "0.00001", 0),
		bought(3, "c", "2024-01-01T10:00:00Z", "1", 1),
	)
	if err := out.WriteBatch(t.Context(), service.MessageBatch{unplaced}); err != nil {
		t.Fatal(err)
	}
	if got, want := lines(t, conn, "SELECT id FROM analytics.purchases FINAL ORDER BY id"), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("stored %q, want %q", got, want)
	}
	if len(refused.messages) != 3 {
		t.Fatalf("%d of 5 rows were refused, want 3", len(refused.messages))
	}
	value, err := refused.messages[0].AsBytes()
	if err != nil || string(value) != "\xff not JSON" {
		t.Errorf("refused %q, want the bytes as they came", value)
	}
	reasons, _ := refused.messages[1].MetaGet("refused_reasons")
	by, _ := refused.messages[1].MetaGet("refused_by")
	if !strings.Contains(reasons, "price_at_time") || !strings.Contains(reasons, "quantity") || by != "clickhouse" {
		t.Errorf("refused by %q for %s, want clickhouse, price_at_time and quantity", by, reasons)
	}
}

func TestStatisticsAreRightWithinFiveSecondsOfTheAcknowledgement(t *testing.T) {
	conn, dsn := shop(t)
	out := sink(t, dsn, nil)
	stream, _ := statistics(t, shipped(t, "clickhouse_stats.yaml", dsn))
	stopped := make(chan error, 1)
	go func() { stopped <- stream.Run(context.Background()) }()
	defer func() {
		if err := stream.StopWithin(10 * time.Second); err != nil {
			t.Error(err)
		}
		<-stopped
	}()

	var slowest time.Duration
	for i := range 5 {
		write(t, out, bought(int64(i), fmt.Sprint(i), "2024-01-01T00:00:00Z", "2", 1))
		acknowledged := time.Now()
		want := fmt.Sprintf("2024-01-01|%d|%d|%d|2", i+1, i+1, 2*(i+1))
		for got := []string(nil); !slices.Equal(got, []string{want}); got = lines(t, conn, daily) {
			if time.Since(acknowledged) > 5*time.Second {
				t.Fatalf("after 5 seconds the day is %q, want %q", got, want)
			}
		}
		slowest = max(slowest, time.Since(acknowledged))
	}
	t.Logf("the slowest of 5 took %v", slowest)
}
