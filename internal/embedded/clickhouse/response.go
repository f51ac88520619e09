package clickhouse

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// contentTypes of formats that are not plain text or plain bytes.
var contentTypes = map[string]string{
	"TabSeparated": "text/tab-separated-values; charset=UTF-8",
	"TSV":          "text/tab-separated-values; charset=UTF-8",
	"CSV":          "text/csv; charset=UTF-8; header=absent",
	"CSVWithNames": "text/csv; charset=UTF-8; header=present",
	"JSON":         "application/json; charset=UTF-8",
	"JSONCompact":  "application/json; charset=UTF-8",
	"JSONEachRow":  "application/x-ndjson; charset=UTF-8",
	"Native":       "application/octet-stream",
	"RowBinary":    "application/octet-stream",
	"Parquet":      "application/octet-stream",
	"Arrow":        "application/octet-stream",
	"ORC":          "application/octet-stream",
}

// response writes a statement's output. The status is decided by the first piece: an error before it has a status
// of its own, one after it can only be appended to the output.
type response struct {
	http     http.ResponseWriter
	request  *request
	format   string
	streamed bool   // the output comes in pieces, not at once
	tag      string // marks an error inside the output
	started  bool
	body     io.WriteCloser
}

// emit writes a piece of output; without any piece the statement has no output.
func (o *response) emit(piece []byte, s *summary) error {
	if err := o.start(s); err != nil || len(piece) == 0 {
		return err
	}
	_, err := o.body.Write(piece)
	return err
}

func (o *response) start(s *summary) error {
	if o.started {
		return nil
	}
	o.started = true
	header := o.http.Header()
	header.Set("Content-Type", cmp.Or(contentTypes[o.format], "text/plain; charset=UTF-8"))
	header.Set("X-ClickHouse-Format", o.format)
	if s != nil {
		header.Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","elapsed_ns":"%d"}`,
			s.readRows, s.readBytes, s.writtenRows, s.writtenBytes, int64(s.elapsed*1e9)))
	}
	o.tag = strings.ToLower(rand.Text()[:16])
	header.Set("X-ClickHouse-Exception-Tag", o.tag)
	o.body = nopCloser{o.http}
	if o.request.encoding != "" {
		header.Set("Content-Encoding", o.request.encoding)
		encoder, err := encodings[o.request.encoding].encode(o.http)
		if err != nil {
			return err
		}
		o.body = encoder
	}
	if o.request.compress != "" {
		o.body = newBlockWriter(o.body, o.request.compress)
	}
	return nil
}

// end closes the output, or reports err in the way that is left.
func (o *response) end(err error) {
	switch {
	case err == nil:
		if err = o.start(nil); err == nil {
			err = o.body.Close()
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	case !o.started:
		fail(o.http, err)
	default:
		// The block that ClickHouse's clients look for; cutting the response off tells everyone else.
		text := asException(err).text
		_, _ = fmt.Fprintf(o.body, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", o.tag, text, len(text)+1, o.tag)
		_ = o.body.Close()
		_ = http.NewResponseController(o.http).Flush()
		panic(http.ErrAbortHandler)
	}
}

// fail answers with an error in ClickHouse's form.
func fail(w http.ResponseWriter, err error) {
	e := asException(err)
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=UTF-8")
	header.Set("X-ClickHouse-Exception-Code", strconv.Itoa(e.code))
	if e.code == codeRequiredPassword {
		header.Set("WWW-Authenticate", `Basic realm="ClickHouse server HTTP API"`)
	}
	w.WriteHeader(e.status())
	_, _ = io.WriteString(w, e.text+"\n")
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
