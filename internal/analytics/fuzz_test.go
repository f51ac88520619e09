package analytics

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/store"
)

// FuzzCursor holds cursors to what they promise: where a page ended is where the next one begins, and any
// other text is refused or means a day that ClickHouse can hold.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "x", "bm90IGpzb24", "eyJkIjo5OTk5OTk5OTl9", "eyJkIjotOTk5OTk5OTl9", "eyJkIjoxLCJ0IjoyLCJpIjoiYSJ9", "bnVsbA", "W10"} {
		f.Add(seed, int32(20_000), int64(1), "p-1")
	}
	f.Fuzz(func(t *testing.T, text string, day int32, micros int64, id string) {
		if want := (position{Day: day, Micros: micros, ID: id}); day >= firstDay && day <= lastDay && utf8.ValidString(id) {
			cursor, err := want.cursor()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := parseCursor(cursor); err != nil || got != want {
				t.Fatalf("%+v became %+v, %v", want, got, err)
			}
		}
		got, err := parseCursor(text)
		switch {
		case err != nil && !errors.Is(err, store.ErrCursor):
			t.Fatalf("%q: %v", text, err)
		case err == nil && (got.Day < firstDay || got.Day > lastDay || !utf8.ValidString(got.ID)):
			t.Fatalf("%q means %+v", text, got)
		}
	})
}
