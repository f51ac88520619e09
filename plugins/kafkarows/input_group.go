package kafkarows

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// groupOptions make a client a member of the group whose rebalances the buffer follows.
func (i *input) groupOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.WithLogger(clientLog{i.log}),
		// a topic that is new, or new again, is seen within seconds
		kgo.MetadataMinAge(time.Second),
		kgo.AutoCommitMarks(), kgo.AutoCommitInterval(i.cfg.commitPeriod),
		// so that rows of a poll never come in behind the news that their partition is gone
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { i.rows.assigned(placesOf(m)) }),
		kgo.OnPartitionsRevoked(i.revoked),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { i.rows.dropped(placesOf(m)) }),
	}
}

func placesOf(m map[string][]int32) []place {
	var places []place
	for topic, partitions := range m {
		for _, partition := range partitions {
			places = append(places, place{topic, partition})
		}
	}
	return places
}

// revoked gives partitions away: with everything committed that the outputs acknowledge in time.
func (i *input) revoked(ctx context.Context, client *kgo.Client, m map[string][]int32) {
	places := placesOf(m)
	waiting, cancel := context.WithTimeout(ctx, givingAway)
	i.rows.leave(waiting, places)
	cancel()
	committing, cancel := context.WithTimeout(ctx, saying)
	defer cancel()
	if err := client.CommitMarkedOffsets(committing); err != nil {
		i.log.Warnf("Committing offsets of group %s before partitions are given away: %v; their next owner gets some rows once more", i.cfg.group, err)
	}
	i.rows.dropped(places)
}

// poll moves rows from the client into the buffer until ctx ends or there is a fault.
func (i *input) poll(ctx context.Context, client *kgo.Client) {
	said := complaints{}
	for i.rows.room(ctx) == nil {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			client.AllowRebalance()
			return
		}
		now, read := time.Now(), 0
		var fault error
		var outOfRange []place
		ids := topicIDs(fetches)
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			at := place{p.Topic, p.Partition}
			if errors.Is(p.Err, kerr.OffsetOutOfRange) {
				outOfRange = append(outOfRange, at)
			} else if p.Err != nil {
				fault = errors.Join(fault, i.refused(at, p.Err, said))
			}
			if len(p.Records) == 0 {
				return
			}
			read += len(p.Records)
			if expected, backwards := i.rows.add(at, ids[p.Topic], p.Records, now); backwards {
				fault = errors.Join(fault, i.lost(at, fmt.Errorf("offset %d came after %d", p.Records[0].Offset, expected-1)))
			}
		})
		client.AllowRebalance()
		i.read.Incr(int64(read))
		for _, at := range outOfRange {
			fault = errors.Join(fault, i.outOfRange(ctx, client, at))
		}
		if fault != nil {
			i.stopFor(fault)
			return
		}
		if read == 0 && fetches.Err() != nil {
			// franz-go goes on by itself; this keeps us from asking it too often how
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
}

// topicIDs are the ids of the topics that were fetched, by which sinks know one that was created anew.
func topicIDs(fetches kgo.Fetches) map[string][16]byte {
	ids := map[string][16]byte{}
	for i := range fetches {
		for _, topic := range fetches[i].Topics {
			if topic.TopicID != [16]byte{} {
				ids[topic.Topic] = topic.TopicID
			}
		}
	}
	return ids
}

// refused looks at an error of a partition, and returns one that reading must stop for.
func (i *input) refused(at place, err error, said complaints) error {
	var loss *kgo.ErrDataLoss
	switch {
	case errors.Is(err, kerr.UnknownTopicID), errors.As(err, &loss):
		return i.lost(at, err)
	case errors.Is(err, context.Canceled):
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		if said.anew(at.topic + err.Error()) {
			i.log.Warnf("Topic %s does not exist yet: waiting for it", at.topic)
		}
	case said.anew(err.Error()):
		i.log.Errorf("Reading topic %s, partition %d: %v", at.topic, at.partition, err)
	}
	return nil
}

// outOfRange decides what becomes of a partition whose next offset Kafka does not have. The client reads
// it no further until it is told where.
func (i *input) outOfRange(ctx context.Context, client *kgo.Client, at place) error {
	for {
		next, start, err := i.gap(ctx, client, at)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the stream ends, which is no fault of the partition
		case err != nil:
			i.log.Errorf("Topic %s, partition %d has not the offset that is to be read next, and why is not known yet: %v", at.topic, at.partition, err)
			select {
			case <-ctx.Done():
			case <-time.After(saying):
			}
			continue
		case next >= start:
			return i.lost(at, fmt.Errorf("offset %d is to be read next, and is not there", next))
		}
		i.log.Errorf("Topic %s, partition %d: %d rows, from offset %d to %d, were gone before group %s read them (is the topic's retention shorter than the stream was away?); reading on at offset %d",
			at.topic, at.partition, start-next, next, start-1, i.cfg.group, start)
		client.SetOffsets(map[string]map[int32]kgo.EpochOffset{at.topic: {at.partition: {Epoch: -1, Offset: start}}})
		return nil
	}
}

// gap returns the offset that is to be read next, and the first that Kafka has.
func (i *input) gap(ctx context.Context, client *kgo.Client, at place) (next, start int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, saying)
	defer cancel()
	admin := kadm.NewClient(client)
	if next = i.rows.position(at); next < 0 {
		committed, err := admin.FetchOffsetsForTopics(ctx, i.cfg.group, at.topic)
		if err != nil {
			return 0, 0, fmt.Errorf("asking Kafka what group %q has committed: %w", i.cfg.group, err)
		}
		offset, _ := committed.Lookup(at.topic, at.partition)
		next = offset.At
	}
	starts, err := admin.ListStartOffsets(ctx, at.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("asking Kafka where topic %q begins: %w", at.topic, err)
	}
	first, _ := starts.Lookup(at.topic, at.partition)
	return next, first.Offset, nil
}

// lost is the fault of a partition whose offsets no longer mean the rows that they meant. Reading on would
// give sinks other rows under offsets that they have seen, and skip those before.
func (i *input) lost(at place, cause error) error {
	return fmt.Errorf("reading topic %q, partition %d: it is not the one that group %q has read so far (%w); was it deleted and created again, or has Kafka lost its end? Set the group's offsets to where it shall go on, and restart the stream",
		at.topic, at.partition, i.cfg.group, cause)
}

// complaints keeps what goes on for long from being said all the time.
type complaints map[string]time.Time

const sayAgain = 30 * time.Second

func (c complaints) anew(what string) bool {
	now := time.Now()
	if now.Sub(c[what]) < sayAgain {
		return false
	}
	clear(c)
	c[what] = now
	return true
}

// lagRefresh is how often the lag is asked for.
const lagRefresh = 5 * time.Second

// watchLag keeps the gauge of what the group has not committed yet.
func (i *input) watchLag(ctx context.Context, client *kgo.Client) {
	admin := kadm.NewClient(client)
	for {
		asking, cancel := context.WithTimeout(ctx, lagRefresh)
		groups, err := admin.Lag(asking, i.cfg.group)
		cancel()
		if err == nil {
			for _, group := range groups {
				for _, lag := range group.Lag.Sorted() {
					i.lag.Set(max(lag.Lag, 0), lag.Topic, strconv.Itoa(int(lag.Partition)))
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lagRefresh):
		}
	}
}
