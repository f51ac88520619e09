package api

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"time"
)

// Patience is how long a client may take over a body. A deadline for all of it would be too long for a few
// bytes, or too short for many over a slow line: so it moves with what arrives.
type Patience struct {
	// Start is what a client has before it must have sent anything; 5 seconds if 0.
	Start time.Duration
	// BytesPerSecond is how fast it must send from then on, on the whole; 16 KiB if 0.
	BytesPerSecond int64
	// Whole bounds all of it; a minute if 0.
	Whole time.Duration
}

func (p Patience) orDefault() Patience {
	return Patience{
		Start:          cmp.Or(p.Start, 5*time.Second),
		BytesPerSecond: cmp.Or(p.BytesPerSecond, 16<<10),
		Whole:          cmp.Or(p.Whole, readTimeout),
	}
}

func (p Patience) check() error {
	if p.Start < 0 || p.BytesPerSecond < 0 || p.Whole < 0 {
		return errors.New("constructing API: the patience with bodies must be above 0")
	}
	return nil
}

// with is how long a client may have kept us waiting that has sent so many bytes.
func (p Patience) with(received int64) time.Duration {
	return min(p.Start+time.Duration(float64(received)/float64(p.BytesPerSecond)*float64(time.Second)), p.Whole)
}

// linger is how long the rest of a body is thrown away behind an answer that did not need it: a connection
// that is closed amid it would be reset, and the answer lost.
const linger = 500 * time.Millisecond

// arrivingBody is a body that must arrive in time. Only the time that its reader waits for the client
// counts, not what the reader does in between, such as waiting for memory.
type arrivingBody struct {
	io.ReadCloser
	conn     *http.ResponseController
	patience Patience

	received int64
	waited   time.Duration
	ended    bool
}

func (s *Server) arriving(w http.ResponseWriter, r *http.Request) *arrivingBody {
	return &arrivingBody{ReadCloser: r.Body, conn: http.NewResponseController(w), patience: s.config.Patience}
}

// Read ends with an error of the network where the client is too slow. A connection that knows no
// deadlines, of tests, has none.
func (b *arrivingBody) Read(into []byte) (int, error) {
	begun := time.Now()
	_ = b.conn.SetReadDeadline(begun.Add(b.patience.with(b.received) - b.waited))
	n, err := b.ReadCloser.Read(into)
	b.received += int64(n)
	b.waited += time.Since(begun)
	if errors.Is(err, io.EOF) {
		b.ended = true
		// the server reads on, to notice that the client leaves: it may wait for its answer as long as it takes
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// leave gives up what has not arrived when the answer begins: nobody waits for it, and the connection cannot
// be used again.
func (b *arrivingBody) leave(answer http.Header) {
	if b == nil || b.ended {
		return
	}
	b.ended = true
	answer.Set("Connection", "close")
	_ = b.conn.SetReadDeadline(time.Now().Add(linger))
}
