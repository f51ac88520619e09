package clickhouse

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestHTTPAnswersAsClickHouseDoes(t *testing.T) {
	s := start(t, t.TempDir())
	s.query(t, "CREATE TABLE t (a Int32, s String) ENGINE = MergeTree ORDER BY a")
	for _, c := range []struct {
		name, method, parameters, body string
		status                         int
		want                           string // how the answer begins
	}{
		{"query in the URL", "GET", "query=SELECT+1", "", 200, "1\n"},
		{"query in the body", "POST", "", "SELECT 1", 200, "1\n"},
		{"query in both", "POST", "query=SELECT+a", "FROM (SELECT 7 AS a)", 200, "7\n"},
		{"default format", "POST", "default_format=CSV", "SELECT 'x'", 200, "\"x\"\n"},
		{"FORMAT clause", "POST", "default_format=CSV", "SELECT 'x' AS x FORMAT JSONEachRow", 200, `{"x":"x"}`},
		{"Parquet", "POST", "", "SELECT 1 FORMAT Parquet", 200, "PAR1"},
		{"database", "POST", "database=analytics", "SELECT currentDatabase()", 200, "analytics\n"},
		{"no database", "POST", "", "SELECT currentDatabase()", 200, "default\n"},
		{"unknown database", "POST", "database=nope", "SELECT 1", 404, "Code: 81."},
		{"setting", "POST", "max_threads=1", "SELECT getSetting('max_threads')", 200, "1\n"},
		{"unknown setting", "POST", "no_such=1", "SELECT 1", 404, "Code: 115."},
		{"setting that is SQL", "POST", "max_threads=" + url.QueryEscape("1', max_rows_to_read='1"), "SELECT 1", 400, "Code: "},
		{"database that is SQL", "POST", "database=" + url.QueryEscape("default`; DROP TABLE analytics.t"), "SELECT 1", 404, "Code: 81."},
		{"parameter", "POST", "param_x=" + url.QueryEscape("it's"), "SELECT {x:String}", 200, "it\\'s\n"},
		{"empty parameter", "POST", "param_x=", "SELECT length({x:String})", 200, "0\n"},
		{"time zone", "POST", "", "SELECT toDateTime(0), timezone()", 200, "1970-01-01 00:00:00\tUTC\n"},
		{"writing by GET", "GET", "query=DROP+TABLE+analytics.t", "", 500, "Code: 164."},
		{"inserting by GET", "GET", "query=INSERT+INTO+analytics.t+VALUES+(1,'')", "", 500, "Code: 164."},
		{"several statements", "POST", "", "SELECT 1; DROP TABLE analytics.t", 400, "Code: 62."},
		{"several statements after VALUES", "POST", "", "INSERT INTO analytics.t VALUES (1,';'); DROP TABLE analytics.t", 400, "Code: 62."},
		{"a command of the client", "POST", "", "\\i /etc/passwd", 400, "Code: 62."},
		{"another one", "POST", "", "exit", 400, "Code: 62."},
		{"nothing", "POST", "", "", 400, "Code: 62."},
		{"session", "POST", "session_id=x", "SELECT 1", 501, "Code: 48."},
		{"unfinished URL", "GET", "query=%zz", "", 400, "Code: 36."},
		{"another method", "PUT", "query=SELECT+1", "", 405, ""},
		{"broken compression", "POST", "decompress=1", "INSERT INTO analytics.t FORMAT CSV\n1,a\n", 400, "Code: 271."},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, text := s.do(t, c.method, c.parameters, c.body)
			if status != c.status || !strings.HasPrefix(text, c.want) {
				t.Errorf("HTTP %d %q, want %d %q", status, text, c.status, c.want)
			}
		})
	}
	if got := s.query(t, "SELECT count() FROM t"); got != "0" {
		t.Errorf("count() = %s, want a table that is there and empty", got)
	}
}

