package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/shop-connect/shop-connect/internal/load"
)

// likelyRow is how many bytes a generated purchase has, roughly.
const likelyRow = 288

// rendered is a generator whose rows are there before the clock starts, as they are for the bare library:
// a shop's clients have other machines to make their rows on.
type rendered struct {
	*load.Generator
	rows  []byte
	ends  []int
	valid []bool
	next  int
}

var _ load.Source = (*rendered)(nil)

func render(generator *load.Generator) (*rendered, error) {
	n := int(generator.Rows())
	r := &rendered{Generator: generator, rows: make([]byte, 0, n*likelyRow), ends: make([]int, 0, n), valid: make([]bool, 0, n)}
	for {
		rows, valid, err := generator.Append(r.rows)
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("rendering rows: %w", err)
		}
		r.rows, r.ends, r.valid = rows, append(r.ends, len(rows)), append(r.valid, valid)
	}
}

// Append replays the next row.
func (r *rendered) Append(dst []byte) (row []byte, valid bool, err error) {
	if r.next == len(r.ends) {
		return dst, false, io.EOF
	}
	start := 0
	if r.next > 0 {
		start = r.ends[r.next-1]
	}
	dst, valid = append(dst, r.rows[start:r.ends[r.next]]...), r.valid[r.next]
	r.next++
	return dst, valid, nil
}
