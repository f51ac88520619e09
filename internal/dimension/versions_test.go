package dimension

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// event is one call of versions.set, as the model keeps it.
type event struct {
	since    int64
	fragment string // empty for a deletion
}

// modelAt is what versions.at says, by the plain rule.
func modelAt(events []event, when int64) string {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b event) int { return int(a.since - b.since) })
	for len(sorted) > 0 && sorted[0].fragment == "" {
		sorted = sorted[1:]
	}
	if len(sorted) == 0 {
		return ""
	}
	found := sorted[0].fragment
	for _, e := range sorted {
		if e.since <= when {
			found = e.fragment
		}
	}
	return found
}

func TestVersionsSayWhatTheirHistoryDoes(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		v, model := newVersions(), map[string][]event{}
		clock := int64(0) // a key's versions come in the order of their times
		keys := []string{"7", "07", "p-7", "0", "123456789012345678", "1234567890123456789", ""}
		for range 120 {
			key := keys[random.IntN(len(keys))]
			clock += random.Int64N(3)
			e := event{since: clock}
			if random.IntN(5) > 0 {
				e.fragment = fmt.Sprint("f", random.IntN(4))
			}
			if random.IntN(40) == 0 {
				v.forget([]byte(key))
				delete(model, key)
				continue
			}
			// a deletion of what is not known is not kept: it says nothing
			if _, found := v.find([]byte(key)); !found {
				delete(model, key)
			}
			if e.fragment != "" {
				v.set([]byte(key), e.since, []byte(e.fragment))
				model[key] = append(model[key], e)
			} else {
				v.set([]byte(key), e.since, nil)
				if len(model[key]) > 0 {
					model[key] = append(model[key], e)
				}
			}
			model[key] = trimmed(model[key])
			for when := int64(-1); when < clock+2; when++ {
				got, known := v.at([]byte(key), when)
				if want := modelAt(model[key], when); string(got) != want || known != (want != "") {
					t.Fatalf("seed %d: key %q at %d is %q, %t, want %q of %v", seed, key, when, got, known, want, model[key])
				}
			}
		}
		for key := range model {
			v.forget([]byte(key))
		}
		for _, key := range keys {
			v.forget([]byte(key))
		}
		if used := len(v.pool.texts) - 1 - len(v.pool.free); used != 0 || v.len() != 0 || len(v.pool.index) != 0 {
			t.Fatalf("seed %d: %d fragments are left of no key", seed, used)
		}
	}
}

// trimmed drops what a history that begins with deletions does not keep: they say nothing, also once
// something earlier is heard of.
func trimmed(events []event) []event {
	kept := slices.Clone(events)
	slices.SortStableFunc(kept, func(a, b event) int { return int(a.since - b.since) })
	var last []event
	for i, e := range kept {
		if i+1 < len(kept) && kept[i+1].since == e.since {
			continue
		}
		if len(last) == 0 && e.fragment == "" {
			continue
		}
		last = append(last, e)
	}
	return last
}

func TestTheOldestVersionsOfAKeyGoBeyondALimit(t *testing.T) {
	v := newVersions()
	for i := range int64(maxVersions + 10) {
		v.set([]byte("7"), i, fmt.Append(nil, i))
	}
	for when, want := range map[int64]string{0: "10", 10: "10", 11: "11", maxVersions + 9: fmt.Sprint(maxVersions + 9)} {
		if got, _ := v.at([]byte("7"), when); string(got) != want {
			t.Errorf("at %d it is %s, want %s", when, got, want)
		}
	}
}

func TestAKeyThatBecomesKnownIsSaidSo(t *testing.T) {
	v, key := newVersions(), []byte("7")
	for i, step := range []struct {
		fragment []byte
		arrived  bool
	}{{nil, false}, {[]byte("a"), true}, {[]byte("a"), false}, {[]byte("b"), false}, {nil, false}, {nil, false}, {[]byte("b"), true}} {
		if got := v.set(key, int64(i), step.fragment); got != step.arrived {
			t.Errorf("step %d: arrived is %t", i, got)
		}
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkVersions(b *testing.B) {
	const keys = 1_000_000
	countries, segments := 60, 4
	for _, c := range []struct {
		name     string
		key      func(i int) []byte
		fragment func(i, n int) []byte
		versions int
	}{
		{"customers", func(i int) []byte { return fmt.Append(nil, i+1) }, func(i, n int) []byte {
			return fmt.Appendf(nil, `"customer_country":"C%d","customer_segment":"S%d","customer_known":true`, i%countries, (i+n)%segments)
		}, 1},
		{"customers with 3 versions", func(i int) []byte { return fmt.Append(nil, i+1) }, func(i, n int) []byte {
			return fmt.Appendf(nil, `"customer_country":"C%d","customer_segment":"S%d","customer_known":true`, i%countries, (i+n)%segments)
		}, 3},
		{"products by UUID", func(i int) []byte { return fmt.Appendf(nil, "0198c2a4-%04x-7000-8000-%012x", i%65536, i) }, func(i, n int) []byte {
			return fmt.Appendf(nil, `"product_category":"C%d","product_name":"Product number %d","product_price":%d.99,"product_known":true`, i%12, i, n)
		}, 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			texts := make([][]byte, keys)
			for i := range texts {
				texts[i] = c.key(i)
			}
			before := heap()
			v := newVersions()
			for n := range c.versions {
				for i := range texts {
					v.set(texts[i], int64(n)*1000, c.fragment(i, n))
				}
			}
			size := float64(heap()-before) / keys
			random := rand.New(rand.NewPCG(1, 2))
			order := make([]int32, 1<<20)
			for i := range order {
				order[i] = int32(random.IntN(keys))
			}
			b.ResetTimer()
			for i := range b.N {
				if _, known := v.at(texts[order[i&(len(order)-1)]], int64(i%4000)); !known {
					b.Fatal("a key is lost")
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lookups/s")
			b.ReportMetric(size, "B/key")
			runtime.KeepAlive(v)
		})
	}
}
