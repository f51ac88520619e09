package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

// in returns which of the traces bytes hold.
func (p traces) in(content []byte) (found []string) {
	small := bytes.ToLower(content)
	for _, trace := range p {
		if bytes.Contains(small, []byte(strings.ToLower(trace))) {
			found = append(found, trace)
		}
	}
	return found
}

// search reads every layer the way that its readers do, and returns where a person is.
func (s *erasureShop) search(p traces) (found []string) {
	s.t.Helper()
	note := func(where string, content []byte) {
		if traces := p.in(content); len(traces) > 0 {
			found = append(found, fmt.Sprintf("%s (%s)", where, strings.Join(traces, ", ")))
		}
	}
	for _, bucket := range []string{"shop-raw-data", "shop-stage-data", "shop-quarantine", "analytics"} {
		for object := range s.objects.ListObjectsIter(s.t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
			reader, err := s.objects.GetObject(s.t.Context(), bucket, object.Key, minio.GetObjectOptions{})
			if err != nil {
				s.t.Fatal(err)
			}
			content, err := io.ReadAll(reader)
			if err != nil {
				s.t.Fatal(object.Key, err)
			}
			note("s3://"+bucket+"/"+object.Key, append([]byte(object.Key+"\n"), decoded(content)...))
		}
	}
	s.searchKafka(note)
	s.searchPostgres(note)
	s.searchClickHouse(note)
	return found
}

// decoded is a file with what its pages hold behind it.
func decoded(content []byte) []byte {
	all := bytes.Clone(content)
	file, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return all
	}
	for _, group := range file.RowGroups() {
		rows := group.Rows()
		buffer := make([]parquet.Row, 16)
		for {
			n, err := rows.ReadRows(buffer)
			for _, row := range buffer[:n] {
				for _, v := range row {
					all = append(append(all, '\n'), v.String()...)
				}
			}
			if err != nil {
				break
			}
		}
		_ = rows.Close()
	}
	return all
}

func (s *erasureShop) searchKafka(note func(where string, content []byte)) {
	s.t.Helper()
	brokers := kgo.SeedBrokers(strings.Split(s.up.Env[env.KafkaBrokers], ",")...)
	client, err := kgo.NewClient(brokers)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var topics []string
	for topic := range ends {
		topics = append(topics, topic)
	}
	reader, err := kgo.NewClient(brokers, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	defer reader.Close()
	for quiet := 0; quiet < 5; {
		ctx, cancel := context.WithTimeout(s.t.Context(), 300*time.Millisecond)
		fetches := reader.PollFetches(ctx)
		cancel()
		quiet++
		fetches.EachRecord(func(r *kgo.Record) {
			quiet = 0
			all := append(append(bytes.Clone(r.Key), '\n'), r.Value...)
			for _, h := range r.Headers {
				all = append(append(all, '\n'), h.Value...)
			}
			note(fmt.Sprintf("%s/%d@%d", r.Topic, r.Partition, r.Offset), all)
		})
	}
}

func (s *erasureShop) searchPostgres(note func(where string, content []byte)) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.up.Env[env.PostgresDSN])
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(s.t.Context(), `SELECT c.relname, quote_ident(c.relname), coalesce(string_agg(CASE WHEN a.atttypid = 'bytea'::regtype THEN
		'encode(' || quote_ident(a.attname) || ', ''escape'')' ELSE quote_ident(a.attname) || '::text' END, ', '), '''''')
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY 1, 2`)
	if err != nil {
		s.t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Quoted, Columns string }])
	if err != nil {
		s.t.Fatal(err)
	}
	for _, table := range tables {
		rows, err := conn.Query(s.t.Context(), "SELECT concat_ws(' ', "+table.Columns+") FROM "+table.Quoted)
		if err != nil {
			s.t.Fatal(table.Name, err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			s.t.Fatal(table.Name, err)
		}
		for _, text := range texts {
			note("table "+table.Name, []byte(text))
		}
	}
}

func (s *erasureShop) searchClickHouse(note func(where string, content []byte)) {
	s.t.Helper()
	db := s.clickhouse()
	defer db.Close()
	for _, table := range texts(s.t, db, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'") {
		for _, row := range texts(s.t, db, "SELECT toString(tuple(*)) FROM `"+table+"`") {
			note("ClickHouse "+table, []byte(row))
		}
	}
}

func (s *erasureShop) clickhouse() *sql.DB {
	s.t.Helper()
	options, err := clickhouse.ParseDSN(s.up.Env[env.ClickHouseDSN])
	if err != nil {
		s.t.Fatal(err)
	}
	return clickhouse.OpenDB(options)
}

func texts(t *testing.T, db *sql.DB, query string) (found []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(query, err)
		}
		found = append(found, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(query, err)
	}
	return found
}

// searchFiles returns the files below a folder that hold a person, as they are or decoded. PostgreSQL's
// write-ahead log is not searched: it holds what happened until it is recycled, which the report says.
func searchFiles(t *testing.T, dir string, p traces) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "pg_wal" {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if traces := p.in(decoded(content)); len(traces) > 0 {
			found = append(found, fmt.Sprintf("%s (%s)", strings.TrimPrefix(path, dir), strings.Join(traces, ", ")))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
