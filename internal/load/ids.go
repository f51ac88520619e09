package load

import (
	"fmt"
	"hash/fnv"
	"time"
)

// idSequence writes UUIDv7-shaped ids in the order the rows are sent. Ids ordered in time are what
// keeps the engines' sort keys cheap; taking the time from the row's number instead of the clock is
// what makes them repeatable.
type idSequence struct {
	start int64 // milliseconds since 1970
	// salt differs between configurations: a longer load of the same seed has other rows, which must
	// not pass for corrections of the shorter one's.
	salt uint64
}

func newIDSequence(c GeneratorConfig, end time.Time) idSequence {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, c.Rows, c.Seed, c.Days, c.Bad, c.Duplicates, c.Late)
	return idSequence{start: end.UnixMilli(), salt: h.Sum64()}
}

const (
	// idsPerMilli rows share a millisecond; their order goes on in the 12 bits behind the version.
	idsPerMilliBits = 7
	hexDigits       = "0123456789abcdef"
)

func (s idSequence) append(dst []byte, n, random uint64) []byte {
	random ^= s.salt
	milli := uint64(s.start) + n>>idsPerMilliBits
	order := n & (1<<idsPerMilliBits - 1)
	high := milli<<16 | 0x7000 | order<<5 | random>>59
	low := random&(1<<62-1) | 1<<63
	dst = appendHex(dst, high>>32, 8)
	dst = appendHex(append(dst, '-'), high>>16, 4)
	dst = appendHex(append(dst, '-'), high, 4)
	dst = appendHex(append(dst, '-'), low>>48, 4)
	return appendHex(append(dst, '-'), low, 12)
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[v>>shift&15])
	}
	return dst
}

// appendClock writes HH:MM:SS.
func appendClock(dst []byte, second int) []byte {
	h, m, s := second/3600, second/60%60, second%60
	return append(dst,
		byte('0'+h/10), byte('0'+h%10), ':',
		byte('0'+m/10), byte('0'+m%10), ':',
		byte('0'+s/10), byte('0'+s%10))
}
