package jwthttp

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"golang.org/x/sync/semaphore"

	"github.com/shop-connect/shop-connect/api"
)

// A stream costs the same for a batch whatever it holds: what it can save on are small ones.
const (
	// fullBatch is how many rows a batch has that waits for no more.
	fullBatch = 1000
	// sideBySide is how many batches are on their way before one that is not full waits, for requests to
	// join it or for one of those to be acknowledged. So a lone request goes at once, and many that come
	// together share what they cost.
	sideBySide = 2
)

var (
	errNoServer   = errors.New("there is no API to mount the endpoint on: run it in streams mode with a root config that has a section `api`, for example `shop-connect streams -o pipelines/resources/service.yaml pipelines/*.yaml`")
	errClosed     = errors.New("the stream has stopped")
	errBusy       = errors.New("the stream did not take the rows in time")
	errUnanswered = errors.New("the stream's output did not acknowledge the rows in time")
)

// input hands requests from the API's goroutines to the stream's.
type input struct {
	config
	resources *service.Resources

	// requests has no buffer: a request is either with its handler, which may give up, or in a batch.
	requests chan *request
	// underway counts batches, and landed says that it has fallen.
	underway atomic.Int32
	landed   chan struct{}

	memory  *semaphore.Weighted
	parsers sync.Pool

	decompressor *decompressor

	closed    chan struct{}
	closeOnce sync.Once
	mu        sync.Mutex
	server    *api.Server
	unmount   func()
}

var _ service.BatchInput = (*input)(nil)

func newInput(c config, res *service.Resources) *input {
	in := &input{
		config: c, resources: res,
		requests: make(chan *request),
		landed:   make(chan struct{}, 1),
		memory:   semaphore.NewWeighted(int64(c.maxPendingBytes)),
		closed:   make(chan struct{}),

		decompressor: newDecompressor(c.maxBodyBytes),
	}
	in.parsers.New = func() any { return newParser(&in.config) }
	return in
}

// request is a parsed body on its way to be acknowledged.
type request struct {
	rows    rows
	outcome chan error // buffered: the one who acknowledges never waits
	release func()
}

// Connect mounts the endpoint.
func (in *input) Connect(context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.unmount != nil {
		return nil
	}
	generic, _ := in.resources.GetGeneric(api.Key)
	server, ok := generic.(*api.Server)
	if !ok {
		return errNoServer
	}
	in.server = server
	unmount, err := server.Mount(api.Route{Method: in.method, Path: in.path, Handler: in, Operation: in.operation(server)})
	if err != nil {
		return err
	}
	in.unmount = unmount
	return nil
}

// ReadBatch waits for a request, and takes along those that wait by then.
func (in *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	var g group
	for g.empty() || g.rows < fullBatch && in.underway.Load() >= sideBySide {
		select {
		case r := <-in.requests:
			in.gather(g.add(r))
		case <-in.landed:
		case <-in.closed:
			return nil, nil, g.giveUp(service.ErrEndOfInput)
		case <-ctx.Done():
			return nil, nil, g.giveUp(ctx.Err())
		}
	}
	in.underway.Add(1)
	return g.batch(), func(_ context.Context, err error) error {
		in.underway.Add(-1)
		select {
		case in.landed <- struct{}{}:
		default:
		}
		g.settle(err)
		return nil
	}, nil
}

// gather adds the requests that wait.
func (in *input) gather(g *group) {
	for g.rows < fullBatch {
		select {
		case r := <-in.requests:
			g.add(r)
		default:
			return
		}
	}
}

// Close takes the endpoint away. Requests that the stream has not acknowledged by now are answered 503.
func (in *input) Close(context.Context) error {
	in.closeOnce.Do(func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.unmount != nil {
			in.unmount()
		}
		close(in.closed)
	})
	return nil
}

// submit returns once the stream has acknowledged the rows (I1), or says why it did not. The client may
// leave meanwhile: what is in a batch is written all the same.
func (in *input) submit(r *request) error {
	patience := time.NewTimer(in.timeout)
	defer patience.Stop()
	select {
	case in.requests <- r:
	case <-in.closed:
		r.release()
		return errClosed
	case <-patience.C:
		r.release()
		return errBusy
	}
	select {
	case err := <-r.outcome:
		return err
	case <-patience.C:
		return errUnanswered
	case <-in.closed:
	}
	select {
	case err := <-r.outcome:
		return err
	default:
		return errClosed
	}
}
