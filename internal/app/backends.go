package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

const connectTimeout = 30 * time.Second

// backends are the servers that the API itself asks, as opposed to the streams behind it.
type backends struct {
	store *store.Store
	kafka *kgo.Client
	lake  *minio.Client
	shop  *api.Shop
}

// defaultContractsDir is where YAML looks too.
const defaultContractsDir = "pipelines/contracts"

// needed are the variables that say where the backends are.
var needed = []string{
	env.PostgresDSN, env.KafkaBrokers, env.ClickHouseDSN, env.S3Endpoint, env.S3Region, env.S3AccessKey, env.S3SecretKey,
}

func openBackends(vars map[string]string) (*backends, error) {
	if err := env.Require(vars, needed...); err != nil {
		return nil, err
	}
	shop, err := openShop(vars)
	if err != nil {
		return nil, err
	}
	lake, err := openObjects(vars)
	if err != nil {
		return nil, err
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(vars[env.KafkaBrokers], ",")...), kgo.RecordDeliveryTimeout(connectTimeout))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", env.KafkaBrokers, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	ledger, err := store.Open(ctx, vars[env.PostgresDSN])
	if err != nil {
		kafka.Close()
		return nil, err
	}
	if err := ledger.AdoptContracts(ctx, slices.Collect(maps.Values(shop.Contracts))...); err != nil {
		kafka.Close()
		ledger.Close()
		return nil, err
	}
	shop.Store = ledger
	return &backends{store: ledger, kafka: kafka, lake: lake, shop: shop}, nil
}

// openShop reads what is valid in this shop.
func openShop(vars map[string]string) (*api.Shop, error) {
	zone, zoneErr := time.LoadLocation(vars[env.ShopTimezone])
	if zoneErr != nil {
		zoneErr = fmt.Errorf("reading %s: %w; use a name such as Europe/Berlin", env.ShopTimezone, zoneErr)
	}
	contracts, err := contract.LoadDir(cmp.Or(vars[env.ContractsDir], defaultContractsDir))
	if err != nil {
		err = fmt.Errorf("reading %s: %w", env.ContractsDir, err)
	}
	warehouse, warehouseErr := analytics.Open(vars[env.ClickHouseDSN])
	if warehouseErr != nil {
		warehouseErr = fmt.Errorf("reading %s: %w", env.ClickHouseDSN, warehouseErr)
	}
	return &api.Shop{Contracts: contracts, Analytics: warehouse, Timezone: zone}, errors.Join(zoneErr, err, warehouseErr)
}

// serve adds to the API what comes from the backends.
func (b *backends) serve(config *api.Config, vars map[string]string) {
	config.Shop = b.shop
	config.Runs = &runs.Client{
		StreamsURL: runs.StreamsURL(vars), User: vars[env.StreamsUser], Password: vars[env.StreamsPassword],
		Dir: cmp.Or(vars[env.StreamsDir], runs.DefaultDir), Store: b.store,
	}
	config.Users = auth.NewLogins(b.store.User).Scopes
	config.Idempotency = b.store
	config.Quarantine = b.quarantine()
	config.Checks = map[string]api.Check{"database": b.store.Ping, "kafka": b.kafka.Ping}
	config.StreamChecks = map[string]api.Check{"clickhouse": b.shop.Analytics.Ping, "s3": pingObjects(b.lake)}
	config.Lag = lagOf(b.kafka, slices.Collect(maps.Keys(b.shop.Contracts)))
	config.Pending = pendingOf(b.store, b.kafka, slices.Collect(maps.Keys(b.shop.Contracts)))
}

func (b *backends) close() {
	_ = b.shop.Analytics.Close() // it only reads
	b.store.Close()
	b.kafka.Close()
}
