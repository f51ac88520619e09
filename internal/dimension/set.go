package dimension

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-faster/jx"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
)

// Set follows the topics of some lookups. Components of one process with the same lookups share one.
type Set struct {
	cfg    Config
	log    *service.Logger
	tables []*table
	// users is guarded by registry.mu.
	users int

	once     sync.Once
	startErr error
	client   *kgo.Client
	done     chan struct{}

	// mu guards the tables and what follows.
	mu sync.RWMutex
	// next is the offset that each partition has been read up to.
	next map[place]int64
	// advanced is closed, and replaced, whenever next moves.
	advanced chan struct{}
	watchers map[*Watch]struct{}
	closed   bool
}

type place struct {
	topic     string
	partition int32
}

// table is what is known by one lookup.
type table struct {
	lookup   *Lookup
	decoder  *columns.Decoder
	versions *versions
	// unknown holds the members of a key that is not known.
	unknown []byte
	// values and fragment are scratch.
	values   map[string][]byte
	fragment []byte
}

// registry has the sets of this process by what they read.
var registry = struct {
	mu   sync.Mutex
	sets map[string]*Set
}{sets: map[string]*Set{}}

// Open returns a set of the lookups of a config. Nothing is read before the first CatchUp.
func Open(cfg Config, log *service.Logger) *Set {
	registry.mu.Lock()
	defer registry.mu.Unlock()
	s := registry.sets[cfg.identity]
	if s == nil {
		s = newSet(cfg, log)
		registry.sets[cfg.identity] = s
	}
	s.users++
	return s
}

func newSet(cfg Config, log *service.Logger) *Set {
	s := &Set{
		cfg: cfg, log: log, done: make(chan struct{}),
		next: map[place]int64{}, advanced: make(chan struct{}), watchers: map[*Watch]struct{}{},
	}
	for i := range cfg.Lookups {
		l := &cfg.Lookups[i]
		s.tables = append(s.tables, &table{
			lookup: l, decoder: columns.NewDecoder(l.Contract, columns.Valid, cfg.Timezone), versions: newVersions(),
			unknown: l.render(nil, nil, false), values: map[string][]byte{},
		})
	}
	return s
}

func (s *Set) topics() (topics []string) {
	for i := range s.cfg.Lookups {
		topics = append(topics, s.cfg.Lookups[i].Topic)
	}
	return topics
}

// start connects at the first call.
func (s *Set) start() error {
	s.once.Do(func() {
		opts := []kgo.Opt{
			kgo.SeedBrokers(s.cfg.Brokers...), kgo.ConsumeTopics(s.topics()...),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(250 * time.Millisecond),
			// markers of transactions count towards the end of a partition
			kgo.KeepControlRecords(),
		}
		if s.cfg.TLS != nil {
			opts = append(opts, kgo.DialTLSConfig(s.cfg.TLS))
		}
		client, err := kgo.NewClient(opts...)
		if err != nil {
			s.startErr = fmt.Errorf("opening topics %v for lookups: %w", s.topics(), err)
			close(s.done)
			return
		}
		s.mu.Lock()
		s.client = client
		s.mu.Unlock()
		go s.follow()
	})
	return s.startErr
}

func (s *Set) follow() {
	defer close(s.done)
	for {
		fetches := s.client.PollFetches(context.Background())
		if fetches.IsClientClosed() {
			return
		}
		// franz-go retries what can be retried; lookups that need the topic meanwhile time out
		fetches.EachError(func(topic string, partition int32, err error) {
			s.log.Errorf("reading topic %q partition %d for lookups: %v", topic, partition, err)
		})
		s.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				s.apply(r)
			}
			s.next[place{r.Topic, r.Partition}] = r.Offset + 1
		})
		close(s.advanced)
		s.advanced = make(chan struct{})
		s.mu.Unlock()
	}
}

func (s *Set) apply(r *kgo.Record) {
	for i, t := range s.tables {
		if t.lookup.Topic == r.Topic && t.apply(r, s.cfg.Timezone) {
			for w := range s.watchers {
				w.note(i, r.Key)
			}
		}
	}
}

