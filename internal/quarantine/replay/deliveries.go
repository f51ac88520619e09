package replay

import (
	"hash/maphash"

	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
)

// maxDeliveries bounds the memory of deliveries. Past it a copy is sent once more, under the same id.
const maxDeliveries = 1 << 20

// deliveries recognizes rows of the API edge that came to quarantine twice. Kafka records are recognized by
// their place; these have none, but a source and their bytes.
type deliveries struct {
	seed maphash.Seed
	seen map[uint64]struct{}
}

// again reports whether the row was there before.
func (d *deliveries) again(item *catalog.Item) bool {
	if item.Layer != quarantine.LayerAPI || item.Source == "" {
		return false
	}
	if d.seen == nil {
		d.seed, d.seen = maphash.MakeSeed(), map[uint64]struct{}{}
	}
	var hash maphash.Hash
	hash.SetSeed(d.seed)
	_, _ = hash.WriteString(item.Source)
	_ = hash.WriteByte(0)
	_, _ = hash.Write(item.Value)
	sum := hash.Sum64()
	if _, seen := d.seen[sum]; seen {
		return true
	}
	if len(d.seen) < maxDeliveries {
		d.seen[sum] = struct{}{}
	}
	return false
}
