package stagevalidate

import (
	"context"
	"math"
	"strconv"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/references"
	"github.com/shop-connect/shop-connect/internal/store"
)

// maxDoubts is how many unknown keys of a row group are looked up for the sake of a warning. Where there are
// more, most are unknown indeed, and those whose row came within seconds of its use count as unknown too.
const maxDoubts = 1000

// reference holds the values of a field against the keys of the entity that they refer to.
type reference struct {
	field *contract.Field
	// keys are those of before the column was read.
	keys *references.Keys
	// exact says that the keys are of after the object was there: whoever was created before its purchase
	// is among them.
	exact bool

	// one of both is in use, as the field's type is
	numbers suspects[int64]
	texts   suspects[string]
}

// suspects are the rows of a row group whose value is none of the keys.
type suspects[K store.Key] struct {
	rows   []int32
	values []K
}

func (s *suspects[K]) add(row int, value K) {
	s.rows, s.values = append(s.rows, int32(row)), append(s.values, value)
}

// distinct returns the different values, or none where they are more than a limit.
func (s *suspects[K]) distinct(limit int) []K {
	seen, values := map[K]struct{}{}, []K(nil)
	for i, v := range s.values {
		if i > 0 && v == s.values[i-1] {
			continue
		}
		if _, again := seen[v]; again {
			continue
		}
		if len(values) == limit {
			return nil
		}
		seen[v], values = struct{}{}, append(values, v)
	}
	return values
}

// referTo prepares for a column of a row group. It returns nil for a field that is no reference.
func (c *checker) referTo(ctx context.Context, i int) (*reference, error) {
	field := &c.file.layout.Contract.Fields[i]
	if field.References == "" || c.directory == nil {
		return nil, nil
	}
	keys, err := c.directory.Of(ctx, field)
	if err != nil {
		return nil, err
	}
	r := c.references[i]
	if r == nil {
		r = &reference{field: field}
		c.references[i] = r
	}
	r.keys, r.exact = keys, keys.ReadSince(c.file.source.object.seen)
	r.numbers = suspects[int64]{r.numbers.rows[:0], r.numbers.values[:0]}
	r.texts = suspects[string]{r.texts.rows[:0], r.texts.values[:0]}
	return r, nil
}

// decide refuses the rows that refer to nothing, or leaves them as suspects to be warned of.
func (r *reference) decide(ctx context.Context, g *rowGroup) error {
	if r.field.Type == contract.String {
		return decide(ctx, r, &r.texts, g, func(v string) string { return v })
	}
	return decide(ctx, r, &r.numbers, g, func(v int64) string { return strconv.FormatInt(v, 10) })
}

func decide[K store.Key](ctx context.Context, r *reference, s *suspects[K], g *rowGroup, text func(K) string) error {
	limit := maxDoubts
	switch {
	case len(s.rows) == 0:
		return nil
	case r.field.RefuseUnknown:
		limit = math.MaxInt // no row is refused for keys that are a moment old
	case r.exact:
		return nil
	}
	known, err := references.Since(ctx, r.keys, s.distinct(limit))
	if err != nil {
		return err
	}
	unknown := suspects[K]{s.rows[:0], s.values[:0]}
	for i, v := range s.values {
		if _, ok := known[v]; ok {
			continue
		}
		if r.field.RefuseUnknown {
			g.refuse(int(s.rows[i]), r.field.UnknownReference(text(v)))
			continue
		}
		unknown.add(int(s.rows[i]), v)
	}
	*s = unknown
	return nil
}

// warned counts the suspects among the rows that pass.
func (r *reference) warned(g *rowGroup) (n int64) {
	for _, rows := range [][]int32{r.numbers.rows, r.texts.rows} {
		if g.skipped+g.refused == 0 {
			n += int64(len(rows))
			continue
		}
		for _, row := range rows {
			if g.marks[row]&(markSkipped|markRefused) == 0 {
				n++
			}
		}
	}
	return n
}

// warn adds to the counts of an object what its row groups are warned of.
func (c *checker) warn(g *rowGroup, into map[string]int64) {
	for _, r := range c.references {
		if n := r.warned(g); n > 0 {
			into[r.field.Name] += n
		}
	}
}
