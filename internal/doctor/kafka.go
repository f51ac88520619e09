package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
)

const (
	dialTimeout = 3 * time.Second
	// farBehind is the lag from which on a group is said to be behind, as the alert ShopStreamBehind has it.
	farBehind = 100_000

	provisionDoes = "run `shop-connect provision`, which is safe to repeat"
	grantTopics   = "grant the user READ, WRITE and DESCRIBE on the shop's topics (kafka-acls --add)"
)

func (e *examination) kafka() server {
	s := server{name: "Kafka", address: e.Vars[env.KafkaBrokers], needs: []string{env.KafkaBrokers}}
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(e.Vars[env.KafkaBrokers], ",")...), kgo.DialTimeout(dialTimeout), kgo.RequestRetries(1))
	if err != nil {
		s.reach = check{"reach", func(context.Context) []Finding {
			return []Finding{fault("write host:port, several with commas", "reading %s: %v", env.KafkaBrokers, err)}
		}}
		return s
	}
	e.onClose(client.Close)
	admin := kadm.NewClient(client)
	s.reach = check{"reach", func(ctx context.Context) []Finding { return reachKafka(ctx, admin) }}
	s.checks = []check{
		{"topics", func(ctx context.Context) []Finding { return checkTopics(ctx, admin) }},
		{"groups", func(ctx context.Context) []Finding { return e.checkGroups(ctx, admin) }},
	}
	return s
}

func reachKafka(ctx context.Context, admin *kadm.Client) []Finding {
	brokers, err := admin.ApiVersions(ctx)
	if err != nil {
		return []Finding{fault("start the brokers, or correct "+env.KafkaBrokers+"; what is written meanwhile waits in PostgreSQL, and the API answers 503 to the rest", "%v", err)}
	}
	var away []string
	for _, broker := range brokers.Sorted() {
		if broker.Err != nil {
			away = append(away, fmt.Sprintf("%d (%v)", broker.NodeID, broker.Err))
		}
	}
	if len(away) > 0 {
		return []Finding{warning("bring them back; see whether their advertised.listeners can be reached from here", "%d of %d brokers do not answer: %s", len(away), len(brokers), strings.Join(away, ", "))}
	}
	return []Finding{fine("%d of %d brokers answer", len(brokers), len(brokers))}
}

func checkTopics(ctx context.Context, admin *kadm.Client) (found []Finding) {
	wanted := provision.Topics()
	names := make([]string, len(wanted))
	for i, topic := range wanted {
		names[i] = topic.Name
	}
	details, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
	if err != nil {
		return []Finding{fault(grantTopics, "listing topics: %v", err)}
	}
	for _, topic := range wanted {
		found = append(found, checkTopic(topic, details[topic.Name], details.Has(topic.Name))...)
	}
	found = append(found, checkTopicSettings(ctx, admin, wanted, details)...)
	if len(found) == 0 {
		found = append(found, fine("%d are there, with their partitions, settings and rights", len(wanted)))
	}
	return found
}

func checkTopic(wanted provision.Topic, have kadm.TopicDetail, there bool) (found []Finding) {
	if !there || errors.Is(have.Err, kerr.UnknownTopicOrPartition) {
		return []Finding{fault(provisionDoes, "topic %s is missing", wanted.Name)}
	}
	if errors.Is(have.Err, kerr.TopicAuthorizationFailed) {
		return []Finding{fault(grantTopics, "topic %s may not be seen", wanted.Name)}
	}
	if have.Err != nil {
		return []Finding{fault("see the logs of the brokers", "topic %s: %v", wanted.Name, have.Err)}
	}
	if n := int32(len(have.Partitions)); n < wanted.Partitions {
		found = append(found, warning("so many replicas share its work at most. Do not add partitions while records are in it, since a key must stay in its own: stop what writes, wait until the lag is 0, delete the topic, and run `shop-connect provision`",
			"topic %s has %d partitions, not %d", wanted.Name, n, wanted.Partitions))
	}
	var headless, behind int
	for _, partition := range have.Partitions {
		if partition.Leader < 0 {
			headless++
		}
		if len(partition.ISR) < len(partition.Replicas) {
			behind++
		}
	}
	if headless > 0 {
		found = append(found, fault("bring back the brokers that hold them", "topic %s has %d partitions without a leader: nothing is written to them", wanted.Name, headless))
	}
	if behind > 0 {
		found = append(found, warning("see which broker is away or slow", "topic %s has %d partitions with fewer replicas than it should", wanted.Name, behind))
	}
	if missing := missingOperations(have.AuthorizedOperations); len(missing) > 0 {
		found = append(found, fault(grantTopics, "topic %s: no right to %s", wanted.Name, strings.Join(missing, ", ")))
	}
	return found
}

