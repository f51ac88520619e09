package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

const (
	// maxRemembered bounds the purchases kept for being sent again.
	maxRemembered = 1024
	maxLateDays   = 5
	maxLateHours  = 3
)

// GeneratorConfig says which shop to invent. The same configuration gives the same rows, byte for
// byte: a load can be repeated, and since the ids repeat with it, nothing is counted twice.
type GeneratorConfig struct {
	Rows int64
	Seed uint64
	// Days is the length of the period; End is the day after its last one.
	Days int
	End  time.Time
	// Shares of all rows, in [0, 1): rows that break the contract, accepted rows sent a second time,
	// rows sent long after they were bought.
	Bad, Duplicates, Late float64
}

// faultsFound reports everything that is wrong with the configuration at once.
func (c GeneratorConfig) faultsFound() error {
	var all []error
	if c.Rows < 1 {
		all = append(all, fmt.Errorf("--generate must be at least 1, it is %d", c.Rows))
	}
	if c.Days < 1 || c.Days > 3660 {
		all = append(all, fmt.Errorf("--days must be between 1 and 3660, it is %d", c.Days))
	}
	for _, share := range []struct {
		flag  string
		value float64
	}{{flagBad, c.Bad}, {flagDuplicates, c.Duplicates}, {flagLate, c.Late}} {
		if !(share.value >= 0 && share.value < 1) {
			all = append(all, fmt.Errorf("--%s is a share of all rows: 0 or more and less than 1, it is %v", share.flag, share.value))
		}
	}
	if c.Bad+c.Duplicates >= 1 {
		all = append(all, fmt.Errorf("--%s and --%s leave no room for good rows: together they must stay below 1", flagBad, flagDuplicates))
	}
	return errors.Join(all...)
}

// Generator invents a shop's purchases: few products and customers make most of the trade, days and
// weeks have their rhythm, some events come late, some twice, some are broken.
type Generator struct {
	shop   *shop
	random *random
	rhythm *rhythm
	ids    idSequence
	ledger *ledger

	rows, sent int64
	days       []*Day
	dates      []string

	// Thresholds within 32 random bits.
	bad, duplicate, late uint64

	// remembered are accepted rows that may be sent again, byte for byte.
	remembered [][]byte
}

var _ Source = (*Generator)(nil)

// NewGenerator invents the shop; its rows follow one by one.
func NewGenerator(c GeneratorConfig) (*Generator, error) {
	if err := c.faultsFound(); err != nil {
		return nil, err
	}
	shop, err := newShop(c.Seed)
	if err != nil {
		return nil, err
	}
	g := &Generator{
		shop: shop, random: newRandom(c.Seed, 2), ledger: newLedger(), rows: c.Rows,
		bad:       threshold(c.Bad),
		duplicate: threshold(c.Bad + c.Duplicates),
		late:      threshold(c.Late),
	}
	end := c.End.UTC().Truncate(24 * time.Hour)
	g.ids = newIDSequence(c, end)
	calendar := make([]time.Time, c.Days)
	for i := range calendar {
		calendar[i] = end.AddDate(0, 0, i-c.Days)
		date := calendar[i].Format(time.DateOnly)
		g.dates = append(g.dates, date)
		g.days = append(g.days, g.ledger.day(date))
	}
	g.rhythm = newRhythm(c.Rows, calendar, newRandom(c.Seed, 3))
	return g, nil
}

// Products is the invented catalog.
func (g *Generator) Products() [][]byte { return g.shop.catalog }

// Rows is how many rows the generator yields.
func (g *Generator) Rows() int64 { return g.rows }

// Truth is what must have become of the rows so far.
func (g *Generator) Truth() Truth { return g.ledger.truth() }

// Append writes the next row.
func (g *Generator) Append(dst []byte) ([]byte, bool, error) {
	if g.sent == g.rows {
		return dst, false, io.EOF
	}
	g.sent++
	role := g.random.Uint64()
	day, second := g.rhythm.next(uint16(role))
	kind := role >> 32
	if kind >= g.bad && kind < g.duplicate && len(g.remembered) > 0 {
		g.ledger.repeat()
		return g.repeat(dst), true, nil
	}
	broken := fault{field: noField}
	if kind < g.bad {
		broken = faults[g.random.below(len(faults))]
	}
	if g.late > 0 {
		day, second = g.delay(day, second)
	}
	start := len(dst)
	dst = g.purchase(dst, day, second, broken)
	if broken.field != noField {
		g.ledger.refuse()
		return dst, false, nil
	}
	if uint64(uint32(role)) < 2*(g.duplicate-g.bad) {
		g.remember(dst[start:])
	}
	return dst, true, nil
}

