package api

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxBuckets bounds the memory of a limit. Whoever is forgotten has asked for nothing for longer than
// all the others.
const maxBuckets = 1 << 16

// buckets holds a token bucket for each of many clients.
type buckets struct {
	limit rate.Limit
	burst int
	mu    sync.Mutex // two first requests at once must meet one bucket
	byKey *lru.Cache[string, *rate.Limiter]
}

func newBuckets(limit rate.Limit, burst int) *buckets {
	byKey, err := lru.New[string, *rate.Limiter](maxBuckets)
	if err != nil {
		panic(err) // for a size that is not above 0
	}
	return &buckets{limit: limit, burst: burst, byKey: byKey}
}

func (b *buckets) of(key string) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	bucket, known := b.byKey.Get(key)
	if !known {
		bucket = rate.NewLimiter(b.limit, b.burst)
		b.byKey.Add(key, bucket)
	}
	return bucket
}
