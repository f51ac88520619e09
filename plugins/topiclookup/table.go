package topiclookup

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-faster/jx"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/columns"
)

type tlsConfig struct {
	config  *tls.Config
	enabled bool
}

// table holds, for each key of a topic, the members to add, as JSON text.
type table struct {
	cfg     config
	log     *service.Logger
	decoder *columns.Decoder
	// unknown holds the members of a key that the topic does not hold: nulls.
	unknown []byte

	once     sync.Once
	startErr error
	client   *kgo.Client
	done     chan struct{}

	mu        sync.Mutex
	fragments map[string][]byte
	// next is the offset that each partition has been read up to.
	next map[int32]int64
	// advanced is closed, and replaced, whenever next moves.
	advanced chan struct{}
	closed   bool
}

func newTable(cfg config, log *service.Logger) *table {
	return &table{
		cfg: cfg, log: log, decoder: columns.NewDecoder(cfg.contract, columns.Valid, time.UTC),
		unknown:   render(cfg.add, nil),
		fragments: map[string][]byte{}, next: map[int32]int64{}, advanced: make(chan struct{}), done: make(chan struct{}),
	}
}

// start connects at the first call and returns once everything that the topic held by then is read.
func (t *table) start(ctx context.Context) error {
	t.once.Do(func() {
		opts := []kgo.Opt{
			kgo.SeedBrokers(splitBrokers(t.cfg.brokers)...), kgo.ConsumeTopics(t.cfg.topic),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(250 * time.Millisecond),
			// markers of transactions count towards the end of a partition
			kgo.KeepControlRecords(),
		}
		if t.cfg.tls.enabled {
			opts = append(opts, kgo.DialTLSConfig(t.cfg.tls.config))
		}
		client, err := kgo.NewClient(opts...)
		if err != nil {
			t.startErr = fmt.Errorf("opening topic %q for lookups: %w", t.cfg.topic, err)
			close(t.done)
			return
		}
		t.mu.Lock()
		t.client = client
		t.mu.Unlock()
		go t.follow()
	})
	if t.startErr != nil {
		return t.startErr
	}
	t.mu.Lock()
	fresh := len(t.next) == 0
	t.mu.Unlock()
	if fresh {
		return t.catchUp(ctx)
	}
	return nil
}

func splitBrokers(items []string) []string {
	var brokers []string
	for _, item := range items {
		for broker := range strings.SplitSeq(item, ",") {
			if broker = strings.TrimSpace(broker); broker != "" {
				brokers = append(brokers, broker)
			}
		}
	}
	return brokers
}

func (t *table) follow() {
	defer close(t.done)
	for {
		fetches := t.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		// franz-go retries what can be retried; lookups that need the topic meanwhile time out
		fetches.EachError(func(topic string, partition int32, err error) {
			t.log.Errorf("reading topic %q partition %d for lookups: %v", topic, partition, err)
		})
		t.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				t.apply(r)
			}
			t.next[r.Partition] = r.Offset + 1
		})
		close(t.advanced)
		t.advanced = make(chan struct{})
		t.mu.Unlock()
	}
}

// apply takes one record into the table. What breaks the contract is no business of a lookup: RAW
// keeps it, with its reasons.
func (t *table) apply(r *kgo.Record) {
	key := string(r.Key)
	if len(r.Value) == 0 {
		delete(t.fragments, key)
		return
	}
	if reasons := t.decoder.Decode(r.Value); len(reasons) > 0 {
		return
	}
	if t.decoder.Deleted() {
		delete(t.fragments, key)
		return
	}
	t.fragments[key] = t.fragment(r.Value)
}

// fragment renders the members to add: "name":value,"name":value.
func (t *table) fragment(value []byte) []byte {
	values := make(map[string][]byte, len(t.cfg.add))
	d := jx.DecodeBytes(value)
	err := d.Obj(func(d *jx.Decoder, member string) error {
		raw, err := d.Raw()
		values[member] = raw
		return err
	})
	if err != nil {
		return []byte{}
	}
	return render(t.cfg.add, values)
}

// render writes the members to add, null where there is no value.
func render(additions []addition, values map[string][]byte) []byte {
	fragment := []byte{}
	for _, add := range additions {
		raw, found := values[add.from]
		if !found {
			raw = []byte("null")
		}
		if len(fragment) > 0 {
			fragment = append(fragment, ',')
		}
		name, _ := json.Marshal(add.name)
		fragment = append(append(append(fragment, name...), ':'), raw...)
	}
	return fragment
}

// lookup returns the members to add for each key, nil for a key that the topic does not hold.
func (t *table) lookup(ctx context.Context, keys []string) ([][]byte, error) {
	fragments := make([][]byte, len(keys))
	if t.find(keys, fragments) {
		return fragments, nil
	}
	// the record may have been acknowledged before this message and not have arrived here yet
	if err := t.catchUp(ctx); err != nil {
		return nil, err
	}
	t.find(keys, fragments)
	return fragments, nil
}

func (t *table) find(keys []string, fragments [][]byte) (all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all = true
	for i, key := range keys {
		if key == "" {
			continue
		}
		fragments[i] = t.fragments[key]
		all = all && fragments[i] != nil
	}
	return all
}

// catchUpLimit bounds how long a batch waits for a topic that cannot be read; the stream retries.
const catchUpLimit = 30 * time.Second

// catchUp returns once everything that the topic holds now has been read.
func (t *table) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpLimit)
	defer cancel()
	ends, err := t.ends(ctx)
	if err != nil {
		return err
	}
	for {
		t.mu.Lock()
		advanced, behind := t.advanced, false
		ends.Each(func(o kadm.ListedOffset) {
			behind = behind || t.next[o.Partition] < o.Offset
		})
		t.mu.Unlock()
		if !behind {
			return nil
		}
		select {
		case <-advanced:
		case <-t.done:
			return errors.New("reading topic for lookups: the processor is closed")
		case <-ctx.Done():
			return fmt.Errorf("reading topic %q up to its end: %w", t.cfg.topic, ctx.Err())
		}
	}
}

// ends asks for the end of each partition. What retention has emptied counts as read.
func (t *table) ends(ctx context.Context) (kadm.ListedOffsets, error) {
	admin := kadm.NewClient(t.client)
	starts, err := admin.ListStartOffsets(ctx, t.cfg.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking Kafka for the start of topic %q (does the topic exist, is the broker up?): %w", t.cfg.topic, err)
	}
	ends, err := admin.ListEndOffsets(ctx, t.cfg.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("asking Kafka for the end of topic %q: %w", t.cfg.topic, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ends.Each(func(end kadm.ListedOffset) {
		if start, _ := starts.Lookup(end.Topic, end.Partition); start.Offset == end.Offset && t.next[end.Partition] < end.Offset {
			t.next[end.Partition] = end.Offset
		}
		if _, known := t.next[end.Partition]; !known {
			t.next[end.Partition] = 0
		}
	})
	return ends, nil
}

func (t *table) close() {
	// a table that was never started has nothing to wait for
	t.once.Do(func() {
		t.startErr = errors.New("looking up: the processor is closed")
		close(t.done)
	})
	t.mu.Lock()
	client, closed := t.client, t.closed
	t.closed = true
	t.mu.Unlock()
	if client != nil && !closed {
		client.Close()
		<-t.done
	}
}
