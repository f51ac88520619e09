package references

import "slices"

// bitsPerKey bounds the memory of a set whose numbers lie close together: that of the numbers themselves.
const bitsPerKey = 64

// numbers is a set of whole numbers, eight bytes a number at most: a bit for each from the least to the
// greatest where they lie close together, as PostgreSQL deals them out, else the numbers in their order.
type numbers struct {
	first  int64
	bits   []uint64
	sorted []int64
}

func (n *numbers) add(v int64) { n.sorted = append(n.sorted, v) }

// seal makes the set ready to be asked.
func (n *numbers) seal() {
	if len(n.sorted) == 0 {
		return
	}
	n.first = slices.Min(n.sorted)
	span := uint64(slices.Max(n.sorted) - n.first) // right even where the difference is more than an int64 holds
	if span/bitsPerKey >= uint64(len(n.sorted)) {
		slices.Sort(n.sorted)
		n.sorted = slices.Compact(n.sorted)
		return
	}
	n.bits = make([]uint64, span/64+1)
	for _, v := range n.sorted {
		at := uint64(v - n.first)
		n.bits[at/64] |= 1 << (at % 64)
	}
	n.sorted = nil
}

func (n *numbers) eachUnknown(values []int64, do func(i int)) {
	if n.sorted != nil {
		for i, v := range values {
			if _, found := slices.BinarySearch(n.sorted, v); !found {
				do(i)
			}
		}
		return
	}
	for i, v := range values {
		at := uint64(v - n.first)
		if at/64 >= uint64(len(n.bits)) || n.bits[at/64]>>(at%64)&1 == 0 {
			do(i)
		}
	}
}
