package parquetfile_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

// Many different texts outgrow a column's dictionary in the middle of a file; the writer must go on
// without it, and have it again for the next file.
func TestFilesOfManyPagesAndOutgrownDictionariesReadBack(t *testing.T) {
	const n = 60_000
	sent := make([]string, n)
	for i := range sent {
		switch i % 3 {
		case 0:
			sent[i] = fmt.Sprintf(`{"id":"p-%d","product_id":"%s-%d","quantity":%d}`, i, strings.Repeat("x", 40), i, int64(1-2*(i%2))*(1<<62+int64(i)))
		case 1:
			sent[i] = fmt.Sprintf(`{"product_id":"","customer_id":%d}`, -i)
		default:
			sent[i] = `{"price_at_time":-0.5}`
		}
	}
	batch, value := decode(t, sent...)
	writer := layout(t).NewWriter(parquetfile.Zstd)
	var files [2]bytes.Buffer
	for i := range files {
		if err := writer.WriteFile(&files[i], batch, allRows(batch), value); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0].Bytes(), files[1].Bytes()) {
		t.Error("the second file of a writer differs from the first")
	}
	rows := read(t, files[1].Bytes())
	if len(rows) != n {
		t.Fatalf("%d rows", len(rows))
	}
	for i, row := range rows {
		ok := string(row.Value) == sent[i] && row.Offset == int64(40+i)
		switch i % 3 {
		case 0:
			ok = ok && *row.ProductID == fmt.Sprintf("%s-%d", strings.Repeat("x", 40), i) && *row.Quantity == int64(1-2*(i%2))*(1<<62+int64(i)) && row.PriceAtTime == nil
		case 1:
			ok = ok && *row.ProductID == "" && *row.CustomerID == int64(-i) && row.Quantity == nil
		default:
			ok = ok && row.ProductID == nil && *row.PriceAtTime == -5000 && *row.ID == fmt.Sprintf("purchases-3-%d", 40+i)
		}
		if !ok {
			t.Fatalf("row %d: %+v, sent %s", i, row, sent[i])
		}
	}
}
