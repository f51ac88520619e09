package dimension

// maxArrived bounds what is noted between two looks; beyond it, whoever watches looks at everything.
const maxArrived = 1_000_000

// Watch notes the keys that become known.
type Watch struct {
	set     *Set
	arrived []map[string]struct{}
	count   int
	// all says that more has arrived than was noted.
	all bool
}

// Watch begins to note the keys that become known from now on.
func (s *Set) Watch() *Watch {
	w := &Watch{set: s}
	w.reset()
	s.mu.Lock()
	s.watchers[w] = struct{}{}
	s.mu.Unlock()
	return w
}

func (w *Watch) reset() {
	w.arrived, w.count, w.all = make([]map[string]struct{}, len(w.set.tables)), 0, false
	for i := range w.arrived {
		w.arrived[i] = map[string]struct{}{}
	}
}

// note is called with the set locked.
func (w *Watch) note(lookup int, key []byte) {
	if w.count >= maxArrived {
		w.all = true
		return
	}
	w.arrived[lookup][string(key)] = struct{}{}
	w.count++
}

// Take returns the keys of each lookup that have become known since it was called last; all is true where
// they are too many to say, and any key may be among them.
func (w *Watch) Take() (arrived []map[string]struct{}, all bool) {
	w.set.mu.Lock()
	defer w.set.mu.Unlock()
	arrived, all = w.arrived, w.all
	w.reset()
	return arrived, all
}

// Stop ends it.
func (w *Watch) Stop() {
	w.set.mu.Lock()
	defer w.set.mu.Unlock()
	delete(w.set.watchers, w)
}
