package progress

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestMeterWritesALineASecondAndOneAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		m := Start(&out, "posting", 4_000)
		m.Add(1_000)
		time.Sleep(1500 * time.Millisecond) // the bubble's clock, not the wall's
		m.Set(4_000)
		m.Stop()
		m.Stop()
		want := "posting  1,000 of 4,000  25%  1,000 rows/s\nposting  4,000 of 4,000  100%  2,666 rows/s\n"
		if out.String() != want {
			t.Errorf("it wrote\n%s, it should write\n%s", out.String(), want)
		}
	})
}

func TestMeterOfNothingIsDone(t *testing.T) {
	var out bytes.Buffer
	Start(&out, "posting", 0).Stop()
	if !strings.Contains(out.String(), "0 of 0  100%") {
		t.Errorf("it wrote %q", out.String())
	}
}

func TestThousandsGroupsDigits(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1_000: "1,000", 1_234_567: "1,234,567", -20_001: "-20,001"} {
		if got := Thousands(n); got != want {
			t.Errorf("%d is written %s, it should be %s", n, got, want)
		}
	}
}
