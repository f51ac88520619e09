package parquetfile

import (
	"fmt"
	"io"
	"strconv"

	"github.com/shop-connect/shop-connect/internal/columns"
)

// Begin begins a file whose rows are not all at hand at once, and were never in Kafka: as many calls of
// WriteRowGroup as it takes, and End, must follow.
func (w *Writer) Begin(out io.Writer) {
	w.file.Reset(out)
	w.file.SetKeyValueMetadata(MetaEntity, w.layout.Contract.Entity)
	w.file.SetKeyValueMetadata(MetaVersion, strconv.Itoa(w.layout.Contract.Version))
}

// WriteRowGroup writes all rows of a batch, RowGroupRows at most.
func (w *Writer) WriteRowGroup(b *columns.Batch, value func(row int32) []byte) error {
	rows := make([]int32, b.Len)
	for i := range rows {
		rows[i] = int32(i)
	}
	if err := w.writeRowGroup(b, rows, value); err != nil {
		return fmt.Errorf("writing Parquet rows: %w", err)
	}
	return nil
}

// End writes the footer.
func (w *Writer) End() error {
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("writing Parquet footer: %w", err)
	}
	return nil
}