func TestInlineRowsAreNeverExecuted(t *testing.T) {
	s := start(t, t.TempDir())
	s.query(t, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
	for format, rows := range map[string]string{
		"CSV":          "a\n\nDROP TABLE analytics.t\n",
		"TSV":          "a\n\nDROP TABLE analytics.t\n",
		"JSONEachRow":  "{\"s\":\"a\"}\n\nDROP TABLE analytics.t\n",
		"Values":       "('a')\n\nDROP TABLE analytics.t",
		"LineAsString": "a\n\nDROP TABLE analytics.t\n",
	} {
		for parameters, body := range map[string]string{
			"": "INSERT INTO analytics.t FORMAT " + format + "\n" + rows,
			"query=" + url.QueryEscape("INSERT INTO analytics.t FORMAT "+format): rows,
		} {
			s.do(t, http.MethodPost, parameters, body) // some formats take the line as a row, others refuse it
			if got := s.query(t, "EXISTS TABLE t"); got != "1" {
				t.Fatalf("%s: the table was dropped by a row", format)
			}
		}
	}
	if got := s.query(t, "SELECT count() FROM t WHERE s = 'DROP TABLE analytics.t'"); got != "6" {
		t.Errorf("rows that look like SQL = %s, want the 6 of CSV, TSV and LineAsString", got)
	}
}

func TestWhatOneRequestSetsTheNextDoesNotSee(t *testing.T) {
	s := start(t, t.TempDir())
	for range 2 * connections {
		s.query(t, "SET max_threads = 63")
		s.query(t, "USE system")
		s.query(t, "CREATE TEMPORARY TABLE mine (a Int8)")
		s.do(t, http.MethodPost, "max_threads=61&database=system", "SELECT * FROM nowhere")
	}
	for range 2 * connections {
		if got := s.query(t, "SELECT getSetting('max_threads') > 60, currentDatabase(), getSetting('async_insert')"); got != "0\tanalytics\tfalse" {
			t.Fatalf("max_threads > 60, database, async_insert = %q", got)
		}
		if got := s.query(t, "EXISTS TEMPORARY TABLE mine"); got != "0" {
			t.Fatal("a temporary table outlived its request")
		}
	}
}

func TestContentEncodingsAreUnderstood(t *testing.T) {
	s := start(t, t.TempDir())
	for name, encoding := range encodings {
		var body bytes.Buffer
		packed, err := encoding.encode(&body)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(packed, "SELECT repeat('x', 1000)")
		packed.Close()
		request, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/?enable_http_compression=1", &body)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(testUser, testPassword)
		request.Header.Set("Content-Encoding", name)
		request.Header.Set("Accept-Encoding", name)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := encodings[response.Header.Get("Content-Encoding")].decode(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(plain)
		if err != nil || string(text) != strings.Repeat("x", 1000)+"\n" {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
		response.Body.Close()
	}
}

func TestAnInsertThatBreaksOffIsNotCommitted(t *testing.T) {
	s := start(t, t.TempDir())
	s.query(t, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
	rows := strings.Repeat("row\n", 100_000)
	request := func(parameters string, length int, encoding, body string) {
		client, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		fmt.Fprintf(client, "POST /?database=analytics&query=INSERT+INTO+t+FORMAT+TSV%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nContent-Encoding: %s\r\n"+
			"X-ClickHouse-User: %s\r\nX-ClickHouse-Key: %s\r\nConnection: close\r\n\r\n%s", parameters, length, encoding, testUser, testPassword, body)
		if length > len(body) {
			client.(*net.TCPConn).CloseWrite()
		}
		io.Copy(io.Discard, client) // until the server is done with it
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	io.WriteString(zip, rows)
	zip.Close()
	var blocks bytes.Buffer
	newBlockWriter(&blocks, "LZ4").Write([]byte(rows))
	request("", len(rows)+1, "identity", rows)
	request("", packed.Len()-5, "gzip", packed.String()[:packed.Len()-5])
	request("&decompress=1", blocks.Len()-5, "identity", blocks.String()[:blocks.Len()-5])
	request("&decompress=1", blocks.Len()+25, "identity", blocks.String()+blocks.String()[:25])
	if got := s.query(t, "SELECT count() FROM t"); got != "0" {
		t.Errorf("count() = %s after inserts that broke off, want 0", got)
	}
	request("&decompress=1", blocks.Len(), "identity", blocks.String())
	if got := s.query(t, "SELECT count() FROM t"); got != "100000" {
		t.Errorf("count() = %s after a whole insert, want 100000", got)
	}
}

func TestAnErrorInsideTheOutputCutsItOff(t *testing.T) {
	s := start(t, t.TempDir())
	request, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/", strings.NewReader("SELECT throwIf(number = 900000) FROM numbers(1000000)"))
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(testUser, testPassword)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil || !strings.Contains(string(text), "__exception__\r\n"+response.Header.Get("X-ClickHouse-Exception-Tag")+"\r\nCode: 395.") {
		t.Errorf("a failed query ended with %v after %q", err, text[max(0, len(text)-400):])
	}
	// The same with a status of its own, for those who ask for it.
	if status, _, _ := s.do(t, http.MethodPost, "wait_end_of_query=1", "SELECT throwIf(number = 900000) FROM numbers(1000000)"); status != http.StatusInternalServerError {
		t.Errorf("wait_end_of_query: HTTP %d, want 500", status)
	}
}

func TestAClientThatGoesAwayFreesItsConnection(t *testing.T) {
	s := start(t, t.TempDir())
	for range 2 * connections {
		request, err := http.NewRequest(http.MethodPost, "http://"+s.addr+"/", strings.NewReader("SELECT * FROM system.numbers"))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(testUser, testPassword)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, response.Body, 1<<20); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if got := s.query(t, "SELECT 1"); got != "1" {
		t.Errorf("SELECT 1 = %q", got)
	}
}
