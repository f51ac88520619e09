package stagevalidate

import (
	"bytes"
	"strconv"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/references"
	"github.com/shop-connect/shop-connect/internal/store"
)

// examination is what an object holds, and what is to become of it.
type examination struct {
	counts store.Counts
	// warnings counts the rows that pass with an unknown reference, by field.
	warnings map[string]int64
	// fresh is the range of offsets that were not in STAGE or quarantine before.
	fresh *store.Range
	// partial holds the good rows where they are not all rows; nil means the object as it is.
	partial *spool
	refused *refusedRows
}

func (e *examination) close() {
	if e.partial != nil {
		e.partial.close()
	}
	if e.refused != nil {
		e.refused.spool.close()
	}
}

// examiner works through the row groups of one object.
type examiner struct {
	file        *file
	place       place
	compression parquetfile.Compression
	now         time.Time
	// directory has the keys that values may refer to; nil asks nothing of them.
	directory *references.Directory

	result examination
	splice *parquetfile.Splice
	sieve  *sieve
}

// examine checks every row and encodes what cannot be copied. The caller closes what it returns.
func (x *examiner) examine(known []store.Range) (examination, error) {
	skip := newSkipper(x.file, x.place, known)
	check := &checker{file: x.file, now: x.now, directory: x.directory, references: map[int]*reference{}}
	x.result.warnings = map[string]int64{}
	firstRow := int64(0)
	for number, group := range x.file.RowGroups() {
		g := &rowGroup{
			number: number, firstRow: firstRow, marks: make([]uint8, group.NumRows()), reasons: map[int][]contract.Reason{},
		}
		firstRow += group.NumRows()
		if err := x.rowGroup(g, skip, check); err != nil {
			return x.result, err
		}
	}
	x.result.fresh = skip.fresh
	return x.result, x.finish()
}

func (x *examiner) rowGroup(g *rowGroup, skip *skipper, check *checker) error {
	if err := x.file.readAhead(g.number); err != nil {
		return err
	}
	if err := skip.mark(g); err != nil {
		return err
	}
	if g.skipped < g.len() {
		if err := check.check(g); err != nil {
			return err
		}
		check.warn(g, x.result.warnings)
	}
	x.result.counts.RowsIn += int64(g.len())
	x.result.counts.RowsOut += int64(g.good())
	x.result.counts.RowsRefused += int64(g.refused)
	x.result.counts.RowsSkipped += int64(g.skipped)
	var sieved *sievedGroup
	if g.good() > 0 && g.good() < g.len() {
		if x.sieve == nil {
			x.sieve = &sieve{codec: x.compression.Codec()}
		}
		var err error
		if sieved, err = x.file.sieve(g, x.sieve); err != nil {
			return err
		}
	}
	if g.refused > 0 {
		if err := x.setAside(g, sieved); err != nil {
			return err
		}
	}
	return x.keep(g, sieved)
}

func (x *examiner) setAside(g *rowGroup, sieved *sievedGroup) error {
	if x.result.refused == nil {
		var err error
		if x.result.refused, err = newRefusedRows(x.file, x.place, x.now); err != nil {
			return err
		}
	}
	return x.result.refused.add(g, sieved)
}

// keep adds the good rows of a row group to the new object, once one is needed.
func (x *examiner) keep(g *rowGroup, sieved *sievedGroup) error {
	groups := x.file.Metadata().RowGroups
	whole := g.good() == g.len()
	if x.splice == nil {
		if whole {
			return nil
		}
		var err error
		if x.result.partial, err = newSpool(); err != nil {
			return err
		}
		if x.splice, err = parquetfile.NewSplice(x.result.partial, x.file.Metadata()); err != nil {
			return err
		}
		for _, before := range groups[:g.number] {
			if err := x.copy(before.NumRows, g.number, func() error { return x.splice.Add(x.file.source, before) }); err != nil {
				return err
			}
		}
	}
	switch {
	case whole:
		return x.copy(int64(g.len()), g.number, func() error { return x.splice.Add(x.file.source, groups[g.number]) })
	case g.good() == 0:
		return nil
	case sieved != nil:
		return x.splice.Add(bytes.NewReader(sieved.data), sieved.group)
	}
	rewritten, reader, err := x.file.rewrite(g, x.file.layout.WriterOptions(x.compression))
	if err != nil {
		return err
	}
	for _, group := range rewritten.Metadata().RowGroups {
		if err := x.splice.Add(reader, group); err != nil {
			return err
		}
	}
	return nil
}

func (x *examiner) copy(rows int64, number int, add func() error) error {
	if rows == 0 {
		return nil
	}
	if err := add(); err != nil {
		return decodeError(x.file.source, "row group "+strconv.Itoa(number)+" cannot be copied", err)
	}
	return nil
}

func (x *examiner) finish() error {
	if x.result.refused != nil {
		if err := x.result.refused.close(); err != nil {
			return err
		}
	}
	if x.splice == nil {
		return nil
	}
	if fresh := x.result.fresh; fresh != nil {
		x.splice.Describe(parquetfile.MetaFirstOffset, strconv.FormatInt(fresh.First, 10))
		x.splice.Describe(parquetfile.MetaLastOffset, strconv.FormatInt(fresh.Last, 10))
	}
	return x.splice.Close()
}