// delay moves some purchases back in time, half of them by hours and half by days: their events
// arrive late. The first days of the period have nowhere to go back to.
func (g *Generator) delay(day, second int) (int, int) {
	bits := g.random.Uint64()
	if bits>>32 >= g.late {
		return day, second
	}
	if bits&1 == 0 {
		if back := 1 + int(bits>>1&0xff)%maxLateDays; back <= day {
			return day - back, second
		}
		return day, second
	}
	if second -= 60 + int(bits>>1&0xffff)%(maxLateHours*secondsPerHour); second >= 0 {
		return day, second
	}
	if day == 0 {
		return 0, 0
	}
	return day - 1, second + 24*secondsPerHour
}

// remember keeps a copy of a row to be sent again, soon or much later.
func (g *Generator) remember(row []byte) {
	if len(g.remembered) < maxRemembered {
		g.remembered = append(g.remembered, bytes.Clone(row))
		return
	}
	slot := &g.remembered[g.random.below(maxRemembered)]
	*slot = append((*slot)[:0], row...)
}

// repeat sends a remembered row a second time; there is no third.
func (g *Generator) repeat(dst []byte) []byte {
	i, last := g.random.below(len(g.remembered)), len(g.remembered)-1
	dst = append(dst, g.remembered[i]...)
	g.remembered[i] = g.remembered[last]
	g.remembered = g.remembered[:last]
	return dst
}

// purchase writes one row and, if nothing is broken about it, books it. The time names no zone, so
// that its date is the business day whatever the shop's zone is (I6).
func (g *Generator) purchase(dst []byte, day, second int, broken fault) []byte {
	p := &g.shop.products[g.shop.byProduct.pick(g.random.Uint64())]
	customer := g.shop.customers[g.shop.byCustomer.pick(g.random.Uint64())] + 1
	seller := g.shop.bySeller.pick(g.random.Uint64()) + 1
	bits := g.random.Uint64()
	paid := &p.prices[discount(uint8(bits))]
	pieces := quantity(uint16(bits>>8), uint8(bits>>24))

	dst = append(dst, `{"id":"`...)
	dst = g.ids.append(dst, uint64(g.sent), g.random.Uint64())
	dst = append(dst, '"', ',')
	if broken.field == fieldProduct {
		dst = broken.append(dst)
	} else {
		dst = append(append(dst, p.idField...), ',')
	}
	dst = appendInt(dst, fieldCustomer, int64(customer), &broken)
	dst = appendInt(dst, fieldSeller, int64(seller), &broken)
	dst = appendInt(dst, fieldQuantity, pieces, &broken)
	switch quoted := bits>>32&31 == 0; { // one client in thirty-two sends money as a string
	case broken.field == fieldPrice:
		dst = broken.append(dst)
	case quoted:
		dst = append(append(dst, fieldNames[fieldPrice]...), '"')
		dst = append(append(dst, paid.text...), '"', ',')
	default:
		dst = append(append(dst, fieldNames[fieldPrice]...), paid.text...)
		dst = append(dst, ',')
	}
	if broken.field == fieldPurchasedAt {
		dst = broken.append(dst)
	} else {
		dst = append(append(dst, fieldNames[fieldPurchasedAt]...), '"')
		dst = append(append(dst, g.dates[day]...), 'T')
		dst = append(appendClock(dst, second), '"', ',')
	}
	if broken.field == noField {
		g.ledger.accept(g.days[day], paid.units, pieces)
	}
	dst[len(dst)-1] = '}'
	return dst
}

func appendInt(dst []byte, f field, v int64, broken *fault) []byte {
	if broken.field == f {
		return broken.append(dst)
	}
	dst = strconv.AppendInt(append(dst, fieldNames[f]...), v, 10)
	return append(dst, ',')
}

// append writes the broken field with its comma, or nothing where the field is missing.
func (f fault) append(dst []byte) []byte {
	if f.text == "" {
		return dst
	}
	dst = append(append(dst, fieldNames[f.field]...), f.text...)
	return append(dst, ',')
}

// discount picks one of a product's prices: four in five pay the list price.
func discount(bits uint8) int {
	switch {
	case bits < 208:
		return 0
	case bits < 232:
		return 1
	case bits < 248:
		return 2
	}
	return 3
}

// quantity is mostly 1, sometimes a handful, rarely a wholesale order.
func quantity(bits uint16, more uint8) int64 {
	switch {
	case bits < 40_000:
		return 1
	case bits < 52_000:
		return 2
	case bits < 64_000:
		return 3 + int64(more)%10
	case bits < 65_400:
		return 12 * (1 + int64(more)%8)
	}
	return 100 + int64(more)*4
}
