package load

import (
	"math"
	"math/rand/v2"
)

// random is a PCG stream: the same seed gives the same shop on every machine.
type random struct{ rand.PCG }

func newRandom(seed, stream uint64) *random { return &random{*rand.NewPCG(seed, stream)} }

// below returns a number in [0, n).
func (r *random) below(n int) int { return int(r.Uint64() >> 33 * uint64(n) >> 31) }

// threshold makes a share comparable with 32 random bits.
func threshold(share float64) uint64 { return uint64(share * (1 << 32)) }

// sampler draws indexes by weight in constant time (Walker's alias method), because the generator
// has to outrun the servers it feeds on the same two cores.
type sampler struct {
	keep  []uint32
	alias []uint32
}

func newSampler(weights []float64) *sampler {
	n := len(weights)
	s := &sampler{keep: make([]uint32, n), alias: make([]uint32, n)}
	var sum float64
	for _, w := range weights {
		sum += w
	}
	scaled := make([]float64, n)
	var poor, rich []int
	for i, w := range weights {
		scaled[i] = w / sum * float64(n)
		if scaled[i] < 1 {
			poor = append(poor, i)
		} else {
			rich = append(rich, i)
		}
	}
	for len(poor) > 0 && len(rich) > 0 {
		p, r := poor[len(poor)-1], rich[len(rich)-1]
		poor = poor[:len(poor)-1]
		s.keep[p] = uint32(scaled[p] * math.MaxUint32)
		s.alias[p] = uint32(r)
		if scaled[r] -= 1 - scaled[p]; scaled[r] < 1 {
			rich = rich[:len(rich)-1]
			poor = append(poor, r)
		}
	}
	for _, i := range append(poor, rich...) {
		s.keep[i], s.alias[i] = math.MaxUint32, uint32(i)
	}
	return s
}

// pick turns 64 random bits into an index.
func (s *sampler) pick(bits uint64) int {
	i := bits >> 32 * uint64(len(s.keep)) >> 32
	if uint32(bits) <= s.keep[i] {
		return int(i)
	}
	return int(s.alias[i])
}

// zipf returns the weights of n things whose popularity falls with their rank to the power s.
func zipf(n int, s float64) []float64 {
	w := make([]float64, n)
	for i := range w {
		w[i] = math.Pow(float64(i+1), -s)
	}
	return w
}

// shuffled returns 0 … n-1 in random order.
func shuffled(n int, r *random) []int { return rand.New(&r.PCG).Perm(n) }
