package stagevalidate

import (
	"fmt"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// refusedRows collects the refused rows of an object in a file on disk.
type refusedRows struct {
	file   *file
	place  place
	at     time.Time
	spool  *spool
	writer *parquet.GenericWriter[quarantine.Row]
}

func newRefusedRows(f *file, p place, at time.Time) (*refusedRows, error) {
	s, err := newSpool()
	if err != nil {
		return nil, err
	}
	return &refusedRows{
		file: f, place: p, at: at, spool: s,
		writer: parquet.NewGenericWriter[quarantine.Row](s, parquetfile.Zstd.WriterOption()),
	}, nil
}

// add writes the refused rows of a row group, with their bytes as they came, which sieved has where it is
// not nil.
func (r *refusedRows) add(g *rowGroup, sieved *sievedGroup) error {
	numbers := make([]int, 0, g.refused)
	for row, mark := range g.marks {
		if mark&markRefused != 0 {
			numbers = append(numbers, row)
		}
	}
	offsets := make(map[int]int64, len(numbers))
	err := r.file.eachOffset(g.number, func(row int, offset int64) {
		if g.marks[row]&markRefused != 0 {
			offsets[row] = offset
		}
	})
	if err != nil {
		return err
	}
	if sieved != nil {
		return r.write(g, numbers, offsets, sieved.refused)
	}
	return r.file.eachPage(g.number, r.file.layout.Index(parquetfile.ColumnValue), func(page parquet.Page, first int) error {
		values := textsOf(page)
		from, _ := slices.BinarySearch(numbers, first)
		to, _ := slices.BinarySearch(numbers, first+int(page.NumRows()))
		return r.write(g, numbers[from:to], offsets, func(i int) []byte { return values.at(numbers[from+i] - first) })
	})
}

// write writes the rows of a row group that numbers names; value returns the bytes of the i-th of them.
func (r *refusedRows) write(g *rowGroup, numbers []int, offsets map[int]int64, value func(i int) []byte) error {
	source, rules := r.file.source.object, r.file.layout.Contract
	rows := make([]quarantine.Row, 0, len(numbers))
	for i, row := range numbers {
		rows = append(rows, quarantine.Row{
			Entity: rules.Entity, ContractVersion: int64(rules.Version), Layer: quarantine.LayerStage,
			Reasons:   quarantine.ReasonsJSON(g.reasons[row]),
			Source:    fmt.Sprintf("s3://%s/%s#%d", source.bucket, source.key, g.firstRow+int64(row)),
			RefusedAt: r.at.UnixMicro(), Value: value(i),
			Topic: r.place.topic, Partition: r.place.partition, Offset: offsets[row],
		})
	}
	if _, err := r.writer.Write(rows); err != nil {
		return fmt.Errorf("writing refused rows: %w", err)
	}
	return nil
}

// close leaves only what is on disk.
func (r *refusedRows) close() error {
	if err := r.writer.Close(); err != nil {
		return fmt.Errorf("writing refused rows: %w", err)
	}
	r.file, r.writer = nil, nil
	return nil
}
