package clickhouse

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// ClickHouse's error codes that the handler itself raises.
const (
	codeCannotReadAllData    = 33
	codeBadArguments         = 36
	codeNotImplemented       = 48
	codeSyntaxError          = 62
	codeReadonly             = 164
	codeRequiredPassword     = 194
	codeQueryTooLarge        = 223
	codeCannotDecompress     = 271
	codeNetworkError         = 210
	codeAuthenticationFailed = 516
	codeUnknownException     = 1002
	codeUnknownFormat        = 73
	codeUnknownSetting       = 115
)

// exception is an error of the engine, or of the handler in the engine's words: clients parse its text.
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

func exceptionf(code int, name, format string, args ...any) *exception {
	return &exception{code, fmt.Sprintf("Code: %d. DB::Exception: %s. (%s)", code, fmt.Sprintf(format, args...), name)}
}

var codePrefix = regexp.MustCompile(`Code: (\d+)\. `)

// engineException types the engine's error text; "" is no error.
func engineException(text string) error {
	if text == "" {
		return nil
	}
	found := codePrefix.FindStringSubmatchIndex(text)
	if found == nil {
		return &exception{codeUnknownException, fmt.Sprintf("Code: %d. DB::Exception: %s (UNKNOWN_EXCEPTION)", codeUnknownException, text)}
	}
	code, err := strconv.Atoi(text[found[2]:found[3]])
	if err != nil {
		code = codeUnknownException
	}
	// What precedes the code names the call of the library and helps nobody.
	return &exception{code, strings.TrimSpace(text[found[0]:])}
}

// asException gives every error a code, since clients expect one.
func asException(err error) *exception {
	if e, ok := errors.AsType[*exception](err); ok {
		return e
	}
	return exceptionf(codeUnknownException, "UNKNOWN_EXCEPTION", "%v", err)
}

// statusByCode follows ClickHouse's own table; a code that is not listed is a 500.
var statusByCode = map[int]int{
	codeRequiredPassword: http.StatusUnauthorized,

	codeAuthenticationFailed: http.StatusForbidden,
	192:                      http.StatusForbidden, // UNKNOWN_USER
	193:                      http.StatusForbidden, // WRONG_PASSWORD
	497:                      http.StatusForbidden, // ACCESS_DENIED

	codeCannotReadAllData: http.StatusBadRequest,
	codeBadArguments:      http.StatusBadRequest,
	codeSyntaxError:       http.StatusBadRequest,
	6:                     http.StatusBadRequest, // CANNOT_PARSE_TEXT
	26:                    http.StatusBadRequest, // CANNOT_PARSE_QUOTED_STRING
	27:                    http.StatusBadRequest, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38:                    http.StatusBadRequest, // CANNOT_PARSE_DATE
	41:                    http.StatusBadRequest, // CANNOT_PARSE_DATETIME
	43:                    http.StatusBadRequest, // ILLEGAL_TYPE_OF_ARGUMENT
	53:                    http.StatusBadRequest, // TYPE_MISMATCH
	69:                    http.StatusBadRequest, // ARGUMENT_OUT_OF_BOUND
	72:                    http.StatusBadRequest, // CANNOT_PARSE_NUMBER
	130:                   http.StatusBadRequest, // CANNOT_READ_ARRAY_FROM_TEXT
	386:                   http.StatusBadRequest, // NO_COMMON_TYPE
	457:                   http.StatusBadRequest, // BAD_QUERY_PARAMETER
	codeCannotDecompress:  http.StatusBadRequest,

	46:                 http.StatusNotFound, // UNKNOWN_FUNCTION
	47:                 http.StatusNotFound, // UNKNOWN_IDENTIFIER
	50:                 http.StatusNotFound, // UNKNOWN_TYPE
	56:                 http.StatusNotFound, // UNKNOWN_STORAGE
	60:                 http.StatusNotFound, // UNKNOWN_TABLE
	63:                 http.StatusNotFound, // UNKNOWN_AGGREGATE_FUNCTION
	codeUnknownFormat:  http.StatusNotFound, // UNKNOWN_FORMAT
	78:                 http.StatusNotFound, // UNKNOWN_TYPE_OF_QUERY
	81:                 http.StatusNotFound, // UNKNOWN_DATABASE
	codeUnknownSetting: http.StatusNotFound, // UNKNOWN_SETTING

	159:                http.StatusRequestTimeout, // TIMEOUT_EXCEEDED
	codeQueryTooLarge:  http.StatusRequestEntityTooLarge,
	codeNotImplemented: http.StatusNotImplemented,
	codeNetworkError:   http.StatusServiceUnavailable,
}

func (e *exception) status() int {
	if status, ok := statusByCode[e.code]; ok {
		return status
	}
	return http.StatusInternalServerError
}
