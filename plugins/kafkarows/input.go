package kafkarows

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The metrics of the input. The gauge has the name that the redpanda input gave it, for dashboards that
// know it.
const (
	metricLag          = "redpanda_lag"
	metricRead         = "kafka_rows_read"
	metricAcknowledged = "kafka_rows_acknowledged"
)

// givingAway bounds how long a rebalance waits for rows that are on their way. What is not acknowledged by
// then, the next owner gets once more.
const givingAway = 5 * time.Second

// saying bounds how long the brokers are waited for where the member takes its leave.
const saying = 5 * time.Second

// refusedAgain is how long a fault that only somebody else can mend is left alone.
const refusedAgain = 30 * time.Second

type input struct {
	cfg     inputConfig
	log     *service.Logger
	lag     *service.MetricGauge
	read    *service.MetricCounter
	rows    *buffer
	traces  *follower // nil without a collector
	stopped chan struct{}
	stop    context.CancelFunc

	mu     sync.Mutex
	client *kgo.Client
	closed bool
	// fault is why reading has stopped for good.
	fault error
}

var _ service.BatchInput = (*input)(nil)

func newInput(cfg inputConfig, mgr *service.Resources) *input {
	acknowledged := mgr.Metrics().NewCounter(metricAcknowledged)
	i := &input{
		cfg: cfg, log: mgr.Logger(), stopped: make(chan struct{}), traces: newFollower(mgr.OtelTracer(), cfg.group),
		lag: mgr.Metrics().NewGauge(metricLag, "topic", "partition"), read: mgr.Metrics().NewCounter(metricRead),
	}
	i.rows = newBuffer(cfg.limits, i.mark, func(rows int) { acknowledged.Incr(int64(rows)) })
	return i
}

// Connect joins the group, once the brokers have answered.
func (i *input) Connect(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.fault != nil:
		return service.NewErrBackOff(i.fault, refusedAgain)
	case i.closed:
		return service.ErrEndOfInput
	case i.client != nil:
		return nil
	}
	client, err := kgo.NewClient(append(i.cfg.client, i.groupOptions()...)...)
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	if err := client.Ping(ctx); err != nil {
		client.CloseAllowingRebalance()
		err = fmt.Errorf("reaching Kafka: %w", err)
		if !kgo.IsRetryableBrokerErr(err) && ctx.Err() == nil {
			// such as a password that is refused: more attempts would lock the user out
			return service.NewErrBackOff(err, refusedAgain)
		}
		return err
	}
	i.client = client
	polling, stop := context.WithCancel(context.Background())
	i.stop = stop
	go func() {
		defer close(i.stopped)
		watched := make(chan struct{})
		go func() { defer close(watched); i.watchLag(polling, client) }()
		i.poll(polling, client)
		stop()
		<-watched
	}()
	return nil
}

// mark is called under the lock of the buffer, never that of the input: a client that is closing waits
// for it.
func (i *input) mark(last *kgo.Record) { i.client.MarkCommitRecords(last) }

// ReadBatch returns rows of partitions that have none on their way.
func (i *input) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	i.mu.Lock()
	ready := i.client != nil && i.fault == nil && !i.closed
	i.mu.Unlock()
	if !ready {
		return nil, nil, service.ErrNotConnected
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-i.stopped: // by a fault
			cancel()
		case <-ctx.Done():
		}
	}()
	shares, err := i.rows.take(ctx)
	if err != nil {
		select {
		case <-i.stopped:
			return nil, nil, service.ErrNotConnected
		default:
			return nil, nil, err
		}
	}
	end := i.traces.begin(shares)
	return batchOf(shares), func(_ context.Context, err error) error {
		end(err)
		// the error is nil: AutoRetryNacks sends the batch again until it is
		i.rows.done(shares)
		return nil
	}, nil
}

// stopFor ends reading for a reason that reading on would make worse.
func (i *input) stopFor(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = err
}

// Close commits what is acknowledged and leaves the group, so that others go on at once.
func (i *input) Close(ctx context.Context) error {
	i.mu.Lock()
	client, closed := i.client, i.closed
	i.closed = true
	i.mu.Unlock()
	if client == nil || closed {
		return nil
	}
	i.stop()
	<-i.stopped
	client.AllowRebalance()
	// The group's callbacks wait for rows on their way and commit; only then is the leave said, and without it
	// the next member waits for the session to end. A broker that is away must not keep the process from ending.
	ctx, cancel := context.WithTimeout(ctx, givingAway+saying)
	defer cancel()
	err := client.LeaveGroupContext(ctx)
	gone := make(chan struct{})
	go func() { defer close(gone); client.CloseAllowingRebalance() }()
	select {
	case <-gone:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("leaving consumer group %q: %w; its other members get the partitions once %s is over", i.cfg.group, err, fieldSession)
	}
	return nil
}
