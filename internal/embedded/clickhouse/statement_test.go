package clickhouse

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestInlineRowsAreCutOffTheStatement(t *testing.T) {
	for text, want := range map[string]struct{ head, format, rows string }{
		"INSERT INTO t VALUES (1)":                                  {"INSERT INTO t ", "Values", " (1)"},
		"insert into t values(1);":                                  {"insert into t ", "Values", "(1);"},
		"INSERT INTO t FORMAT CSV\n1\n\nDROP TABLE t":               {"INSERT INTO t ", "CSV", "1\n\nDROP TABLE t"},
		"INSERT INTO t FORMAT CSV 1":                                {"INSERT INTO t ", "CSV", "1"},
		"INSERT INTO t FORMAT Native\r\n\n\x00":                     {"INSERT INTO t ", "Native", "\n\x00"},
		"INSERT INTO t FORMAT Native":                               {"INSERT INTO t ", "Native", ""},
		"INSERT INTO t (values, format) VALUES (1, 2)":              {"INSERT INTO t (values, format) ", "Values", " (1, 2)"},
		"INSERT INTO values VALUES (1)":                             {"INSERT INTO values ", "Values", " (1)"},
		"INSERT INTO db.format FORMAT TSV\n1":                       {"INSERT INTO db.format ", "TSV", "1"},
		"INSERT INTO `a``VALUES` (`b\\`c`) VALUES (1)":              {"INSERT INTO `a``VALUES` (`b\\`c`) ", "Values", " (1)"},
		"/* VALUES */ INSERT -- FORMAT x\n INTO t VALUES (1)":       {"/* VALUES */ INSERT -- FORMAT x\n INTO t ", "Values", " (1)"},
		"INSERT INTO t SETTINGS a='FORMAT CSV' FORMAT TSV\n1":       {"INSERT INTO t SETTINGS a='FORMAT CSV' ", "TSV", "1"},
		"INSERT INTO FUNCTION file($x$VALUES$x$, 'TSV') VALUES (1)": {"INSERT INTO FUNCTION file($x$VALUES$x$, 'TSV') ", "Values", " (1)"},
	} {
		st, err := parseStatement(text)
		if err != nil || !st.insert || st.text != want.head || st.format != want.format || text[st.dataAt:] != want.rows {
			t.Errorf("%q: head %q, format %q, rows %q, %v; want %q", text, st.text, st.format, text[st.dataAt:], err, want)
		}
	}
}

func TestStatementsWithoutRowsStayWhole(t *testing.T) {
	for text, format := range map[string]string{
		"SELECT 1":                                   "",
		"SELECT 1 FORMAT Native":                     "Native",
		"SELECT 1 FORMAT CSV;  ":                     "CSV",
		"SELECT 1 FORMAT CSV -- end;":                "CSV",
		"SELECT 1 FORMAT CSV SETTINGS max_threads=1": "CSV",
		"SELECT format FROM t":                       "",
		"SELECT 'INSERT INTO t VALUES; FORMAT x'":    "",
		"INSERT INTO t SELECT format FROM values":    "",
		"INSERT INTO t (a) (SELECT 1)":               "",
		"INSERT INTO t WITH 1 AS x SELECT x;":        "",
		"CREATE TABLE t (insert Int8, into Int8)":    "",
	} {
		st, err := parseStatement(text)
		if err != nil || st.insert || st.text != text || st.format != format {
			t.Errorf("%q: %+v, %v; want it whole, with format %q", text, st, err, format)
		}
	}
}

func TestStatementsThatTheEngineMustNotSeeAreRefused(t *testing.T) {
	for text, want := range map[string]error{
		"SELECT 1; SELECT 2":                                               errSeveralStatements,
		"SELECT 1;;":                                                       errSeveralStatements,
		"SELECT 1; INSERT INTO t FORMAT CSV\n1":                            errSeveralStatements,
		"INSERT INTO t SELECT 1; DROP TABLE t":                             errSeveralStatements,
		"SELECT 1 INTO OUTFILE 'x'":                                        errFileClause,
		"INSERT INTO t FROM INFILE 'x' FORMAT CSV":                         errFileClause,
		"INSERT INTO t SELECT * FROM input('a Int8') FORMAT CSV 1\n\nDROP": errInsertFromInput,
		"WITH 1 AS x INSERT INTO t SELECT x FORMAT CSV\n1\n\nDROP":         errInsertFromInput,
		"INSERT INTO t":                                                    errInsertWithoutRows,
		"INSERT INTO t FORMAT CSV; SELECT 1":                               errSemicolonInsert,
	} {
		if st, err := parseStatement(text); !errors.Is(err, want) {
			t.Errorf("%q: %+v, %v; want %v", text, st, err, want)
		}
	}
}

func TestRowsBeginWhereverTheTextIsCut(t *testing.T) {
	head := "INSERT INTO t (" + strings.Repeat("x", headSize-40) + ")"
	for padding := range 60 {
		text := head + strings.Repeat(" ", padding) + "FORMAT CSV\n1\n2\n"
		st, rows, err := readStatement(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rows)
		if err != nil || st.format != "CSV" || string(got) != "1\n2\n" {
			t.Fatalf("with %d blanks: format %q, rows %q, %v", padding, st.format, got, err)
		}
	}
}
