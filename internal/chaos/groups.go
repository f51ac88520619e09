package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// describeGroups says how far each consumer group is: the first question where a layer lags behind.
func describeGroups(ctx context.Context, brokers string) []string {
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		return []string{err.Error()}
	}
	defer client.Close()
	lags, err := kadm.NewClient(client).Lag(ctx)
	if err != nil {
		return []string{fmt.Sprintf("asking Kafka for its consumer groups: %v", err)}
	}
	var lines []string
	for _, group := range lags.Sorted() {
		var line strings.Builder
		fmt.Fprintf(&line, "group %s: %s, %d members, lag %d", group.Group, group.State, len(group.Members), group.Lag.Total())
		for _, l := range group.Lag.Sorted() {
			switch {
			case l.Err != nil:
				fmt.Fprintf(&line, "; %s-%d: %v", l.Topic, l.Partition, l.Err)
			case l.Lag > 0 && l.Member == nil:
				fmt.Fprintf(&line, "; %s-%d lags by %d and nobody has it", l.Topic, l.Partition, l.Lag)
			case l.Lag > 0:
				fmt.Fprintf(&line, "; %s-%d lags by %d at member %s", l.Topic, l.Partition, l.Lag, l.Member.MemberID)
			}
		}
		lines = append(lines, line.String())
	}
	slices.Sort(lines)
	return lines
}
