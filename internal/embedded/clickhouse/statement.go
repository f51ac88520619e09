package clickhouse

// statement is what must be known of a query's text before the engine may see it.
//
// The engine's client side would execute what follows the first blank line of an INSERT's inline data as SQL, and
// would read and write files for FROM INFILE and INTO OUTFILE. So inline data is cut off here and streamed in by
// itself, and the rest is refused.
type statement struct {
	text   string // without inline data and without the FORMAT of an INSERT
	format string // named by a FORMAT clause or implied by VALUES; "" when there is none
	query  bool   // a SELECT, the only kind that the engine streams
	insert bool   // an INSERT that takes rows from the request, not from a SELECT
	dataAt int    // where those rows begin
}

// formatValues is the format of VALUES (…), (…), the one in which rows are SQL.
const formatValues = "Values"

var (
	errSeveralStatements = exceptionf(codeSyntaxError, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed): send one statement per request")
	errFileClause        = exceptionf(codeNotImplemented, "NOT_IMPLEMENTED", "INTO OUTFILE and FROM INFILE are clauses of clickhouse-client: send or receive the rows over HTTP instead")
	errInsertFromInput   = exceptionf(codeNotImplemented, "NOT_IMPLEMENTED", "INSERT … SELECT … FORMAT is not supported by embedded ClickHouse: insert the rows into a table and select from there")
	errInsertWithoutRows = exceptionf(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: an INSERT needs VALUES, FORMAT or SELECT")
	errSemicolonInsert   = exceptionf(codeSyntaxError, "SYNTAX_ERROR", "You have excessive ';' symbol before data for INSERT")
)

// parseStatement looks at text, which may be cut off anywhere: an INSERT of which it saw the data has dataAt > 0.
func parseStatement(text string) (statement, error) {
	st := statement{text: text}
	s := &scanner{text: text}
	for first := true; s.next(); first = false {
		if first {
			st.query = s.is("SELECT", "WITH", "FROM", "(")
		}
		switch {
		case s.token() == ";" && s.depth == 0:
			return st, atEnd(s)
		case s.is("INSERT") && s.depth == 0 && (first || s.followedBy("INTO")):
			return parseInsert(s, st)
		case s.is("INTO") && s.followedBy("OUTFILE"):
			return st, errFileClause
		case s.is("FORMAT") && s.depth == 0:
			if name, ok := formatName(s); ok {
				st.format = name
			}
		}
	}
	return st, nil
}

// parseInsert goes on after the word INSERT: [INTO] [TABLE] [FUNCTION] target … (VALUES | FORMAT name | SELECT …).
func parseInsert(s *scanner, st statement) (statement, error) {
	for s.next() && s.is("INTO", "TABLE", "FUNCTION") {
	}
	// The current token is the target's name, whatever it is called.
	for s.next() {
		switch {
		case s.token() == ".":
			s.next()
		case s.token() == ";" && s.depth == 0:
			return st, atEnd(s)
		case s.is("INFILE", "OUTFILE"):
			return st, errFileClause
		case s.is("SELECT"), s.is("WITH", "EXPLAIN") && s.depth == 0:
			return st, parseInsertSelect(s)
		case s.depth > 0:
		case s.is("VALUES"):
			st.text, st.insert, st.format, st.dataAt = st.text[:s.start], true, formatValues, s.end
			return st, nil
		case s.is("FORMAT"):
			end := s.start
			if !s.next() || word(s.token()) == 0 {
				return st, nil
			}
			at, err := dataStart(s.text, s.end)
			st.text, st.insert, st.format, st.dataAt = st.text[:end], true, s.token(), at
			return st, err
		}
	}
	return st, errInsertWithoutRows
}

// parseInsertSelect goes on inside the SELECT of an INSERT. Only input() makes use of a FORMAT there.
func parseInsertSelect(s *scanner) error {
	for s.next() {
		switch {
		case s.token() == ";" && s.depth == 0:
			return atEnd(s)
		case s.is("FORMAT") && s.depth == 0:
			ahead, ok := s.peek()
			// A column may be called format; none of these words is the name of a format.
			if ok && word(ahead.token()) > 0 && !ahead.is("FROM", "AS", "WHERE", "GROUP", "HAVING", "ORDER", "ASC", "DESC",
				"LIMIT", "UNION", "SETTINGS", "AND", "OR", "IN", "IS", "NOT", "LIKE", "ILIKE", "BETWEEN") {
				return errInsertFromInput
			}
		}
	}
	return nil
}

// atEnd allows nothing after a semicolon.
func atEnd(s *scanner) error {
	if s.next() {
		return errSeveralStatements
	}
	return nil
}

// formatName reads the name after FORMAT; ok is false where FORMAT is the name of something itself.
func formatName(s *scanner) (name string, ok bool) {
	ahead, ok := s.peek()
	if !ok || word(ahead.token()) == 0 {
		return "", false
	}
	name = ahead.token()
	return name, !ahead.next() || ahead.is(";", "SETTINGS")
}

// dataStart is where the rows begin after the name of their format: after one line break, or after the blanks.
func dataStart(text string, at int) (int, error) {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\f') {
		at++
	}
	if at < len(text) && text[at] == ';' {
		return at, errSemicolonInsert
	}
	if at < len(text) && text[at] == '\r' {
		at++
	}
	if at < len(text) && text[at] == '\n' {
		at++
	}
	return at, nil
}
