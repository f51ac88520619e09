package jwthttp

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"golang.org/x/sync/semaphore"

	"github.com/shop-connect/shop-connect/api"
)

// MetaEntityID is the metadata that holds a good row's business key.
const MetaEntityID = "entity_id"

// coalescedRows is how many rows of waiting requests go into one batch at most: a stream costs the same
// for a batch whatever it holds, and requests that wait are what it can save on.
const coalescedRows = 1000

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
	memory   *semaphore.Weighted
	parsers  sync.Pool

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
	var first *request
	select {
	case first = <-in.requests:
	case <-in.closed:
		return nil, nil, service.ErrEndOfInput
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	batch, all := first.rows.messages, []*request{first}
	for len(batch) < coalescedRows {
		select {
		case next := <-in.requests:
			batch, all = append(batch, next.rows.messages...), append(all, next)
			continue
		default:
		}
		break
	}
	return batch, func(_ context.Context, err error) error {
		for _, r := range all {
			r.release()
			r.outcome <- err
		}
		return nil
	}, nil
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
