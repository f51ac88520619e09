package clickhouse

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	// headSize is how much of a request is looked at to find where an INSERT's rows begin.
	headSize = 64 << 10
	// maxStatement bounds the text of any other statement; the engine's max_query_size is lower by default.
	maxStatement = 16 << 20
)

// request is one statement with everything that ClickHouse's HTTP interface lets a client say around it.
type request struct {
	readonly   bool // GET may not change anything
	database   string
	format     string
	queryID    string
	compress   string // method of ClickHouse's own block compression of the answer, "" for none
	decompress bool   // the body is compressed by blocks
	revision   int    // of the native protocol that the client knows
	encoding   string // of the answer, by HTTP
	buffered   bool   // the client wants a status that is final
	settings   map[string]string
	parameters map[string]string
}

// ignored are parameters that mean nothing here or that are read elsewhere.
var ignored = []string{"query", "user", "password", "quota_key", "buffer_size", "close_session", "stacktrace"}

// refused are parameters that would change the meaning of a statement but are not supported.
var refused = []string{"session_id", "session_timeout", "session_check", "role"}

var (
	settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	formatWord  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
)

func parseRequest(r *http.Request, values url.Values) (*request, error) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return nil, exceptionf(codeNotImplemented, "NOT_IMPLEMENTED", "external tables are not supported by embedded ClickHouse")
	}
	header := r.Header.Get
	q := &request{
		readonly: r.Method != http.MethodPost,
		database: cmp.Or(header("X-ClickHouse-Database"), "default"),
		format:   cmp.Or(header("X-ClickHouse-Format"), "TabSeparated"),
		settings: map[string]string{}, parameters: map[string]string{},
	}
	compressed := false
	for name, all := range values {
		value := all[len(all)-1]
		switch {
		case slices.Contains(ignored, name):
		case slices.Contains(refused, name):
			return nil, exceptionf(codeNotImplemented, "NOT_IMPLEMENTED", "parameter %s is not supported by embedded ClickHouse: every request stands alone", name)
		case name == "database":
			q.database = cmp.Or(value, q.database)
		case name == "default_format":
			q.format = value
		case name == "query_id":
			q.queryID = value
		case name == "compress":
			compressed = isOn(value)
		case name == "decompress":
			q.decompress = isOn(value)
		case name == "client_protocol_version":
			revision, err := strconv.Atoi(value)
			if err != nil {
				return nil, exceptionf(codeBadArguments, "BAD_ARGUMENTS", "Cannot parse client_protocol_version: %v", err)
			}
			q.revision = revision
		case name == "wait_end_of_query":
			q.buffered = isOn(value)
		case strings.HasPrefix(name, "param_"):
			q.parameters[strings.TrimPrefix(name, "param_")] = value
		case !settingName.MatchString(name):
			return nil, exceptionf(codeUnknownSetting, "UNKNOWN_SETTING", "Unknown setting %q", name)
		default:
			q.settings[name] = value
		}
	}
	if !formatWord.MatchString(q.format) {
		return nil, exceptionf(codeUnknownFormat, "UNKNOWN_FORMAT", "Unknown format %s", q.format)
	}
	if compressed {
		q.compress = cmp.Or(strings.ToUpper(q.settings["network_compression_method"]), "LZ4")
	}
	if isOn(q.settings["enable_http_compression"]) {
		q.encoding = acceptedEncoding(header("Accept-Encoding"))
	}
	return q, nil
}

func isOn(value string) bool { return value == "1" || strings.EqualFold(value, "true") }

// readStatement splits a request's text into the statement and, for an INSERT, its rows. Rows are never held in
// memory; any other statement is.
func readStatement(in io.Reader) (statement, io.Reader, error) {
	var text bytes.Buffer
	for _, limit := range []int64{headSize, maxStatement} {
		if _, err := text.ReadFrom(io.LimitReader(in, limit-int64(text.Len()))); err != nil {
			return statement{}, nil, err
		}
		whole := int64(text.Len()) < limit
		st, err := parseStatement(text.String())
		if errors.Is(err, errInsertWithoutRows) && !whole {
			continue
		}
		if err != nil {
			return st, nil, err
		}
		if st.insert && (whole || st.dataAt < text.Len()) {
			return st, io.MultiReader(bytes.NewReader(text.Bytes()[st.dataAt:]), in), nil
		}
		if whole {
			return st, nil, nil
		}
	}
	return statement{}, nil, exceptionf(codeQueryTooLarge, "QUERY_IS_TOO_LARGE", "the statement is longer than %d bytes: send rows as the data of an INSERT", maxStatement)
}

// credentials are kept as digests, so that comparing takes the same time whatever was sent.
type credentials struct{ user, password [sha256.Size]byte }

func newCredentials(user, password string) credentials {
	return credentials{sha256.Sum256([]byte(user)), sha256.Sum256([]byte(password))}
}

// check fails closed (I7): there is no user without a password, and no query without a user.
func (c credentials) check(r *http.Request, values url.Values) error {
	user, password, given := r.BasicAuth()
	if u := r.Header.Get("X-ClickHouse-User"); u != "" {
		user, password, given = u, r.Header.Get("X-ClickHouse-Key"), true
	} else if !given && values.Has("user") {
		user, password, given = values.Get("user"), values.Get("password"), true
	}
	if !given {
		return exceptionf(codeRequiredPassword, "REQUIRED_PASSWORD", "Authentication is required: send user and password")
	}
	theirs := newCredentials(user, password)
	if subtle.ConstantTimeCompare(c.user[:], theirs.user[:])&subtle.ConstantTimeCompare(c.password[:], theirs.password[:]) != 1 {
		return exceptionf(codeAuthenticationFailed, "AUTHENTICATION_FAILED", "%s: Authentication failed: password is incorrect, or there is no user with such name", fmt.Sprintf("%.64q", user))
	}
	return nil
}
