package erasure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/progress"
)

const (
	topicCustomers = "customers"

	groupSuffix     = "-raw"
	groupQuarantine = "rejected-quarantine"

	// readTimeout is how long a topic may give nothing while it is read up to its end.
	readTimeout = 30 * time.Second
	// cleanTimeout is how long a broker that cleans at once may take; others take what their settings say.
	cleanTimeout = 15 * time.Second
)

// refusedTopics hold refused rows on their way to quarantine: those of customers, and of what refers to them.
var refusedTopics = []string{"customers.rejected", "purchases.rejected"}

// kafka is the cluster.
type kafka struct {
	options []kgo.Opt
	client  *kgo.Client
	admin   *kadm.Client
}

func openKafka(cfg *config) (*kafka, error) {
	k := &kafka{options: []kgo.Opt{kgo.SeedBrokers(cfg.brokers...)}}
	if cfg.tls != nil {
		k.options = append(k.options, kgo.DialTLSConfig(cfg.tls))
	}
	client, err := kgo.NewClient(append(k.options, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(readTimeout))...)
	if err != nil {
		return nil, fmt.Errorf("making a Kafka client: %w", err)
	}
	k.client, k.admin = client, kadm.NewClient(client)
	return k, nil
}

func (k *kafka) close() { k.client.Close() }

// ends are the offsets behind the last record of each partition.
type ends map[int32]int64

func (k *kafka) ends(ctx context.Context, topic string) (ends, error) {
	listed, err := k.admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = listed.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return ends{}, nil // a topic that does not exist holds nobody
	}
	if err != nil {
		return nil, fmt.Errorf("asking Kafka for the end of topic %q: %w", topic, err)
	}
	found := ends{}
	listed.Each(func(o kadm.ListedOffset) { found[o.Partition] = o.Offset })
	return found, nil
}

// behind returns by how many records a consumer group has not committed up to some offsets.
func (k *kafka) behind(ctx context.Context, group, topic string, up ends) (records int64, err error) {
	if len(up) == 0 {
		return 0, nil
	}
	starts, err := k.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("asking Kafka for the start of topic %q: %w", topic, err)
	}
	committed, err := k.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return 0, fmt.Errorf("reading the offsets of consumer group %q: %w", group, err)
	}
	for partition, end := range up {
		start, _ := starts.Lookup(topic, partition)
		from := start.Offset
		if o, ok := committed.Lookup(topic, partition); ok {
			from = max(from, o.At)
		}
		records += max(0, end-from)
	}
	return records, nil
}

