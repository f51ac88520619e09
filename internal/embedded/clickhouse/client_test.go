package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/shopspring/decimal"
)

func (s *server) options(compression ch.CompressionMethod) *ch.Options {
	return &ch.Options{
		Protocol: ch.HTTP, Addr: []string{s.addr},
		Auth:        ch.Auth{Database: "analytics", Username: testUser, Password: testPassword},
		Compression: &ch.Compression{Method: compression},
	}
}

func (s *server) dial(t testing.TB, compression ch.CompressionMethod) ch.Conn {
	t.Helper()
	conn, err := ch.Open(s.options(compression))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// do sends one request as curl would.
func (s *server) do(t testing.TB, method, parameters, body string) (status int, header http.Header, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+"/?"+parameters, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(testUser, testPassword)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(all)
}

// query posts a statement that must succeed.
func (s *server) query(t testing.TB, statement string) string {
	t.Helper()
	status, _, text := s.do(t, http.MethodPost, "database=analytics", statement)
	if status != http.StatusOK {
		t.Fatalf("%s: HTTP %d: %s", statement, status, text)
	}
	return strings.TrimSuffix(text, "\n")
}

// wantException checks for a ClickHouse error of this code.
func wantException(t testing.TB, err error, code int32) {
	t.Helper()
	var exception *ch.Exception
	if !errors.As(err, &exception) || exception.Code != code {
		t.Errorf("error = %v, want ClickHouse's code %d", err, code)
	}
}

// sale is a row of every type that the analytics tables use.
type sale struct {
	ID    string          `ch:"id"`
	Units int64           `ch:"units"`
	Price decimal.Decimal `ch:"price"`
	At    time.Time       `ch:"at"`
	Day   time.Time       `ch:"day"`
}

func sales(n int) []sale {
	rows := make([]sale, n)
	for i := range rows {
		at := time.Date(2024, 2, 29, 23, 59, 59, 999_999_000, time.UTC).Add(time.Duration(i) * 1_234_567 * time.Microsecond)
		rows[i] = sale{
			ID: fmt.Sprintf("sale-%07d-é\n;", i), Units: int64(i)*1_000_003 - 5, At: at, Day: at.Truncate(24 * time.Hour),
			Price: decimal.New(int64(i)*99_999_999_999-1, -4),
		}
	}
	return rows
}

// pluck makes a column of rows.
func pluck[T any](rows []sale, field func(sale) T) []T {
	column := make([]T, len(rows))
	for i, row := range rows {
		column[i] = field(row)
	}
	return column
}

func insertSales(ctx context.Context, conn ch.Conn, rows []sale) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO sales (id, units, price, at, day)")
	if err != nil {
		return err
	}
	for i, column := range []any{
		pluck(rows, func(s sale) string { return s.ID }), pluck(rows, func(s sale) int64 { return s.Units }),
		pluck(rows, func(s sale) decimal.Decimal { return s.Price }),
		pluck(rows, func(s sale) time.Time { return s.At }), pluck(rows, func(s sale) time.Time { return s.Day }),
	} {
		if err := batch.Column(i).Append(column); err != nil {
			return err
		}
	}
	return batch.Send()
}

func TestColumnarBatchesComeBackExactly(t *testing.T) {
	s := start(t, t.TempDir())
	for name, compression := range map[string]ch.CompressionMethod{
		"none": ch.CompressionNone, "lz4": ch.CompressionLZ4, "zstd": ch.CompressionZSTD, "gzip": ch.CompressionGZIP, "br": ch.CompressionBrotli,
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.dial(t, compression)
			if err := conn.Exec(t.Context(), `CREATE OR REPLACE TABLE sales (id String, units Int64, price Decimal(18,4),
				at DateTime64(6,'UTC'), day Date) ENGINE = MergeTree ORDER BY id`); err != nil {
				t.Fatal(err)
			}
			want := sales(100_000)
			if err := insertSales(t.Context(), conn, want); err != nil {
				t.Fatal(err)
			}
			var got []sale
			if err := conn.Select(t.Context(), &got, "SELECT * FROM sales ORDER BY id"); err != nil {
				t.Fatal(err)
			}
			same := func(a, b sale) bool {
				return a.ID == b.ID && a.Units == b.Units && a.Price.Equal(b.Price) && a.At.Equal(b.At) && a.Day.Equal(b.Day)
			}
			if !slices.EqualFunc(got, want, same) {
				t.Errorf("%d rows came back and are not the %d that were sent", len(got), len(want))
			}
		})
	}
}

