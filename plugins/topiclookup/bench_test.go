package topiclookup

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// BenchmarkJoin is what a purchase costs to be joined with nothing that is known, and to be read with what it
// got, beside being read without.
func BenchmarkJoin(b *testing.B) {
	contracts := filepath.Join("..", "..", "pipelines", "contracts")
	conf, err := Spec().ParseYAML(fmt.Sprintf(`
seed_brokers: [localhost:1]
at: purchased_at
lookups:
  - {topic: products, contract: %q, on: product_id, add: {product_name: name, product_category: category, product_price: price}, known: product_known}
  - {topic: sellers, contract: %q, on: seller_id, add: {seller_name: name}, known: seller_known}
  - {topic: customers, contract: %q, on: customer_id, add: {customer_country: country, customer_segment: segment}, known: customer_known}
`, filepath.Join(contracts, "products.yaml"), filepath.Join(contracts, "sellers.yaml"), filepath.Join(contracts, "customers.yaml")), nil)
	if err != nil {
		b.Fatal(err)
	}
	made, err := fromParsed(conf, service.MockResources())
	if err != nil {
		b.Fatal(err)
	}
	p := made.(*processor)
	row := []byte(`{"id":"0198c2a4-1111-7000-8000-123456789012","product_id":"p-1234","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":12.55,"purchased_at":"2024-01-01T08:26:00.123456Z"}`)
	facts, err := contract.Load(filepath.Join(contracts, "purchase_product_facts.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	known := p.set.Read()
	defer known.Done()
	scan, into := p.scan.another(), &chunk{}
	joined := append([]byte{}, scan.join(known, into, row)...)
	b.Run("join", func(b *testing.B) {
		for range b.N {
			scan.join(known, into, row)
		}
	})
	for name, value := range map[string][]byte{"read": row, "read joined": joined} {
		b.Run(name, func(b *testing.B) {
			d := columns.NewDecoder(facts, columns.Valid, time.UTC)
			batch := columns.NewBatch(facts, 200_000)
			for i := range b.N {
				if batch.Len == 200_000 {
					batch.Reset()
				}
				if reasons, err := d.Append(batch, value, columns.Position{Topic: "purchases", Offset: int64(i), Timestamp: 1_800_000_000_000_000}, i); err != nil || len(reasons) > 0 {
					b.Fatal(reasons, err)
				}
			}
		})
	}
}
