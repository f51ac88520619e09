package app

import (
	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/quarantine/replay"
)

// quarantine is what the API shows and brings back of refused rows.
func (b *backends) quarantine() *api.Quarantine {
	known := &catalog.Catalog{Store: b.store, Objects: b.lake, Bucket: catalog.Bucket}
	return &api.Quarantine{Store: b.store, Catalog: known, Engine: &replay.Engine{
		Catalog: known, Store: b.store, Kafka: b.kafka, Contracts: b.shop.Contracts, Timezone: b.shop.Timezone, RawBucket: rawBucket,
	}}
}