// apply takes one record in, and reports whether it makes its key known. What breaks the contract is no
// business of a lookup: RAW keeps it, with its reasons.
func (t *table) apply(r *kgo.Record, zone *time.Location) (arrived bool) {
	if len(r.Value) == 0 {
		t.versions.forget(r.Key)
		return false
	}
	if reasons := t.decoder.Decode(r.Value); len(reasons) > 0 {
		return false
	}
	deleted := t.decoder.Deleted()
	clear(t.values)
	d := jx.DecodeBytes(r.Value)
	err := d.Obj(func(d *jx.Decoder, member string) error {
		raw, err := d.Raw()
		t.values[member] = raw
		return err
	})
	if err != nil {
		return false
	}
	since := r.Timestamp.UnixMicro()
	if raw := t.values[sinceField]; len(raw) > 2 && raw[0] == '"' {
		if at, err := clock.Parse(raw[1:len(raw)-1], zone); err == nil {
			since = at
		}
	}
	if deleted {
		return t.versions.set(r.Key, since, nil)
	}
	t.fragment = t.lookup.render(t.fragment[:0], t.values, true)
	return t.versions.set(r.Key, since, t.fragment)
}

// catchUpLimit bounds how long a batch waits for a topic that cannot be read; the stream retries.
const catchUpLimit = 30 * time.Second

// CatchUp returns once everything that the topics hold now has been read: what was acknowledged before a
// row was sent is known when the row is joined.
func (s *Set) CatchUp(ctx context.Context) error {
	if err := s.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpLimit)
	defer cancel()
	admin := kadm.NewClient(s.client)
	ends, err := admin.ListEndOffsets(ctx, s.topics()...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking Kafka for the end of topics %v (do they exist, is the broker up?): %w", s.topics(), err)
	}
	for asked := false; ; {
		advanced, behind := s.behind(ends)
		if !behind {
			return nil
		}
		if !asked {
			if err := s.skipEmptied(ctx, admin, ends); err != nil {
				return err
			}
			asked = true
			continue
		}
		select {
		case <-advanced:
		case <-s.done:
			return errors.New("reading topics for lookups: the component is closed")
		case <-ctx.Done():
			return fmt.Errorf("reading topics %v up to their ends: %w", s.topics(), ctx.Err())
		}
	}
}

// behind says whether anything before the ends is unread, and what tells of progress.
func (s *Set) behind(ends kadm.ListedOffsets) (advanced chan struct{}, behind bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ends.Each(func(o kadm.ListedOffset) {
		behind = behind || s.next[place{o.Topic, o.Partition}] < o.Offset
	})
	return s.advanced, behind
}

// skipEmptied counts as read what retention has emptied.
func (s *Set) skipEmptied(ctx context.Context, admin *kadm.Client, ends kadm.ListedOffsets) error {
	starts, err := admin.ListStartOffsets(ctx, s.topics()...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("asking Kafka for the start of topics %v: %w", s.topics(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	ends.Each(func(end kadm.ListedOffset) {
		at := place{end.Topic, end.Partition}
		if start, _ := starts.Lookup(end.Topic, end.Partition); start.Offset == end.Offset && s.next[at] < end.Offset {
			s.next[at] = end.Offset
		}
	})
	return nil
}

// Reader looks keys up. It is valid until Done, and the set stands still meanwhile.
type Reader struct{ set *Set }

// Read begins to look keys up.
func (s *Set) Read() Reader {
	s.mu.RLock()
	return Reader{s}
}

// Done ends it.
func (r Reader) Done() { r.set.mu.RUnlock() }

// Members returns the members that a row gets by a lookup, as JSON text, from the key and the time of the row;
// known is false where the key was deleted then, or is not known.
func (r Reader) Members(lookup int, key []byte, at int64) (members []byte, known bool) {
	t := r.set.tables[lookup]
	if members, known = t.versions.at(key, at); !known {
		members = t.unknown
	}
	return members, known
}

// Has says whether anything was ever true of a key.
func (r Reader) Has(lookup int, key []byte) bool { return r.set.tables[lookup].versions.has(key) }

// Close lets go of the set. Its last user ends it.
func (s *Set) Close() {
	registry.mu.Lock()
	s.users--
	last := s.users == 0
	if last && registry.sets[s.cfg.identity] == s {
		delete(registry.sets, s.cfg.identity)
	}
	registry.mu.Unlock()
	if !last {
		return
	}
	// a set that was never started has nothing to wait for
	s.once.Do(func() {
		s.startErr = errors.New("looking up: the component is closed")
		close(s.done)
	})
	s.mu.Lock()
	client, closed := s.client, s.closed
	s.closed = true
	s.mu.Unlock()
	if client != nil && !closed {
		client.Close()
		<-s.done
	}
}