// each reads a topic from its start to some offsets.
func (k *kafka) each(ctx context.Context, topic string, up ends, do func(r *kgo.Record)) error {
	if len(up) == 0 {
		return nil
	}
	starts, err := k.admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("asking Kafka for the start of topic %q: %w", topic, err)
	}
	from := map[int32]kgo.Offset{}
	left := map[int32]bool{}
	for partition, end := range up {
		start, _ := starts.Lookup(topic, partition)
		if start.Offset < end {
			from[partition], left[partition] = kgo.NewOffset().At(start.Offset), true
		}
	}
	if len(left) == 0 {
		return nil
	}
	// what compaction has left has gaps, also at the end: a partition is through once the broker has given
	// something at or behind the end, or has nothing before it
	client, err := kgo.NewClient(append(k.options, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.KeepControlRecords(), kgo.FetchMaxWait(250*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("making a Kafka client: %w", err)
	}
	defer client.Close()
	last := time.Now()
	for len(left) > 0 {
		polling, cancel := context.WithTimeout(ctx, time.Second)
		fetches := client.PollFetches(polling)
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
		var fault error
		fetches.EachError(func(_ string, partition int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				fault = fmt.Errorf("reading topic %q partition %d: %w", topic, partition, err)
			}
		})
		if fault != nil {
			return fault
		}
		fetches.EachRecord(func(r *kgo.Record) {
			last = time.Now()
			if r.Offset < up[r.Partition] && !r.Attrs.IsControl() {
				do(r)
			}
			if r.Offset >= up[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
		if time.Since(last) > readTimeout {
			return fmt.Errorf("reading topic %q: nothing came for %s, and %d partitions are not read to their ends", topic, readTimeout, len(left))
		}
	}
	return nil
}

// learnFromKafka reads what the person's records say: former addresses, by which broken rows are recognised.
func (e *erasure) learnFromKafka(ctx context.Context) error {
	up, err := e.kafka.ends(ctx, topicCustomers)
	if err != nil {
		return err
	}
	return e.kafka.each(ctx, topicCustomers, up, func(r *kgo.Record) { e.person.rewrite(entityCustomers, r.Value) })
}

// referring are the entities whose rows say of which customer they are, with customers themselves.
func (e *erasure) referring() (entities []string) {
	for _, entity := range slices.Sorted(maps.Keys(e.cfg.contracts)) {
		if slices.Contains(e.person.fields[entity], columnCustomer) && entity != joinedEntity {
			entities = append(entities, entity)
		}
	}
	return entities
}

// joinedEntity has a contract and neither a topic nor objects: its rows are made on the way to Iceberg.
const joinedEntity = "purchase_product_facts"

// awaitStreams returns once RAW has every record that is in the topics by now, and quarantine every refused
// one: what comes later comes behind the deletion, and RAW does not keep it.
func (e *erasure) awaitStreams(ctx context.Context) error {
	for _, entity := range e.referring() {
		if err := e.awaitGroup(ctx, entity+groupSuffix, entity); err != nil {
			return err
		}
	}
	for _, topic := range refusedTopics {
		last, err := e.kafka.last(ctx, topic)
		if err == nil {
			err = e.awaitCommits(ctx, groupQuarantine, topic, last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// last are the offsets behind the last record of each partition, besides marks of transactions, which nobody
// commits.
func (k *kafka) last(ctx context.Context, topic string) (ends, error) {
	up, err := k.ends(ctx, topic)
	if err != nil {
		return nil, err
	}
	found := ends{}
	return found, k.each(ctx, topic, up, func(r *kgo.Record) { found[r.Partition] = r.Offset + 1 })
}

func (e *erasure) awaitGroup(ctx context.Context, group, topic string) error {
	up, err := e.kafka.ends(ctx, topic)
	if err != nil {
		return err
	}
	return e.awaitCommits(ctx, group, topic, up)
}

func (e *erasure) awaitCommits(ctx context.Context, group, topic string, up ends) error {
	return e.await(ctx, func(ctx context.Context) (string, error) {
		behind, err := e.kafka.behind(ctx, group, topic, up)
		if behind == 0 || err != nil {
			return "", err
		}
		return fmt.Sprintf("%s records of topic %s are not committed by consumer group %s; is its stream at work?", progress.Thousands(behind), topic, group), nil
	})
}

// named is a key of a partition.
type named struct {
	partition int32
	key       string
}

// eraseFromKafka puts tombstones behind the person's records, so that compaction removes them, and removes
// refused rows that quarantine has.
func (e *erasure) eraseFromKafka(ctx context.Context) error {
	records, keys, err := e.findRecords(ctx)
	if err != nil {
		return err
	}
	e.report.Layers[layerKafka].Rows = records
	if err := e.bury(ctx, keys); err != nil {
		return err
	}
	if err := e.removeRefused(ctx); err != nil {
		return err
	}
	return e.awaitCleaning(ctx, records)
}

// findRecords returns how many records of the topic hold something of the person, and the keys that do not end
// in a tombstone yet.
func (e *erasure) findRecords(ctx context.Context) (records int64, keys []named, err error) {
	up, err := e.kafka.ends(ctx, topicCustomers)
	if err != nil {
		return 0, nil, err
	}
	own, ended := strconv.FormatInt(e.person.id, 10), map[named]bool{}
	err = e.kafka.each(ctx, topicCustomers, up, func(r *kgo.Record) {
		at := named{r.Partition, string(r.Key)}
		_, changed := e.person.rewrite(entityCustomers, r.Value)
		if changed = changed || e.person.hasClue(r.Key); changed {
			records++
		}
		_, known := ended[at]
		if r.Key != nil && (changed || known || at.key == own) {
			ended[at] = len(r.Value) == 0
		}
	})
	for at, over := range ended {
		if !over {
			keys = append(keys, at)
		}
	}
	slices.SortFunc(keys, func(a, b named) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return records, keys, err
}

// bury writes two tombstones for each key, each in a batch of its own: the latest batch of a partition is one
// that no broker cleans. So behind a key that names the person there is one that does not.
func (e *erasure) bury(ctx context.Context, keys []named) error {
	own := strconv.FormatInt(e.person.id, 10)
	for _, at := range keys {
		if at.key != own {
			keys = append(keys, named{at.partition, own})
		}
	}
	for range 2 {
		for _, at := range keys {
			r := &kgo.Record{Topic: topicCustomers, Partition: at.partition, Key: []byte(at.key)}
			if err := e.kafka.client.ProduceSync(ctx, r).FirstErr(); err != nil {
				return fmt.Errorf("writing a tombstone to topic %q: %w", topicCustomers, err)
			}
		}
	}
	return nil
}

// removeRefused removes records of refused rows where a row of the person is among them. They were on their way
// to quarantine, and are there.
func (e *erasure) removeRefused(ctx context.Context) error {
	for _, topic := range refusedTopics {
		entity, _, _ := strings.Cut(topic, ".")
		up, err := e.kafka.ends(ctx, topic)
		if err != nil {
			return err
		}
		found, last := ends{}, ends{}
		err = e.kafka.each(ctx, topic, up, func(r *kgo.Record) {
			last[r.Partition] = r.Offset + 1
			_, changed := e.person.rewrite(entity, r.Value)
			for _, h := range r.Headers {
				changed = changed || e.person.hasClue(h.Value)
			}
			if changed || e.person.hasClue(r.Key) {
				found[r.Partition] = up[r.Partition]
				e.report.Layers[layerKafka].Rows++
			}
		})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		if err := e.awaitCommits(ctx, groupQuarantine, topic, last); err != nil {
			return err
		}
		if err := e.kafka.roll(ctx, topic, found); err != nil {
			// such as a cluster that grants no transactions
			e.report.remain(layerKafka, "segments of topic "+topic+" whose records are removed and can be read by no client ("+err.Error()+")",
				"all of their records are removed: "+segmentTime+" of the topic after they were begun")
		}
		remove := kadm.Offsets{}
		for partition, end := range found {
			remove.Add(kadm.Offset{Topic: topic, Partition: partition, At: end, LeaderEpoch: -1})
		}
		answers, err := e.kafka.admin.DeleteRecords(ctx, remove)
		if err == nil {
			err = answers.Error()
		}
		if err != nil {
			return fmt.Errorf("removing records of topic %q, which quarantine has: %w", topic, err)
		}
	}
	return nil
}

// awaitCleaning makes a broker clean that does so when it is touched, and sees whether it has.
func (e *erasure) awaitCleaning(ctx context.Context, records int64) (err error) {
	if records == 0 {
		return nil
	}
	settings, err := e.kafka.settings(ctx, topicCustomers)
	if err != nil {
		return err
	}
	// Tombstones go at once that are behind keys which name the person. The embedded broker cleans whenever this is
	// set; others do by the time that they are due.
	if err := e.kafka.set(ctx, topicCustomers, deleteRetention, "0"); err != nil {
		return err
	}
	left := records
	for deadline := time.Now().Add(cleanTimeout); left > 0 && err == nil && time.Now().Before(deadline); {
		if left, _, err = e.findRecords(ctx); err == nil && left > 0 {
			err = e.pause(ctx)
		}
	}
	if restored := e.kafka.restore(context.WithoutCancel(ctx), topicCustomers, settings[deleteRetention]); err == nil {
		err = restored
	}
	if left > 0 {
		e.report.remain(layerKafka, fmt.Sprintf("%d records of topic %s, which a tombstone is behind, and tombstones", left, topicCustomers), compactionEnd(settings[maxLag], time.Now()))
	}
	return err
}

const (
	deleteRetention = "delete.retention.ms"
	maxLag          = "max.compaction.lag.ms"
)

// compactionEnd is when a broker has compacted what is in a topic.
func compactionEnd(setting kadm.Config, now time.Time) string {
	lag, err := strconv.ParseInt(setting.MaybeValue(), 10, 64)
	if err != nil || lag > int64(10*365*24*time.Hour/time.Millisecond) {
		return "the broker compacts them; set " + maxLag + " of the topic to bound that"
	}
	at := now.Add(time.Duration(lag) * time.Millisecond).UTC()
	return "the broker compacts them: from " + at.Format(time.RFC3339) + " on, with the next event of their partitions (" + maxLag + ")"
}
