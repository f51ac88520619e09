package icebergsink

import "math/bits"

// Where the row of a key is: the number of its partition, or one of these.
const (
	// placeNowhere is of a key that the table is known not to hold.
	placeNowhere = ^uint32(0)
	// placeUnknown is of a key that is not remembered.
	placeUnknown = ^uint32(0) - 1
)

// minRecentKeys keeps a batch's own keys from pushing each other out.
const minRecentKeys = 1_000_000

// keyTable maps 64-bit hashes of keys to where their row is and a hash of what it says. Open addressing
// in parallel slices: 20 bytes a slot and nothing for the garbage collector to follow.
type keyTable struct {
	hashes   []uint64
	contents []uint64
	places   []uint32
	used     int
}

func newKeyTable(room int) *keyTable {
	slots := 1 << bits.Len(uint(max(room, 8)*4/3))
	return &keyTable{hashes: make([]uint64, slots), contents: make([]uint64, slots), places: make([]uint32, slots)}
}

// slot returns where a hash is, or the free slot where it belongs.
func (t *keyTable) slot(hash uint64) int {
	mask := len(t.hashes) - 1
	// The upper bits choose: the lower ones are all that a partition's own hash leaves alike.
	i := int(hash>>17) & mask
	for t.hashes[i] != 0 && t.hashes[i] != hash {
		i = (i + 1) & mask
	}
	return i
}

func (t *keyTable) put(hash, content uint64, place uint32) {
	i := t.slot(hash)
	if t.hashes[i] == 0 {
		if (t.used+1)*4 > len(t.hashes)*3 {
			t.grow()
			i = t.slot(hash)
		}
		t.hashes[i] = hash
		t.used++
	}
	t.contents[i], t.places[i] = content, place
}

func (t *keyTable) grow() {
	bigger := newKeyTable(len(t.hashes))
	for i, hash := range t.hashes {
		if hash != 0 {
			j := bigger.slot(hash)
			bigger.hashes[j], bigger.contents[j], bigger.places[j] = hash, t.contents[i], t.places[i]
		}
	}
	bigger.used = t.used
	*t = *bigger
}

func (t *keyTable) reset() {
	clear(t.hashes)
	t.used = 0
}

// recentKeys remembers the keys written last. It is two generations: when the young one is full the old
// one is forgotten, so memory is bounded and a key used lately stays.
type recentKeys struct {
	limit      int
	young, old *keyTable
	// complete says that every key of the table is remembered, so that one not found is new.
	complete bool
}

func newRecentKeys(limit int) *recentKeys {
	return &recentKeys{limit: limit / 2, young: newKeyTable(0), old: newKeyTable(0), complete: true}
}

// find returns the place of a key and the hash of its content, 0 where that is not known.
func (r *recentKeys) find(hash uint64) (place uint32, content uint64) {
	if i := r.young.slot(hash); r.young.hashes[i] != 0 {
		return r.young.places[i], r.young.contents[i]
	}
	if i := r.old.slot(hash); r.old.hashes[i] != 0 {
		return r.old.places[i], r.old.contents[i]
	}
	if r.complete {
		return placeNowhere, 0
	}
	return placeUnknown, 0
}

func (r *recentKeys) put(hash, content uint64, place uint32) {
	if r.young.used >= r.limit {
		r.complete = r.complete && r.old.used == 0
		r.young, r.old = newKeyTable(0), r.young
	}
	r.young.put(hash, content, place)
}

// forgetContents is called when someone else has changed rows: where they are is known again, what
// they say is not.
func (r *recentKeys) forgetContents() {
	clear(r.young.contents)
	clear(r.old.contents)
}

// len counts the keys remembered, some of them twice.
func (r *recentKeys) len() int { return r.young.used + r.old.used }
