// Package clickhouse runs ClickHouse on loopback, so that a laptop without a ClickHouse server has the
// very engine, SQL and HTTP interface that production has.
//
// Two ways lead there. A `clickhouse` binary on PATH is preferred (FindServer, ServerCommand). Without one the
// engine is loaded from libchdb, ClickHouse as a shared library (FindLibrary, InstallLibrary), and Serve puts
// ClickHouse's HTTP interface in front of it. Clients cannot tell which of the two answers.
//
// Serve belongs in a process of its own. The library is C++ that claims signal handlers, starts threads which
// live as long as the process, and opens one data folder per process; a crash in it must not take the pipelines
// with it. Nothing needs to be said on the way out: rows whose INSERT was answered survive kill -9.
//
// The caller sets the working directory: the table function icebergLocal() only reads below it. Anyone who may
// run a query may also read files of this user (`file('/etc/passwd')`), hence Serve binds to loopback only and
// never without a password.
//
// Eight statements run at once; a ninth waits. A streamed result counts until its client has read it, so a client
// that keeps more than a few half-read results open starves itself.
//
// What the handler leaves out of ClickHouse's HTTP interface: sessions (session_id), external tables
// (multipart bodies) and roles are refused with NOT_IMPLEMENTED; query_id is echoed but unknown to the engine; a
// client that goes away ends a streamed result or an insert, but a query without output runs on to its end.
package clickhouse
