package references

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Keys are the keys of an entity as they were at a moment.
type Keys struct {
	store   *store.Store
	entity  string
	readAt  time.Time
	numbers numbers
	texts   map[string]struct{}
}

func (k *Keys) read(ctx context.Context, kind contract.Type) error {
	if kind == contract.String {
		k.texts = map[string]struct{}{}
		return store.EachKey(ctx, k.store, k.entity, func(key string) { k.texts[key] = struct{}{} })
	}
	if err := store.EachKey(ctx, k.store, k.entity, k.numbers.add); err != nil {
		return err
	}
	k.numbers.seal()
	return nil
}

// HasText reports whether a text was a key.
func (k *Keys) HasText(v []byte) bool {
	_, ok := k.texts[string(v)]
	return ok
}

// EachUnknown calls do with the index of every value that was no key.
func (k *Keys) EachUnknown(values []int64, do func(i int)) { k.numbers.eachUnknown(values, do) }

// ReadSince reports whether whatever was a key at a moment is among these.
func (k *Keys) ReadSince(at time.Time) bool { return !k.readAt.Before(at) }

// Unknown returns those of a field's values, as Format writes them, that refer to nothing now. It asks for
// each: for few values, that is less than to read all keys.
func Unknown(ctx context.Context, s *store.Store, field *contract.Field, values map[string]struct{}) (map[string]struct{}, error) {
	unknown := maps.Clone(values)
	if field.Type == contract.String {
		known, err := store.KnownKeys(ctx, s, field.References, slices.Collect(maps.Keys(values)))
		for v := range known {
			delete(unknown, v)
		}
		return unknown, err
	}
	numbers := make([]int64, 0, len(values))
	for v := range values {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("looking up a key of %s: %w", field.References, err)
		}
		numbers = append(numbers, n)
	}
	known, err := store.KnownKeys(ctx, s, field.References, numbers)
	for n := range known {
		delete(unknown, strconv.FormatInt(n, 10))
	}
	return unknown, err
}

// Since returns those of the given values that have become keys since these were read.
func Since[K store.Key](ctx context.Context, k *Keys, values []K) (map[K]struct{}, error) {
	return store.KnownKeys(ctx, k.store, k.entity, values)
}
