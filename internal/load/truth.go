package load

import (
	"fmt"
	"maps"
	"slices"
)

// Truth is what must have become of the rows sent.
type Truth struct {
	// Sent is Accepted + Refused.
	Sent, Accepted, Refused int64
	// Distinct counts accepted purchases once per id: what statistics are made of.
	Distinct int64
	// Items and Revenue are those of the distinct accepted purchases.
	Items   int64
	Revenue Amount
	// Days are the business days with at least one distinct accepted purchase, in order.
	Days []Day
}

// Day is one business day of distinct accepted purchases.
type Day struct {
	Date      string
	Purchases int64
	Items     int64
	Revenue   Amount
}

// Day returns the figures of one date, zero where nothing was sold.
func (t Truth) Day(date string) Day {
	i, found := slices.BinarySearchFunc(t.Days, date, func(d Day, date string) int {
		switch {
		case d.Date < date:
			return -1
		case d.Date > date:
			return 1
		}
		return 0
	})
	if !found {
		return Day{Date: date}
	}
	return t.Days[i]
}

func (t Truth) String() string {
	return fmt.Sprintf("%d sent, %d accepted (%d distinct), %d refused, %d items, revenue %s, %d days",
		t.Sent, t.Accepted, t.Distinct, t.Refused, t.Items, t.Revenue, len(t.Days))
}

// ledger adds up a Truth while rows go out.
type ledger struct {
	sent, accepted int64
	days           map[string]*Day
}

func newLedger() *ledger { return &ledger{days: map[string]*Day{}} }

// day returns the account of one date; sources keep hold of it while they stay in that day.
func (l *ledger) day(date string) *Day {
	d, ok := l.days[date]
	if !ok {
		d = &Day{Date: date}
		l.days[date] = d
	}
	return d
}

func (l *ledger) refuse() { l.sent++ }

// repeat books a purchase whose id was accepted before: acknowledged again, counted once (I3).
func (l *ledger) repeat() { l.sent++; l.accepted++ }

func (l *ledger) accept(d *Day, price, quantity int64) {
	l.sent++
	l.accepted++
	d.Purchases++
	d.Items += quantity
	d.Revenue = d.Revenue.AddProduct(price, quantity)
}

func (l *ledger) truth() Truth {
	t := Truth{Sent: l.sent, Accepted: l.accepted, Refused: l.sent - l.accepted}
	for _, date := range slices.Sorted(maps.Keys(l.days)) {
		d := *l.days[date]
		if d.Purchases == 0 {
			continue
		}
		t.Distinct += d.Purchases
		t.Items += d.Items
		t.Revenue = t.Revenue.Add(d.Revenue)
		t.Days = append(t.Days, d)
	}
	return t
}
