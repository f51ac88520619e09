package load

import (
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

func newDecoder(t *testing.T, entity string) *columns.Decoder {
	t.Helper()
	c, err := contract.Load("../../pipelines/contracts/" + entity + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := columns.NewDecoder(c, columns.Valid, time.UTC)
	d.SetNow(testEnd)
	return d
}

// The truth of a load is only as good as its idea of a valid row: it must be the contract's.
func TestTheContractsAcceptExactlyWhatASourceCallsValid(t *testing.T) {
	for name, open := range map[string]func(*testing.T) Source{
		"generator": func(t *testing.T) Source {
			return newTestGenerator(t, 20_000, func(c *GeneratorConfig) { c.Bad = 0.2 })
		},
		"online retail": func(t *testing.T) Source {
			s, err := OpenOnlineRetail(onlineRetailDir(t))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			source := open(t)
			products, purchases := newDecoder(t, "products"), newDecoder(t, "purchases")
			for _, row := range source.Products() {
				if reasons := products.Decode(row); len(reasons) > 0 {
					t.Fatalf("product %s is refused: %v", row, reasons)
				}
			}
			rows, valid := drain(t, source)
			for i, row := range rows {
				if reasons := purchases.Decode(row); (len(reasons) == 0) != valid[i] {
					t.Fatalf("the source says valid=%v of %s, the contract says %v", valid[i], row, reasons)
				}
			}
		})
	}
}
