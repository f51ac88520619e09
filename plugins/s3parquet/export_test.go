package s3parquet

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"
)

// Component is what all components have in common.
type Component interface {
	Connect(context.Context) error
	Close(context.Context) error
}

// Construct makes a bare component, which nothing connects.
func Construct(name string, conf *service.ParsedConfig) (component Component, err error) {
	switch name {
	case "s3_parquet output":
		component, _, _, err = newOutput(conf, nil)
	case "s3_quarantine":
		component, _, _, err = newQuarantine(conf, nil)
	case "raw_pending":
		component, err = newPending(conf, service.MockResources())
	default:
		component, err = newInput(conf, nil)
	}
	return component, err
}
