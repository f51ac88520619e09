package jwthttp

import (
	"errors"
	"slices"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

func TestRequestsThatComeTogetherShareOneBlockWithRefusedRowsBehindIt(t *testing.T) {
	waiting := func(setAside string, values ...string) *request {
		r := &request{outcome: make(chan error, 1), release: func() {}}
		for _, v := range values {
			r.rows.accepted = append(r.rows.accepted, &kgo.Record{Value: []byte(v)})
		}
		if setAside != "" {
			r.rows.setAside = service.MessageBatch{service.NewMessage([]byte(setAside))}
		}
		return r
	}
	requests := []*request{waiting("r1", "1", "2"), waiting("r2"), waiting("", "3")}
	var g group
	for _, r := range requests {
		g.add(r)
	}
	batch := g.batch()
	var values []string
	for row, err := range record.Rows(batch) {
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, string(row.Value))
	}
	if g.rows != 5 || len(batch) != 3 || !slices.Equal(values, []string{"1", "2", "3", "r1", "r2"}) {
		t.Errorf("%d rows, %d messages, %q", g.rows, len(batch), values)
	}
	if first := requests[0].rows.accepted; len(first) != 2 {
		t.Error("a request's own rows are changed")
	}
	rejected := errors.New("rejected")
	g.settle(rejected)
	for _, r := range requests {
		if err := <-r.outcome; !errors.Is(err, rejected) {
			t.Errorf("a request is told %v", err)
		}
	}
}
