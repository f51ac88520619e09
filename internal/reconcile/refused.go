package reconcile

import (
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// refusedRow is what of a row in quarantine says which row it was.
type refusedRow struct {
	Source    string `parquet:"source,optional"`
	Topic     string `parquet:"_topic,optional"`
	Partition int32  `parquet:"_partition,optional"`
	Offset    *int64 `parquet:"_offset,optional"`
}

// countRefused reads the places of refused rows: a sink that was killed refuses a record again, and it
// comes to quarantine as another record of the topic of refused rows.
func countRefused(reader io.ReaderAt, size int64, key string) (object, error) {
	file, err := parquet.OpenFile(reader, size,
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(readBuffer))
	if err != nil {
		return object{}, fmt.Errorf("opening Parquet: %w", err)
	}
	layer, _ := layerOf(key)
	set, o := newPlaceSet(), object{}
	rows := parquet.NewGenericReader[refusedRow](file)
	defer rows.Close()
	for buffer := make([]refusedRow, 1024); ; {
		clear(buffer)
		n, err := rows.Read(buffer)
		for _, found := range buffer[:n] {
			row := quarantine.Row{Layer: layer, Source: found.Source, Topic: found.Topic, Partition: found.Partition, Offset: -1}
			if found.Offset != nil {
				row.Offset = *found.Offset
			}
			space, number := row.Place(key, o.rows)
			set.of(partition{topic: space}).Add(number)
			o.rows++
		}
		if errors.Is(err, io.EOF) {
			o.places = set.list()
			return o, nil
		}
		if err != nil {
			return object{}, fmt.Errorf("reading refused rows: %w", err)
		}
	}
}
