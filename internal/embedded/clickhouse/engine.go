package clickhouse

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// engine is libchdb's C interface, bound without cgo. Pointers are the library's: Go neither frees nor follows them.
type engine struct {
	signals *signalKeeper

	connect  func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	close    func(connection unsafe.Pointer)
	handlers func(enabled int32)

	classify func(connection unsafe.Pointer, sql string, length uintptr, database unsafe.Pointer, databaseLength uintptr, analysis *analysis) int32
	query    func(connection unsafe.Pointer, sql string, length uintptr, format string, formatLength uintptr,
		names, nameLengths, values, valueLengths unsafe.Pointer, count uintptr) unsafe.Pointer
	streamQuery func(connection unsafe.Pointer, sql string, length uintptr, format string, formatLength uintptr,
		names, nameLengths, values, valueLengths unsafe.Pointer, count uintptr) unsafe.Pointer
	streamFetch  func(connection, result unsafe.Pointer) unsafe.Pointer
	streamCancel func(connection, result unsafe.Pointer)

	insert func(connection unsafe.Pointer, sql string, length uintptr, format string, formatLength uintptr,
		names, nameLengths, values, valueLengths unsafe.Pointer, count uintptr) unsafe.Pointer
	insertAppend  func(stream unsafe.Pointer, data unsafe.Pointer, length uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) string
	insertDestroy func(stream unsafe.Pointer)

	resultError        func(result unsafe.Pointer) string
	resultBuffer       func(result unsafe.Pointer) unsafe.Pointer
	resultLength       func(result unsafe.Pointer) uintptr
	resultElapsed      func(result unsafe.Pointer) float64
	resultReadRows     func(result unsafe.Pointer) uint64
	resultReadBytes    func(result unsafe.Pointer) uint64
	resultWrittenRows  func(result unsafe.Pointer) uint64
	resultWrittenBytes func(result unsafe.Pointer) uint64
	resultDestroy      func(result unsafe.Pointer)
}

// loadEngine maps the library into the process, for good: it cannot be unloaded.
func loadEngine(path string) (*engine, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("loading the ClickHouse engine: %w", err)
	}
	e := &engine{}
	if e.signals, err = newSignalKeeper(); err != nil {
		return nil, fmt.Errorf("finding sigaction: %w", err)
	}
	for symbol, target := range map[string]any{
		"chdb_connect":                     &e.connect,
		"chdb_close_conn":                  &e.close,
		"chdb_set_signal_handlers_enabled": &e.handlers,
		"chdb_classify_query_n":            &e.classify,
		"chdb_query_with_params_n":         &e.query,
		"chdb_stream_query_with_params_n":  &e.streamQuery,
		"chdb_stream_fetch_result":         &e.streamFetch,
		"chdb_stream_cancel_query":         &e.streamCancel,
		"chdb_stream_insert_with_params_n": &e.insert,
		"chdb_stream_append":               &e.insertAppend,
		"chdb_stream_done":                 &e.insertDone,
		"chdb_stream_cancel_insert":        &e.insertCancel,
		"chdb_stream_insert_error":         &e.insertError,
		"chdb_destroy_insert_stream":       &e.insertDestroy,
		"chdb_result_error":                &e.resultError,
		"chdb_result_buffer":               &e.resultBuffer,
		"chdb_result_length":               &e.resultLength,
		"chdb_result_elapsed":              &e.resultElapsed,
		"chdb_result_storage_rows_read":    &e.resultReadRows,
		"chdb_result_storage_bytes_read":   &e.resultReadBytes,
		"chdb_result_rows_written":         &e.resultWrittenRows,
		"chdb_result_bytes_written":        &e.resultWrittenBytes,
		"chdb_destroy_query_result":        &e.resultDestroy,
	} {
		address, err := purego.Dlsym(handle, symbol)
		if err != nil {
			return nil, fmt.Errorf("the ClickHouse engine %q is of another version, %s is expected: %w", path, libraryVersion, err)
		}
		purego.RegisterFunc(target, address)
	}
	e.signals.around(func() { e.handlers(0) })
	return e, nil
}

// open connects to the data folder named in arguments; nil when the engine refuses, having said why on stderr.
func (e *engine) open(arguments []string) (connection unsafe.Pointer) {
	argv := make([]*byte, len(arguments))
	for i, argument := range arguments {
		argv[i] = unsafe.StringData(argument + "\x00")
	}
	e.signals.around(func() { connection = e.connect(int32(len(argv)), unsafe.Pointer(unsafe.SliceData(argv))) })
	runtime.KeepAlive(argv)
	return connection
}

// Classes of statements by what they leave behind, as chdb_classify_query_n reports them.
const (
	classReadOnly = 0
	classControl  = 3 // touches the connection itself: SET, USE, temporary tables, SYSTEM …
)

// analysis is C's chdb_query_analysis_v1.
type analysis struct {
	structSize uint32
	statements uint32
	_          uint32 // flags
	class      uint32
}

// parameters are query parameters ({name:Type}) in C's parallel arrays.
type parameters struct {
	names, values             []*byte
	nameLengths, valueLengths []uintptr
}

func newParameters(pairs map[string]string) *parameters {
	p := &parameters{}
	for name, value := range pairs {
		// A NUL keeps the pointer of an empty value from being nil.
		p.names, p.nameLengths = append(p.names, unsafe.StringData(name+"\x00")), append(p.nameLengths, uintptr(len(name)))
		p.values, p.valueLengths = append(p.values, unsafe.StringData(value+"\x00")), append(p.valueLengths, uintptr(len(value)))
	}
	return p
}

// withParameters is any of the three calls that take a statement, a format and parameters.
type withParameters func(connection unsafe.Pointer, sql string, length uintptr, format string, formatLength uintptr,
	names, nameLengths, values, valueLengths unsafe.Pointer, count uintptr) unsafe.Pointer

func (call withParameters) on(connection unsafe.Pointer, sql, format string, p *parameters) unsafe.Pointer {
	result := call(connection, sql, uintptr(len(sql)), format, uintptr(len(format)),
		unsafe.Pointer(unsafe.SliceData(p.names)), unsafe.Pointer(unsafe.SliceData(p.nameLengths)),
		unsafe.Pointer(unsafe.SliceData(p.values)), unsafe.Pointer(unsafe.SliceData(p.valueLengths)), uintptr(len(p.names)))
	runtime.KeepAlive(p)
	return result
}
