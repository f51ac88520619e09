package jwthttp

import (
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

// group is requests that share a batch.
type group struct {
	requests []*request
	rows     int
}

func (g *group) empty() bool { return len(g.requests) == 0 }

func (g *group) add(r *request) *group {
	g.requests = append(g.requests, r)
	g.rows += r.rows.count()
	return g
}

// batch has the good rows of all requests as one block, and each refused row behind it.
func (g *group) batch() service.MessageBatch {
	accepted, refused := 0, 0
	for _, r := range g.requests {
		accepted, refused = accepted+len(r.rows.accepted), refused+len(r.rows.setAside)
	}
	batch := make(service.MessageBatch, 0, 1+refused)
	if accepted > 0 {
		block := &record.Block{Records: g.requests[0].rows.accepted}
		if len(g.requests) > 1 {
			block.Records = make([]*kgo.Record, 0, accepted)
			for _, r := range g.requests {
				block.Records = append(block.Records, r.rows.accepted...)
			}
		}
		batch = append(batch, block.Message())
	}
	for _, r := range g.requests {
		batch = append(batch, r.rows.setAside...)
	}
	return batch
}

// settle tells every request what came of its rows.
func (g *group) settle(err error) {
	for _, r := range g.requests {
		r.release()
		r.outcome <- err
	}
}

// giveUp is for requests whose batch never left.
func (g *group) giveUp(err error) error {
	g.settle(err)
	return err
}
