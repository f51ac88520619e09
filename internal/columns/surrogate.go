package columns

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf16"
)

var errSurrogate = errors.New("must not hold one half of a surrogate pair")

// halfPair reports whether a JSON string escapes one half of a surrogate pair without the other. It has no
// character, and a decoder puts U+FFFD in its place: two different ids would become one.
func halfPair(raw []byte) bool {
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 || at+1 >= len(raw) {
			return false
		}
		raw = raw[at:]
		unit, escaped := codeUnit(raw)
		switch {
		case !escaped:
			raw = raw[2:]
			continue
		case !utf16.IsSurrogate(unit):
			raw = raw[escapeLength:]
			continue
		}
		next, escaped := codeUnit(raw[escapeLength:])
		if !escaped || utf16.DecodeRune(unit, next) == '\uFFFD' {
			return true
		}
		raw = raw[2*escapeLength:]
	}
}

// escapeLength is that of \uXXXX.
const escapeLength = 6

// codeUnit reads the escape of a UTF-16 code unit that raw begins with.
func codeUnit(raw []byte) (unit rune, escaped bool) {
	if len(raw) < escapeLength || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(raw[2:escapeLength]), 16, 16)
	return rune(n), err == nil
}
