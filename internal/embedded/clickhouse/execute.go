package clickhouse

import (
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// appendSize is how many bytes of an INSERT are handed to the engine at once; it waits while the engine is busy.
const appendSize = 1 << 20

// summary is what a statement read and wrote, as X-ClickHouse-Summary shows it.
type summary struct {
	readRows, readBytes, writtenRows, writtenBytes uint64
	elapsed                                        float64
}

// result wraps one result of the library; it must be destroyed.
type result struct {
	engine *engine
	handle unsafe.Pointer
}

func (r result) destroy()   { r.engine.resultDestroy(r.handle) }
func (r result) err() error { return engineException(r.engine.resultError(r.handle)) }

// bytes are the library's own; they are gone once the result is destroyed.
func (r result) bytes() []byte {
	return unsafe.Slice((*byte)(r.engine.resultBuffer(r.handle)), r.engine.resultLength(r.handle))
}

func (r result) summary() summary {
	e := r.engine
	return summary{e.resultReadRows(r.handle), e.resultReadBytes(r.handle), e.resultWrittenRows(r.handle), e.resultWrittenBytes(r.handle), e.resultElapsed(r.handle)}
}

// exec runs a statement of the handler's own.
func (c *conn) exec(sql string) error { return c.query(sql, "Null", newParameters(nil), nil) }

// query runs a statement and hands its whole output over; emit may be nil.
func (c *conn) query(sql, format string, p *parameters, emit func([]byte, *summary) error) error {
	r := result{c.engine, withParameters(c.engine.query).on(c.connection(), sql, format, p)}
	defer r.destroy()
	if err := r.err(); err != nil || emit == nil {
		return err
	}
	s := r.summary()
	return emit(r.bytes(), &s)
}

// stream runs a SELECT and hands its output over in pieces, as it is computed. An error of emit ends the SELECT.
func (c *conn) stream(sql, format string, p *parameters, emit func([]byte, *summary) error) error {
	r := result{c.engine, withParameters(c.engine.streamQuery).on(c.connection(), sql, format, p)}
	defer r.destroy()
	if err := r.err(); err != nil {
		return err
	}
	for {
		more, err := c.fetch(r, emit)
		if err != nil {
			c.engine.streamCancel(c.connection(), r.handle)
			return err
		}
		if !more {
			return nil
		}
	}
}

func (c *conn) fetch(r result, emit func([]byte, *summary) error) (more bool, err error) {
	piece := result{c.engine, c.engine.streamFetch(c.connection(), r.handle)}
	defer piece.destroy()
	if err := piece.err(); err != nil {
		return false, err
	}
	bytes := piece.bytes()
	if len(bytes) == 0 {
		return false, nil
	}
	return true, emit(bytes, nil)
}

// insert streams rows into the INSERT that sql begins. It returns once the table holds them (I2), or not at all: a
// request that breaks off is not committed.
func (c *conn) insert(sql, format string, p *parameters, rows io.Reader) (summary, error) {
	// The line break ends a comment that would swallow the FORMAT which the engine appends.
	stream := withParameters(c.engine.insert).on(c.connection(), sql+"\n", format, p)
	defer c.engine.insertDestroy(stream)
	if err := engineException(c.engine.insertError(stream)); err != nil {
		return summary{}, err
	}
	buffer := make([]byte, appendSize)
	for {
		n, err := fill(rows, buffer)
		if n > 0 && c.engine.insertAppend(stream, unsafe.Pointer(unsafe.SliceData(buffer)), uintptr(n)) != 0 {
			break // the reason comes with the end of the stream
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.engine.insertCancel(stream)
			return summary{}, brokenOff(err)
		}
	}
	r := result{c.engine, c.engine.insertDone(stream)}
	defer r.destroy()
	if err := r.err(); err != nil {
		return summary{}, err
	}
	return r.summary(), nil
}

// brokenOff is the error of rows that could not be read to their end.
func brokenOff(err error) error {
	if e := new(exception); errors.As(err, &e) {
		return e
	}
	return exceptionf(codeCannotReadAllData, "CANNOT_READ_ALL_DATA", "the rows broke off and were not inserted: %v", err)
}

// fill reads until buffer is full. Unlike io.ReadFull it tells the end of the rows (io.EOF) from a body that broke off.
func fill(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var read int
		read, err = r.Read(buffer[n:])
		n += read
	}
	return n, err
}

// examine parses sql as the engine would, without running it.
func (c *conn) examine(sql string) (analysis, error) {
	a := analysis{structSize: uint32(unsafe.Sizeof(analysis{}))}
	if c.engine.classify(c.connection(), sql, uintptr(len(sql)), nil, 0, &a) != 0 {
		return a, exceptionf(codeUnknownException, "UNKNOWN_EXCEPTION", "the engine cannot classify statements on this connection")
	}
	runtime.KeepAlive(&a)
	switch {
	case a.statements > 1:
		return a, errSeveralStatements
	case a.statements == 0:
		return a, c.syntaxError(sql)
	}
	return a, nil
}

// syntaxError says what is wrong with sql. Beginning an INSERT is the one call that parses a single statement and
// runs nothing; an ordinary query would run the statements before the fault.
func (c *conn) syntaxError(sql string) error {
	stream := withParameters(c.engine.insert).on(c.connection(), sql, "", newParameters(nil))
	defer c.engine.insertDestroy(stream)
	if err := engineException(c.engine.insertError(stream)); err != nil {
		return err
	}
	c.engine.insertCancel(stream)
	return exceptionf(codeSyntaxError, "SYNTAX_ERROR", "Syntax error: this is not one statement")
}

// with runs f with a current database and settings, and takes the settings back.
func (c *conn) with(database string, settings map[string]string, f func() error) error {
	if database != c.database {
		if err := c.exec("USE " + quote(database, '`')); err != nil {
			return err
		}
		c.database = database
	}
	if len(settings) == 0 {
		return f()
	}
	var set, reset []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		set = append(set, name+" = "+quote(settings[name], '\''))
		if base, ok := baseSettings[name]; ok {
			reset = append(reset, name+" = "+quote(base, '\''))
		} else {
			reset = append(reset, name+" = DEFAULT")
		}
	}
	err := c.exec("SET " + strings.Join(set, ", "))
	if err == nil {
		err = f()
	}
	if c.exec("SET "+strings.Join(reset, ", ")) != nil {
		c.spoiled = true
	}
	return err
}

// quote makes text a string, or an identifier, of ClickHouse's SQL.
func quote(text string, mark byte) string {
	escape := strings.NewReplacer(`\`, `\\`, string(mark), `\`+string(mark))
	return string(mark) + escape.Replace(text) + string(mark)
}
