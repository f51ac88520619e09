package clickhouse

import "io"

// valuesReader passes the rows of VALUES on, and fails where a second statement begins: the engine would take the
// rows and ignore the rest without a word.
type valuesReader struct {
	rows    io.Reader
	quote   byte // the string or name it is in, 0 outside
	escaped bool // the next byte is part of that string whatever it is
	ended   bool // by a semicolon
}

func (v *valuesReader) Read(p []byte) (int, error) {
	n, err := v.rows.Read(p)
	for _, c := range p[:n] {
		switch {
		case v.escaped:
			v.escaped = false
		case v.quote != 0:
			switch c {
			case '\\':
				v.escaped = true
			case v.quote:
				v.quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			v.quote = c
		case c == ';':
			v.ended = true
		case v.ended && c > ' ':
			return 0, errSeveralStatements
		}
	}
	return n, err
}
