package clock_test

import (
	"errors"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/clock"
)

func TestTimesOfEveryNotation(t *testing.T) {
	noon := time.Date(2023, 11, 9, 12, 0, 0, 0, time.UTC).UnixMicro()
	for text, want := range map[string]int64{
		"2023-11-09T12:00:00Z": noon, "2023-11-09t12:00:00z": noon, "2023-11-09 12:00:00": noon, "2023-11-09T12:00": noon,
		"2023-11-09T14:00:00+02:00": noon, "2023-11-09T14:00:00+0200": noon, "2023-11-09T14:00:00+02": noon, "2023-11-09T02:30:00-09:30": noon,
		"2023-11-09T12:00:00.000001Z": noon + 1, "2023-11-09T12:00:00.123456789Z": noon + 123_456, "2023-11-09T12:00:00,5": noon + 500_000,
		"2023-11-09": noon - 12*3600*1_000_000, "1970-01-01T00:00:00Z": 0, "1969-12-31T23:59:59.999999Z": -1,
	} {
		if got, err := clock.Parse([]byte(text), time.UTC); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": clock.ErrSyntax, "soon": clock.ErrSyntax, "2023-11-09T": clock.ErrSyntax, "2023-11-09T12": clock.ErrSyntax, "2023/11/09": clock.ErrSyntax,
		"2023-11-09T12:00:00X": clock.ErrSyntax, "2023-11-09T12:00:00+2": clock.ErrSyntax, "2023-11-09T12:00:00.Z": clock.ErrSyntax, "1699531200": clock.ErrSyntax,
		"2023-02-29": clock.ErrRange, "2023-13-01": clock.ErrRange, "0000-01-01": clock.ErrRange, "2023-11-09T24:00:00": clock.ErrRange,
	} {
		if got, err := clock.Parse([]byte(text), time.UTC); !errors.Is(err, want) {
			t.Errorf("%q: %d, %v; want %v", text, got, err, want)
		}
	}
}

func TestEveryDayOfFourHundredYearsIsTheCalendars(t *testing.T) {
	first := time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC)
	for day := first; day.Year() < 2201; day = day.AddDate(0, 0, 1) {
		text := day.Format(time.DateOnly)
		got, err := clock.ParseDate([]byte(text))
		if err != nil || got*86_400 != day.Unix() || clock.DateString(got) != text || clock.Day(day.UnixMicro(), time.UTC) != int32(got) {
			t.Fatalf("%s: day %d, %v", text, got, err)
		}
	}
}

func TestTheBusinessDayIsTheShops(t *testing.T) {
	shop, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	late, err := clock.Parse([]byte("2024-03-09T23:30:00"), shop)
	if err != nil {
		t.Fatal(err)
	}
	if got := clock.String(late); got != "2024-03-10T04:30:00Z" {
		t.Errorf("moment %s", got)
	}
	if got := clock.DateString(int64(clock.Day(late, shop))); got != "2024-03-09" {
		t.Errorf("business day %s", got)
	}
	if got := clock.DateString(int64(clock.Day(late, time.UTC))); got != "2024-03-10" {
		t.Errorf("day in UTC %s", got)
	}
}

func TestATimeThatTheClocksLeaveOutStaysOnItsDay(t *testing.T) {
	for zone, texts := range map[string]map[string]string{
		"America/Sao_Paulo": {"2018-11-04": "2018-11-04T03:00:00Z", "2018-11-04T00:30:00": "2018-11-04T03:30:00Z"},
		"America/New_York":  {"2024-03-10T02:30:00": "2024-03-10T07:30:00Z", "2024-03-10T03:30:00": "2024-03-10T07:30:00Z"},
	} {
		shop, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			at, err := clock.Parse([]byte(text), shop)
			if err != nil || clock.String(at) != want {
				t.Errorf("%s in %s: %s, %v; want %s", text, zone, clock.String(at), err, want)
			}
			if day := clock.DateString(int64(clock.Day(at, shop))); day != text[:10] {
				t.Errorf("%s in %s is on %s", text, zone, day)
			}
		}
	}
}

// FuzzParse compares with the standard library where that reads the notation.
func FuzzParse(f *testing.F) {
	f.Add("2023-11-09T05:20:48Z")
	f.Add("1600-02-29T23:59:59.999999+14:00")
	f.Fuzz(func(t *testing.T, text string) {
		want, err := time.Parse(time.RFC3339Nano, text)
		if err != nil || want.Year() < 1 {
			return
		}
		floor := want.Truncate(time.Microsecond).UnixMicro()
		// stricter than the standard library in notation, on 24-hour offsets for example, never in value
		if got, err := clock.Parse([]byte(text), time.UTC); err == nil && got != floor {
			t.Fatalf("%s: %d, want %d", text, got, floor)
		}
		utc := want.UTC()
		if utc.Year() < 1 || utc.Year() > 9999 {
			return
		}
		plain := utc.Format(time.RFC3339Nano)
		if got, err := clock.Parse([]byte(plain), time.UTC); err != nil || got != floor {
			t.Fatalf("%s: %d, %v; want %d", plain, got, err, floor)
		}
	})
}