// missingOperations is empty where the broker does not tell.
func missingOperations(have []kadm.ACLOperation) (missing []string) {
	if len(have) == 0 {
		return nil
	}
	for _, operation := range []kadm.ACLOperation{kadm.OpRead, kadm.OpWrite, kadm.OpDescribe} {
		if !slices.Contains(have, operation) && !slices.Contains(have, kadm.OpAll) {
			missing = append(missing, operation.String())
		}
	}
	return missing
}

const cleanupPolicy = "cleanup.policy"

func checkTopicSettings(ctx context.Context, admin *kadm.Client, wanted []provision.Topic, details kadm.TopicDetails) (found []Finding) {
	var names []string
	for _, topic := range wanted {
		if details.Has(topic.Name) && details[topic.Name].Err == nil {
			names = append(names, topic.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	described, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return []Finding{warning("grant the user DESCRIBE_CONFIGS on the shop's topics", "the settings of topics are not told: %v", err)}
	}
	for _, topic := range wanted {
		resource, err := described.On(topic.Name, nil)
		if err != nil || resource.Err != nil {
			continue // missing, and said so; or not to be told
		}
		have := map[string]string{}
		for _, config := range resource.Configs {
			have[config.Key] = config.MaybeValue()
		}
		for _, key := range slices.Sorted(maps.Keys(topic.Config)) {
			if have[key] != topic.Config[key] {
				found = append(found, fault(provisionDoes+" and sets it", "topic %s has %s %q, not %q", topic.Name, key, have[key], topic.Config[key]))
			}
		}
		if _, set := topic.Config[cleanupPolicy]; !set && strings.Contains(have[cleanupPolicy], "compact") {
			found = append(found, fault("kafka-configs --alter --entity-type topics --entity-name "+topic.Name+" --add-config cleanup.policy=delete",
				"topic %s is compacted: events are lost that no stream has read yet", topic.Name))
		}
	}
	return found
}

var consumerGroup = regexp.MustCompile(`(?m)^\s*consumer_group:\s*["']?([\w.-]+)["']?\s*$`)

// streamGroups are the consumer groups that the pipelines name.
func streamGroups(dir string) (groups []string) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*.yaml")) // only a bad pattern is an error
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || strings.HasSuffix(path, "_benthos_test.yaml") {
			continue
		}
		for _, match := range consumerGroup.FindAllStringSubmatch(string(text), -1) {
			groups = append(groups, match[1])
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

func (e *examination) checkGroups(ctx context.Context, admin *kadm.Client) (found []Finding) {
	dir := filepath.Dir(e.contractsDir())
	groups := streamGroups(dir)
	if len(groups) == 0 {
		return []Finding{warning("start in the project's folder, or let "+env.ContractsDir+" name the folder contracts beside the pipelines", "no pipeline in %s names a consumer group", dir)}
	}
	lags, err := admin.Lag(ctx, slices.Clone(groups)...)
	if err != nil {
		return []Finding{fault("grant the user DESCRIBE and READ on the groups", "asking for the lag of consumer groups: %v", err)}
	}
	most, of := int64(0), groups[0]
	for _, name := range groups {
		group, lag := lags[name], int64(0)
		for _, topic := range group.Lag.TotalByTopic().Sorted() {
			lag += topic.Lag
		}
		if lag > most {
			most, of = lag, name
		}
		found = append(found, groupFinding(name, group, lag)...)
	}
	if len(found) == 0 {
		found = append(found, fine("%d are read, %s is behind most: %d records", len(groups), of, most))
	}
	return found
}

func groupFinding(name string, group kadm.DescribedGroupLag, lag int64) []Finding {
	err := group.Error()
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return []Finding{fault("grant the user DESCRIBE and READ on the group", "group %s may not be seen", name)}
	case errors.Is(err, kerr.GroupIDNotFound), err == nil && (group.State == "Dead" || group.State == ""):
		return []Finding{warning("start the streams: `shop-connect streams …`, or see in the log of a running replica why this one does not run", "group %s is not there: its stream has never run", name)}
	case err != nil:
		return []Finding{fault("see the logs of the brokers", "group %s: %v", name, err)}
	case len(group.Members) == 0:
		return []Finding{warning("start the streams: `shop-connect streams …`, or see in the log of a running replica why this one does not run", "nobody reads for group %s, %d records wait", name, lag)}
	case lag > farBehind:
		return []Finding{warning("docs/runbook.md, ShopStreamBehind: more replicas, or a slow output", "group %s is %d records behind, state %s", name, lag, group.State)}
	}
	return nil
}
