package clickhouse

import (
	"cmp"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// streamed are the formats whose pieces make a whole when written one after the other. Others have a head or a
// foot, which the engine would repeat for every piece; their output is held in memory.
var streamed = []string{"Native", "JSONEachRow", "JSONCompactEachRow", "TabSeparated", "TSV", "TSVRaw", "TabSeparatedRaw", "TSKV", "CSV", "RowBinary"}

// maxHeld bounds the output that is held in memory, in bytes of columns; a client's own max_result_bytes replaces it.
const maxHeld = "1073741824"

// maxDrained bounds what is read of a body after an error, so that a client which is still sending gets to see it.
const maxDrained = 256 << 20

// handler speaks ClickHouse's HTTP interface.
type handler struct {
	pool        *pool
	credentials credentials
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ping":
		_, _ = io.WriteString(w, "Ok.\n")
	case r.URL.Path == "/" && r.URL.RawQuery == "" && r.Method != http.MethodPost:
		_, _ = io.WriteString(w, "Ok.\n") // as ClickHouse greets a browser
	case r.URL.Path != "/":
		http.Error(w, "There is no handle "+r.URL.Path+"\nUse / or /ping for health checks.", http.StatusNotFound)
	case !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, r.Method):
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Use GET for reading and POST for everything", http.StatusMethodNotAllowed)
	default:
		h.serveQuery(w, r)
	}
}

func (h *handler) serveQuery(w http.ResponseWriter, r *http.Request) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		fail(w, exceptionf(codeBadArguments, "BAD_ARGUMENTS", "Cannot parse the URL, percent-encode the query: %v", err))
		return
	}
	if err := h.credentials.check(r, values); err != nil {
		fail(w, err)
		return
	}
	q, err := parseRequest(r, values)
	if err != nil {
		fail(w, err)
		return
	}
	id := cmp.Or(q.queryID, rand.Text())
	w.Header().Set("X-ClickHouse-Query-Id", id)
	w.Header().Set("X-ClickHouse-Timezone", "UTC")

	out := &response{http: w, request: q}
	err = h.answer(r, values.Get("query"), out)
	if err != nil && !out.started {
		_, _ = io.CopyN(io.Discard, r.Body, maxDrained)
	}
	out.end(err)
}

// answer runs the statement that begins with query and goes on in the body.
func (h *handler) answer(r *http.Request, query string, out *response) error {
	q := out.request
	body, err := decoded(r.Body, r.Header.Get("Content-Encoding"), q.decompress)
	if err != nil {
		return err
	}
	if query != "" {
		body = io.MultiReader(strings.NewReader(query+"\n"), body)
	}
	st, rows, err := readStatement(body)
	if err != nil {
		return err
	}
	out.format = cmp.Or(st.format, q.format)
	out.streamed = st.query && !q.buffered && slices.Contains(streamed, out.format)
	if _, theirs := q.settings["max_result_bytes"]; !theirs && !st.insert && !out.streamed {
		q.settings["max_result_bytes"] = maxHeld
	}
	return h.pool.do(r.Context(), func(c *conn) error {
		return c.with(q.database, q.settings, func() error {
			switch {
			case st.insert:
				return c.runInsert(st, rows, out)
			case strings.TrimSpace(st.text) == preflight && out.format == "Native":
				return c.answerPreflight(out)
			default:
				return c.runStatement(st, out)
			}
		})
	})
}

var errReadonly = exceptionf(codeReadonly, "READONLY", "Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries")

func (c *conn) runInsert(st statement, rows io.Reader, out *response) error {
	if out.request.readonly {
		return errReadonly
	}
	if st.format == formatValues {
		rows = &valuesReader{rows: rows}
	}
	s, err := c.insert(st.text, st.format, newParameters(out.request.parameters), rows)
	if err != nil {
		return err
	}
	return out.emit(nil, &s)
}

func (c *conn) runStatement(st statement, out *response) error {
	a, err := c.examine(st.text)
	if err != nil {
		return err
	}
	q := out.request
	if q.readonly && a.class != classReadOnly {
		return errReadonly
	}
	if a.class >= classControl {
		c.spoiled = true
	}
	run := c.query
	if out.streamed && a.class == classReadOnly {
		run = c.stream
	}
	return run(st.text, q.format, newParameters(q.parameters), out.emit)
}
