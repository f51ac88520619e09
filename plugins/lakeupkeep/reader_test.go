package lakeupkeep

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/store"
)

// offsetsIn returns the offsets of an object's rows.
func offsetsIn(l *testLake, content []byte) (offsets []int64) {
	rows, err := parquet.Read[storedRow](bytes.NewReader(content), int64(len(content)))
	if err != nil {
		l.Error(err)
	}
	for _, row := range rows {
		offsets = append(offsets, row.Offset)
	}
	return offsets
}

// A listing of many pages is not of one moment. Wherever a reader is in it when objects are merged, also
// such as were merged before, it comes by each row.
func TestAReaderInTheMiddleOfItsListingMissesNoRow(t *testing.T) {
	l := newTestLake(t)
	for cut := range 7 {
		date := fmt.Sprintf("2026-02-%02d", cut+1)
		prefix := "purchases/purchase_date=" + date + "/"
		for n := range int64(12) {
			l.sink(date, 3, rowsOf(n*4, n*4+3)...)
			if n == 5 {
				l.toStage()
				l.compact(store.LayerStage, "day: "+date+"\n")
			}
		}
		l.toStage()
		var listed []string
		for _, key := range l.keys(l.stage) {
			if strings.HasPrefix(key, prefix) {
				listed = append(listed, key)
			}
		}
		if len(listed) != 7 {
			t.Fatalf("STAGE has %v", listed)
		}
		var seen []int64
		read := func(keys ...string) {
			for _, key := range keys {
				content, err := l.get(l.stage, key)
				if err != nil {
					t.Fatal(err)
				}
				seen = append(seen, offsetsIn(l, content)...)
			}
		}
		read(listed[:cut]...)
		if r := l.compact(store.LayerStage, "day: "+date+"\n"); r.Merged != 7 || r.Into != 1 {
			t.Fatalf("%+v", r)
		}
		behind := prefix
		if cut > 0 {
			behind = listed[cut-1]
		}
		for info := range l.client.ListObjectsIter(t.Context(), l.stage, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, StartAfter: behind}) {
			read(info.Key)
		}
		slices.Sort(seen)
		if distinct := slices.Compact(seen); !slices.Equal(distinct, upTo(0, 47)) {
			t.Errorf("a reader that had seen %d objects got %v", cut, distinct)
		}
	}
}
