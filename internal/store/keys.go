package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Key is what an entity's key may be.
type Key interface{ int64 | string }

// keysOf are the queries for all keys of the entities that others refer to. A row that was deleted is
// known for good: a purchase of it may come later (I8).
var keysOf = map[string]struct {
	text  bool
	query string
}{
	"products":  {true, `SELECT id AS key FROM products UNION ALL SELECT key #>> '{}' FROM record_deletions WHERE entity = 'products'`},
	"customers": {false, `SELECT customer_id AS key FROM customers UNION ALL SELECT key::bigint FROM record_deletions WHERE entity = 'customers'`},
	"sellers":   {false, `SELECT id AS key FROM sellers UNION ALL SELECT key::bigint FROM record_deletions WHERE entity = 'sellers'`},
}

// KeysOf reports whether the keys of an entity are kept here, and whether they are texts or numbers.
func KeysOf(entity string) (text, kept bool) {
	keys, kept := keysOf[entity]
	return keys.text, kept
}

// EachKey calls do with every key of an entity, in no order; some may come twice.
func EachKey[K Key](ctx context.Context, s *Store, entity string, do func(K)) error {
	rows, err := s.pool.Query(ctx, keysOf[entity].query)
	if err == nil {
		var key K
		_, err = pgx.ForEachRow(rows, []any{&key}, func() error {
			do(key)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("reading the keys of %s: %w", entity, err)
	}
	return nil
}

// keysAsked is how many keys are looked up at a time.
const keysAsked = 10_000

// KnownKeys returns those of the given keys that an entity has now.
func KnownKeys[K Key](ctx context.Context, s *Store, entity string, keys []K) (map[K]struct{}, error) {
	known := map[K]struct{}{}
	for some := range slices.Chunk(slices.DeleteFunc(slices.Clone(keys), unstorable), keysAsked) {
		rows, err := s.pool.Query(ctx, `SELECT key FROM (`+keysOf[entity].query+`) AS known WHERE key = ANY($1)`, some)
		if err == nil {
			var key K
			_, err = pgx.ForEachRow(rows, []any{&key}, func() error {
				known[key] = struct{}{}
				return nil
			})
		}
		if err != nil {
			return nil, fmt.Errorf("looking up keys of %s: %w", entity, err)
		}
	}
	return known, nil
}

// unstorable reports keys that PostgreSQL would not even be asked for.
func unstorable[K Key](key K) bool {
	text, ok := any(key).(string)
	return ok && !storable(text)
}
