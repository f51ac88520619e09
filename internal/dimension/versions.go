package dimension

import (
	"hash/maphash"
	"slices"
	"sort"
)

// maxVersions bounds what is kept of one key. Beyond it the oldest version goes, and purchases from before
// the next one take that.
const maxVersions = 64

// nothing is the number of the fragment of a key that is deleted.
const nothing = 0

// versions holds, for each key, what was true of it from when on. A key costs about 84 bytes besides its
// text, if it is no number, and some 30 for each version after the first; a fragment is held once, however many
// keys have it. There are no pointers in it for the garbage collector to follow but those of texts.
type versions struct {
	numbers map[int64]entry
	texts   map[string]entry
	// older are the versions before the newest, oldest first, by entry.older; free are its unused places.
	older [][]version
	free  []uint32
	pool  fragments
}

// version says what is true from a moment on, in microseconds since 1970 UTC.
type version struct {
	since    int64
	fragment uint32
}

// entry is the newest version of a key.
type entry struct {
	version
	// older is one more than the place of the older versions, 0 where there are none.
	older uint32
}

func newVersions() *versions {
	return &versions{numbers: map[int64]entry{}, texts: map[string]entry{}, older: make([][]version, 0), pool: newFragments()}
}

func (v *versions) len() int { return len(v.numbers) + len(v.texts) }

// number reads a key that is the decimal text of a number and nothing else, as most keys are.
func number(key []byte) (n int64, ok bool) {
	if len(key) == 0 || len(key) > 18 || key[0] == '0' && len(key) > 1 {
		return 0, false
	}
	for _, c := range key {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}

func (v *versions) find(key []byte) (e entry, found bool) {
	if n, ok := number(key); ok {
		e, found = v.numbers[n]
	} else {
		e, found = v.texts[string(key)]
	}
	return e, found
}

func (v *versions) put(key []byte, e entry) {
	if n, ok := number(key); ok {
		v.numbers[n] = e
	} else {
		v.texts[string(key)] = e
	}
}

// at returns what was true of a key at a moment: the version that began last before it, else the first
// that is known. found is false where the key was deleted then, or never known.
func (v *versions) at(key []byte, when int64) (fragment []byte, found bool) {
	e, found := v.find(key)
	if !found {
		return nil, false
	}
	number := e.fragment
	if e.older != 0 && when < e.since {
		older := v.older[e.older-1]
		i := sort.Search(len(older), func(i int) bool { return older[i].since > when })
		number = older[max(i-1, 0)].fragment
	}
	return v.pool.text(number), number != nothing
}

// has says whether anything was ever true of a key.
func (v *versions) has(key []byte) bool {
	_, found := v.find(key)
	return found
}

// set notes what is true of a key from a moment on; no fragment says that it is deleted. It reports whether
// that makes known what was not. Of two versions of one moment the later call counts.
func (v *versions) set(key []byte, since int64, fragment []byte) (arrived bool) {
	e, found := v.find(key)
	if !found {
		if fragment != nil {
			v.put(key, entry{version: version{since, v.pool.take(fragment)}})
		}
		return fragment != nil
	}
	if since >= e.since && fragment != nil && string(v.pool.text(e.fragment)) == string(fragment) {
		return false
	}
	arrived = e.fragment == nothing && fragment != nil
	added := version{since, nothing}
	if fragment != nil {
		added.fragment = v.pool.take(fragment)
	}
	history := append(v.history(e), e.version)
	i := sort.Search(len(history), func(i int) bool { return history[i].since > since })
	history = v.merged(slices.Insert(history, i, added))
	e.version = history[len(history)-1]
	e.older = v.keep(e.older, history[:len(history)-1])
	if len(history) == 1 && e.fragment == nothing {
		v.remove(key)
		return false
	}
	v.put(key, e)
	return arrived
}

// merged leaves out versions that say what the one before them says, as those of a product do whose stock
// alone has changed, and the oldest beyond maxVersions. The first one is never a deletion. A version that
// comes late, into the midst of a run of which only the beginning is left, counts until the next one.
func (v *versions) merged(history []version) []version {
	kept := history[:0]
	for i, h := range history {
		n := len(kept)
		switch {
		case i+1 < len(history) && history[i+1].since == h.since, // the later call counts
			n == 0 && h.fragment == nothing && i+1 < len(history):
			v.pool.release(h.fragment)
		case n > 0 && kept[n-1].fragment == h.fragment:
			v.pool.release(h.fragment)
		default:
			kept = append(kept, h)
		}
	}
	for len(kept) > maxVersions || len(kept) > 1 && kept[0].fragment == nothing {
		v.pool.release(kept[0].fragment)
		kept = kept[1:]
	}
	return kept
}

func (v *versions) history(e entry) []version {
	if e.older == 0 {
		return nil
	}
	return slices.Clone(v.older[e.older-1])
}

// keep stores older versions at a place, 0 for a new one, and returns the place.
func (v *versions) keep(place uint32, older []version) uint32 {
	switch {
	case len(older) == 0 && place == 0:
		return 0
	case len(older) == 0:
		v.older[place-1] = nil
		v.free = append(v.free, place)
		return 0
	case place == 0 && len(v.free) > 0:
		place = v.free[len(v.free)-1]
		v.free = v.free[:len(v.free)-1]
	case place == 0:
		v.older = append(v.older, nil)
		place = uint32(len(v.older))
	}
	v.older[place-1] = slices.Clone(older)
	return place
}

// forget drops all that is known of a key.
func (v *versions) forget(key []byte) {
	e, found := v.find(key)
	if !found {
		return
	}
	v.pool.release(e.fragment)
	for _, old := range v.history(e) {
		v.pool.release(old.fragment)
	}
	v.keep(e.older, nil)
	v.remove(key)
}

func (v *versions) remove(key []byte) {
	if n, ok := number(key); ok {
		delete(v.numbers, n)
	} else {
		delete(v.texts, string(key))
	}
}

// fragments holds texts once each, for as long as anything uses them. Number 0 is no text.
type fragments struct {
	seed  maphash.Seed
	index map[uint64]uint32 // of a text's hash; texts that share one are held apart, and not found again
	texts [][]byte
	uses  []uint32
	free  []uint32
}

func newFragments() fragments {
	return fragments{seed: maphash.MakeSeed(), index: map[uint64]uint32{}, texts: [][]byte{nil}, uses: []uint32{0}}
}

func (f *fragments) text(number uint32) []byte { return f.texts[number] }

// take returns the number of a text, and counts one use of it.
func (f *fragments) take(text []byte) uint32 {
	hash := maphash.Bytes(f.seed, text)
	if number, found := f.index[hash]; found && string(f.texts[number]) == string(text) {
		f.uses[number]++
		return number
	}
	var number uint32
	if n := len(f.free); n > 0 {
		number, f.free = f.free[n-1], f.free[:n-1]
		f.texts[number], f.uses[number] = slices.Clone(text), 1
	} else {
		number = uint32(len(f.texts))
		f.texts, f.uses = append(f.texts, slices.Clone(text)), append(f.uses, 1)
	}
	if _, taken := f.index[hash]; !taken {
		f.index[hash] = number
	}
	return number
}

func (f *fragments) release(number uint32) {
	if number == nothing {
		return
	}
	if f.uses[number]--; f.uses[number] > 0 {
		return
	}
	if hash := maphash.Bytes(f.seed, f.texts[number]); f.index[hash] == number {
		delete(f.index, hash)
	}
	f.texts[number] = nil
	f.free = append(f.free, number)
}