func TestDatabaseSQLWorksByDSN(t *testing.T) {
	s := start(t, t.TempDir())
	dsn := url.URL{Scheme: "http", Host: s.addr, Path: "/analytics", User: url.UserPassword(testUser, testPassword)}
	options, err := ch.ParseDSN(dsn.String())
	if err != nil {
		t.Fatal(err)
	}
	db := ch.OpenDB(options)
	defer db.Close()
	if err := db.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE TABLE seen (id String, n Int64) ENGINE = MergeTree ORDER BY id",
		"INSERT INTO seen VALUES ('it''s; (1)', 1)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO seen VALUES (?, ?)", "bound", 2); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := tx.PrepareContext(t.Context(), "INSERT INTO seen")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := batch.ExecContext(t.Context(), "batched", int64(3)); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var ids string
	var sum int64
	row := db.QueryRowContext(t.Context(), "SELECT arrayStringConcat(arraySort(groupArray(id)), '|'), sum(n) FROM seen WHERE n < {limit:Int64}", ch.Named("limit", "10"))
	if err := row.Scan(&ids, &sum); err != nil {
		t.Fatal(err)
	}
	if ids != "batched|bound|it's; (1)" || sum != 6 {
		t.Errorf("rows = %q with sum %d, want all three with sum 6", ids, sum)
	}
}

func TestReplacingMergeTreeKeepsTheLatestVersion(t *testing.T) {
	s := start(t, t.TempDir())
	s.query(t, "CREATE TABLE p (id String, v UInt64, gone UInt8, price Decimal(18,4)) ENGINE = ReplacingMergeTree(v, gone) ORDER BY id")
	s.query(t, "INSERT INTO p VALUES ('a', 1, 0, 1.5), ('b', 1, 0, 2.25)")
	s.query(t, "INSERT INTO p VALUES ('a', 2, 0, 3.75), ('b', 2, 1, 2.25)")
	if got := s.query(t, "SELECT id, price FROM p FINAL"); got != "a\t3.75" {
		t.Errorf("SELECT … FINAL = %q, want the second version of a and no b", got)
	}
}

func TestErrorsCarryClickHouseCodes(t *testing.T) {
	s := start(t, t.TempDir())
	for name, compression := range map[string]ch.CompressionMethod{"none": ch.CompressionNone, "lz4": ch.CompressionLZ4} {
		t.Run(name, func(t *testing.T) {
			conn := s.dial(t, compression)
			wantException(t, conn.Exec(t.Context(), "SELECT * FROM nowhere"), 60)
			wantException(t, conn.Exec(t.Context(), "SELEC 1"), 62)
			_, err := conn.PrepareBatch(t.Context(), "INSERT INTO nowhere")
			wantException(t, err, 60)
			// This one fails when the answer has begun.
			rows, err := conn.Query(t.Context(), "SELECT throwIf(number = 900000) FROM numbers(1000000)")
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
			}
			wantException(t, err, 395)
		})
	}
	status, header, _ := s.do(t, http.MethodPost, "", "SELECT * FROM nowhere")
	if status != http.StatusNotFound || header.Get("X-ClickHouse-Exception-Code") != "60" {
		t.Errorf("unknown table: HTTP %d, code %q; want 404, 60", status, header.Get("X-ClickHouse-Exception-Code"))
	}
}

func TestWrongCredentialsAreRefused(t *testing.T) {
	s := start(t, t.TempDir())
	options := s.options(ch.CompressionNone)
	options.Auth.Password = "wrong"
	conn, err := ch.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wantException(t, conn.Ping(t.Context()), 516)

	user, password := url.QueryEscape(testUser), url.QueryEscape(testPassword)
	for parameters, want := range map[string]int{
		"query=SELECT+1":                                            http.StatusUnauthorized,
		"query=SELECT+1&user=" + user:                               http.StatusForbidden,
		"query=SELECT+1&password=" + password:                       http.StatusUnauthorized,
		"query=SELECT+1&user=default&password=":                     http.StatusForbidden,
		"query=SELECT+1&user=" + user + "&password=" + password:     http.StatusOK,
		"query=SELECT+1&user=" + user + "&password=" + password[1:]: http.StatusForbidden,
	} {
		response, err := http.Get("http://" + s.addr + "/?" + parameters)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: HTTP %d, want %d", parameters, response.StatusCode, want)
		}
	}
}

func TestQueriesRunConcurrently(t *testing.T) {
	s := start(t, t.TempDir())
	conn := s.dial(t, ch.CompressionNone)
	s.query(t, "CREATE TABLE n (worker UInt64, v UInt64) ENGINE = MergeTree ORDER BY worker")
	const workers, rounds = 3 * connections, 10
	var group sync.WaitGroup
	for worker := range uint64(workers) {
		group.Go(func() {
			for round := range uint64(rounds) {
				// A setting of one request must not be seen by another.
				threads := 1 + (worker+round)%5
				ctx := ch.Context(t.Context(), ch.WithSettings(ch.Settings{"max_threads": threads}))
				var seen uint64
				if err := conn.QueryRow(ctx, "SELECT getSetting('max_threads') + 0 * sum(number) FROM numbers(100000)").Scan(&seen); err != nil || seen != threads {
					t.Errorf("max_threads = %d, %v; want %d", seen, err, threads)
				}
				if err := conn.Exec(t.Context(), "INSERT INTO n VALUES (?, ?)", worker, round); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got, want := s.query(t, "SELECT count(), uniqExact(worker), sum(v) FROM n"), fmt.Sprintf("%d\t%d\t%d", workers*rounds, workers, workers*rounds*(rounds-1)/2); got != want {
		t.Errorf("rows, workers, sum = %q, want %q", got, want)
	}
}
