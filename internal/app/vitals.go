package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/vitals"
)

// followVitals keeps the vital signs of the shop among the metrics until the context ends.
func (b *backends) followVitals(ctx context.Context, config *api.Config, metrics *service.Metrics) {
	checks := map[string]func(context.Context) error{}
	for _, some := range []map[string]api.Check{config.Checks, config.StreamChecks} {
		maps.Copy(checks, some)
	}
	lag := lagOf(b.kafka, slices.Collect(maps.Keys(b.shop.Contracts)))
	sources := append(vitals.FromLedger(ledger{b.store, config.Quarantine.Catalog}),
		vitals.FromChecks(checks),
		vitals.FromLag(func(ctx context.Context) (lags []vitals.Lag, err error) {
			found, err := lag(ctx)
			for _, l := range found {
				lags = append(lags, vitals.Lag{Group: l.Group, Topic: l.Topic, Records: l.Lag})
			}
			return lags, err
		}),
		vitals.FromStatistics(b.shop.Analytics.StatisticsDue))
	go vitals.New(metrics, sources...).Run(ctx)
}

// quarantineAge is how old what is known of the quarantine bucket may be.
const quarantineAge = time.Minute

// ledger is PostgreSQL, which knows of the quarantine what has been looked at in its bucket.
type ledger struct {
	*store.Store
	quarantine *catalog.Catalog
}

func (l ledger) QuarantineOpen(ctx context.Context) ([]store.OpenQuarantine, error) {
	if err := l.quarantine.RefreshWithin(ctx, quarantineAge); err != nil {
		return nil, err
	}
	return l.Store.QuarantineOpen(ctx)
}
