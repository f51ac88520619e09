package store

import (
	"errors"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"
)

// FuzzCursor holds cursors to what they promise: where a page ended is where the next one begins, and any
// other text is refused or means a place that PostgreSQL can be asked for.
func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "MSBh", "LTEgYQ", "MSA", "OTIyMzM3MjAzNjg1NDc3NTgwNyBh", "MSBhAA", "MSD_", "eyJkIjoxfQ", "1", "-1", "9223372036854775808"} {
		f.Add(seed, int64(1), "p-1")
	}
	f.Add(timeCursor(time.UnixMicro(maxMicros), "ä b"), int64(maxMicros), "ä b")
	f.Fuzz(func(t *testing.T, text string, micros int64, id string) {
		if micros >= 0 && micros <= maxMicros && storable(id) {
			at, gotID, err := parseTimeCursor(timeCursor(time.UnixMicro(micros), id))
			if err != nil || at.UnixMicro() != micros || gotID != id {
				t.Fatalf("%d %q became %v %q, %v", micros, id, at, gotID, err)
			}
		}
		at, gotID, err := parseTimeCursor(text)
		switch {
		case err != nil && !errors.Is(err, ErrCursor):
			t.Fatalf("%q: %v", text, err)
		case err == nil && (at.UnixMicro() < 0 || at.UnixMicro() > maxMicros || !utf8.ValidString(gotID) || !storable(gotID)):
			t.Fatalf("%q means %v %q", text, at, gotID)
		}
		if n, err := parseNumberCursor(text); err == nil {
			if again, err := parseNumberCursor(strconv.FormatInt(n, 10)); err != nil || again != n {
				t.Fatalf("%q means %d, and that %d, %v", text, n, again, err)
			}
		} else if !errors.Is(err, ErrCursor) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
