package references

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func TestNumbersAreKnownWhetherTheyLieCloseOrFarApart(t *testing.T) {
	for name, set := range map[string][]int64{
		"none":            nil,
		"one":             {7},
		"close":           {1, 2, 3, 5, 64, 65, 200},
		"negative":        {-3, -2, 0, 1},
		"far apart":       {1, 1 << 40, math.MaxInt64},
		"from end to end": {math.MinInt64, 0, math.MaxInt64},
	} {
		t.Run(name, func(t *testing.T) {
			var n numbers
			asked := []int64{math.MinInt64, math.MinInt64 + 1, -1, 0, 4, 63, 66, 1<<40 + 1, math.MaxInt64 - 1, math.MaxInt64}
			for _, v := range set {
				n.add(v)
				n.add(v)
				asked = append(asked, v-1, v, v+1)
			}
			n.seal()
			var unknown []int64
			n.eachUnknown(asked, func(i int) { unknown = append(unknown, asked[i]) })
			want := slices.DeleteFunc(slices.Clone(asked), func(v int64) bool { return slices.Contains(set, v) })
			if !slices.Equal(unknown, want) {
				t.Fatalf("unknown are %v, want %v", unknown, want)
			}
		})
	}
}

func TestFiveMillionNumbersTakeEightBytesEachAtMost(t *testing.T) {
	const count = 5_000_000
	for name, step := range map[string]int64{"dense": 1, "every fiftieth": 50, "far apart": 1_000_003} {
		t.Run(name, func(t *testing.T) {
			var n numbers
			for i := range int64(count) {
				n.add(i * step)
			}
			n.seal()
			// a slice that grew keeps some room
			if words := cap(n.bits) + cap(n.sorted); words > count+count/3 {
				t.Errorf("takes %d words", words)
			}
		})
	}
}

func TestKeysAreReadOnceForManyAndMissingOnesAnew(t *testing.T) {
	ctx := t.Context()
	s, err := store.Open(ctx, testservers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	insert := func(id string) {
		t.Helper()
		if _, err := s.Pool().Exec(ctx, `INSERT INTO products (id, name, category, price, stock) VALUES ($1, 'A', 'B', 1, 1)`, id); err != nil {
			t.Fatal(err)
		}
	}
	insert("first")
	d, field := NewDirectory(s), &contract.Field{Name: "product_id", Type: contract.String, References: "products"}
	before := time.Now()
	keys, err := d.Of(ctx, field)
	if err != nil || !keys.HasText([]byte("first")) || keys.HasText([]byte("second")) || !keys.ReadSince(before) {
		t.Fatalf("got %+v, %v", keys, err)
	}
	insert("second")
	again, err := d.Of(ctx, field)
	if err != nil || again != keys || again.ReadSince(time.Now()) {
		t.Fatalf("read again: %v", err)
	}
	known, err := Since(ctx, again, []string{"first", "second", "third", "a\x00b", "\xff"})
	if _, ok := known["second"]; err != nil || !ok || len(known) != 2 {
		t.Fatalf("got %v, %v", known, err)
	}
}
