package stagevalidate

import (
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// integers appends the values of a page of whole numbers, nulls left out, to scratch, or returns the
// page's own memory where that holds them as they are.
func integers(page parquet.Page, scratch []int64) []int64 {
	data := page.Data()
	if dictionary := page.Dictionary(); dictionary != nil {
		indexes := data.Int32()
		scratch = slices.Grow(scratch, len(indexes))
		for i, index := range indexes {
			if i > 0 && index == indexes[i-1] {
				scratch = append(scratch, scratch[len(scratch)-1])
				continue
			}
			scratch = append(scratch, integer(dictionary, index))
		}
		return scratch
	}
	if data.Kind() == encoding.Int64 {
		return data.Int64()
	}
	for _, v := range data.Int32() {
		scratch = append(scratch, int64(v))
	}
	return scratch
}

func integer(dictionary parquet.Dictionary, index int32) int64 {
	v := dictionary.Index(index)
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}

// texts gives access to the values of a page of strings or bytes, nulls left out.
type texts struct {
	dictionary parquet.Dictionary
	indexes    []int32
	data       []byte
	offsets    []uint32
}

func textsOf(page parquet.Page) texts {
	values := page.Data()
	if dictionary := page.Dictionary(); dictionary != nil {
		return texts{dictionary: dictionary, indexes: values.Int32()}
	}
	data, offsets := values.ByteArray()
	return texts{data: data, offsets: offsets}
}

// repeats reports whether a value is known to be that of the row before.
func (t *texts) repeats(i int) bool {
	return t.dictionary != nil && i > 0 && t.indexes[i] == t.indexes[i-1]
}

func (t *texts) len() int {
	if t.dictionary != nil {
		return len(t.indexes)
	}
	return len(t.offsets) - 1
}

// at returns a value that is valid as long as its page.
func (t *texts) at(i int) []byte {
	if t.dictionary != nil {
		return t.dictionary.Index(t.indexes[i]).ByteArray()
	}
	return t.data[t.offsets[i]:t.offsets[i+1]]
}

// rowsOf maps the values of a page, nulls left out, to row numbers.
type rowsOf struct {
	page  parquet.Page
	first int
	nulls bool
	rows  []int
}

// rowsIn counts the nulls once: a page counts its levels each time that it is asked.
func rowsIn(page parquet.Page, first int) rowsOf {
	return rowsOf{page: page, first: first, nulls: page.NumNulls() > 0}
}

// row returns the row of value i. Most pages have no nulls, and most with nulls have no fault.
func (r *rowsOf) row(i int) int {
	if !r.nulls {
		return r.first + i
	}
	if r.rows == nil {
		for n, level := range r.page.DefinitionLevels() {
			if level != 0 {
				r.rows = append(r.rows, r.first+n)
			}
		}
	}
	return r.rows[i]
}
