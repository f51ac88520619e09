// Package clock reads and writes the times of purchases. Time is UTC microseconds everywhere; the
// shop's time zone matters in two places only, both here: reading a time that names no zone, and
// cutting time into business days and their hours (I6).
package clock

import (
	"errors"
	"time"
)

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond
)

// Why a text is not a time. The messages finish the sentence "purchased_at …".
var (
	ErrSyntax = errors.New("must be an ISO 8601 date and time such as 2023-11-09T05:20:48Z")
	ErrDate   = errors.New("must be a date such as 2023-11-09")
	ErrRange  = errors.New("must be a date and time that exists, in the years 1 to 9999")
)

// Parse reads an ISO 8601 date and time as microseconds since 1970 UTC. A text without a zone is a
// time of the shop's zone; digits past the microsecond are cut.
func Parse(text []byte, shop *time.Location) (int64, error) {
	days, rest, err := parseDay(text)
	if err != nil {
		return 0, err
	}
	var micros int64
	if len(rest) > 0 {
		if rest[0] != 'T' && rest[0] != 't' && rest[0] != ' ' {
			return 0, ErrSyntax
		}
		if micros, rest, err = parseTimeOfDay(rest[1:]); err != nil {
			return 0, err
		}
	}
	if len(rest) == 0 {
		return naive(days, micros, shop), nil
	}
	offset, err := parseZone(rest)
	if err != nil {
		return 0, err
	}
	return days*microsPerDay + micros - offset*microsPerSecond, nil
}

// ParseDate reads YYYY-MM-DD as days since 1970.
func ParseDate(text []byte) (int64, error) {
	days, rest, err := parseDay(text)
	if err != nil || len(rest) > 0 {
		return 0, ErrDate
	}
	return days, nil
}

// Day is the business day of a moment, in days since 1970.
func Day(micros int64, shop *time.Location) int32 {
	if shop != time.UTC {
		_, offset := time.UnixMicro(micros).In(shop).Zone()
		micros += int64(offset) * microsPerSecond
	}
	day := micros / microsPerDay
	if micros%microsPerDay < 0 {
		day--
	}
	return int32(day)
}

// Hour is the hour of the business day of a moment, 0 to 23.
func Hour(micros int64, shop *time.Location) uint8 {
	if shop != time.UTC {
		_, offset := time.UnixMicro(micros).In(shop).Zone()
		micros += int64(offset) * microsPerSecond
	}
	ofDay := micros % microsPerDay
	if ofDay < 0 {
		ofDay += microsPerDay
	}
	return uint8(ofDay / (3600 * microsPerSecond))
}

// String writes a moment in UTC.
func String(micros int64) string {
	return time.UnixMicro(micros).UTC().Format("2006-01-02T15:04:05.999999Z07:00")
}

// DateString writes days since 1970 as YYYY-MM-DD.
func DateString(days int64) string {
	return time.Unix(days*86_400, 0).UTC().Format(time.DateOnly)
}

func naive(days, micros int64, shop *time.Location) int64 {
	if shop == time.UTC {
		return days*microsPerDay + micros
	}
	wall := time.Unix(days*86_400, 0).UTC().Add(time.Duration(micros) * time.Microsecond)
	at := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), shop)
	// Clocks that go forward leave out an hour. A time within it is one that a clock which was not yet
	// changed would show, so that it stays on its day.
	_, offset := at.Zone()
	if shown := at.Add(time.Duration(offset) * time.Second).UTC(); shown.Before(wall) {
		at = at.Add(wall.Sub(shown))
	}
	return at.UnixMicro()
}

func parseDay(t []byte) (days int64, rest []byte, err error) {
	if len(t) < 10 || t[4] != '-' || t[7] != '-' {
		return 0, nil, ErrSyntax
	}
	year, month, day := digits(t[0:4]), digits(t[5:7]), digits(t[8:10])
	if year < 0 || month < 0 || day < 0 {
		return 0, nil, ErrSyntax
	}
	if year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, nil, ErrRange
	}
	return daysSince1970(year, month, day), t[10:], nil
}

func parseTimeOfDay(t []byte) (micros int64, rest []byte, err error) {
	if len(t) < 5 || t[2] != ':' {
		return 0, nil, ErrSyntax
	}
	hour, minute, second := digits(t[0:2]), digits(t[3:5]), 0
	t = t[5:]
	if len(t) >= 3 && t[0] == ':' {
		second = digits(t[1:3])
		t = t[3:]
	}
	if hour < 0 || minute < 0 || second < 0 {
		return 0, nil, ErrSyntax
	}
	if hour > 23 || minute > 59 || second > 59 {
		return 0, nil, ErrRange
	}
	micros = int64(hour*3600+minute*60+second) * microsPerSecond
	if len(t) > 0 && (t[0] == '.' || t[0] == ',') {
		t = t[1:]
		unit, n := int64(microsPerSecond/10), 0
		for ; n < len(t) && t[n] >= '0' && t[n] <= '9'; n++ {
			micros += int64(t[n]-'0') * unit
			unit /= 10
		}
		if n == 0 {
			return 0, nil, ErrSyntax
		}
		t = t[n:]
	}
	return micros, t, nil
}

// parseZone reads Z, +hh, +hhmm or +hh:mm as seconds east of UTC.
func parseZone(t []byte) (int64, error) {
	if len(t) == 1 && (t[0] == 'Z' || t[0] == 'z') {
		return 0, nil
	}
	if t[0] != '+' && t[0] != '-' {
		return 0, ErrSyntax
	}
	var hour, minute int
	switch {
	case len(t) == 3:
		hour = digits(t[1:3])
	case len(t) == 5:
		hour, minute = digits(t[1:3]), digits(t[3:5])
	case len(t) == 6 && t[3] == ':':
		hour, minute = digits(t[1:3]), digits(t[4:6])
	default:
		return 0, ErrSyntax
	}
	if hour < 0 || minute < 0 || hour > 23 || minute > 59 {
		return 0, ErrSyntax
	}
	seconds := int64(hour*3600 + minute*60)
	if t[0] == '-' {
		return -seconds, nil
	}
	return seconds, nil
}

func digits(t []byte) int {
	n := 0
	for _, c := range t {
		if c < '0' || c > '9' {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	default:
		return 31
	}
}

// daysSince1970 counts in years that begin in March, so that a leap day is the last of its year.
func daysSince1970(year, month, day int) int64 {
	if month <= 2 {
		year, month = year-1, month+12
	}
	return int64(365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 719_468)
}
