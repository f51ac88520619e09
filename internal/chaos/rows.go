package chaos

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// kind says what must become of a row.
type kind uint8

const (
	sound kind = iota
	// brokenForAPI rows are sent to the API, which refuses them into quarantine.
	brokenForAPI
	// brokenInKafka rows are written by another producer past the API: RAW or STAGE set them aside.
	brokenInKafka
)

// row is one row on its way, with the bytes that are sent.
type row struct {
	kind  kind
	event event
	text  []byte
}

// The days of the run's purchases lie around the end of a month, so that corrections move purchases from one
// month to the other.
var firstDay = time.Date(2024, 2, 24, 0, 0, 0, 0, time.UTC)

const (
	saleDays  = 12
	remember  = 400
	products  = 5
	stockEach = 1_000_000_000
)

func productID(n int) string { return fmt.Sprintf("chaos-%d", n) }

// invention makes up the rows of one client. It is used by one goroutine.
type invention struct {
	random *rand.Rand
	prefix string
	n      int
	// recent are sound events that may be repeated, corrected or deleted.
	recent []event
	// sold are ids that were sold through POST /purchases.
	sold []string
}

func newInvention(seed uint64, prefix string, client int) *invention {
	return &invention{random: rand.New(rand.NewPCG(seed, uint64(client)+1)), prefix: fmt.Sprintf("%s-%d", prefix, client)}
}

// hasty says whether the next request is not sent again whatever becomes of it, as by a client that crashes.
func (v *invention) hasty() bool { return v.random.IntN(5) == 0 }

func (v *invention) id() string {
	v.n++
	return fmt.Sprintf("%s-%06d", v.prefix, v.n)
}

func (v *invention) sale() reconcile.Sale {
	return reconcile.Sale{
		Quantity: 1 + int64(v.random.IntN(9)),
		Units:    1 + int64(v.random.IntN(9_999_999)),
		Day:      firstDay.AddDate(0, 0, v.random.IntN(saleDays)).Format(time.DateOnly),
	}
}

// fresh is a new purchase.
func (v *invention) fresh() row { return v.text(event{id: v.id(), sale: v.sale()}) }

// next is a purchase, or now and then a repeat, a correction or a deletion of an earlier one.
func (v *invention) next() row {
	if len(v.recent) > 0 {
		at := v.random.IntN(len(v.recent))
		earlier := v.recent[at]
		switch v.random.IntN(20) {
		case 0: // again, with the same content
			return v.text(earlier)
		case 1: // corrected, mostly to another day
			return v.keep(event{id: earlier.id, sale: v.sale()})
		case 2:
			v.recent = append(v.recent[:at], v.recent[at+1:]...)
			return v.text(event{id: earlier.id, deleted: true})
		case 3: // deleted before it comes
			return v.text(event{id: v.id(), deleted: true})
		}
	}
	r := v.fresh()
	return v.keep(r.event)
}

func (v *invention) keep(e event) row {
	if len(v.recent) < remember {
		v.recent = append(v.recent, e)
	} else {
		v.recent[v.random.IntN(remember)] = e
	}
	return v.text(e)
}

// text is the same for the same event, so that what is sent again is the same to the last byte.
func (v *invention) text(e event) row {
	if e.deleted {
		return row{event: e, text: fmt.Appendf(nil, `{"id":%q,"deleted":true}`, e.id)}
	}
	return row{event: e, text: fmt.Appendf(nil,
		`{"id":%q,"product_id":%q,"customer_id":%d,"seller_id":%d,"quantity":%d,"price_at_time":%s,"purchased_at":"%sT%02d:%02d:%02dZ"}`,
		e.id, productID(int(e.sale.Units%products)), 1+e.sale.Units%50, 1+e.sale.Units%5, e.sale.Quantity, money.String(e.sale.Units),
		e.sale.Day, e.sale.Units%24, e.sale.Units%60, e.sale.Units%59)}
}

// bad is a row that breaks the contract. Each is unlike all others, so that it can be told where it lies.
func (v *invention) bad(k kind) row {
	id := v.id()
	faults := []string{
		`{"id":%q,"product_id":"chaos-0","customer_id":1,"seller_id":1,"quantity":0,"price_at_time":1.5,"purchased_at":"2024-02-27T10:00:00Z"}`,
		`{"id":%q,"product_id":"chaos-0","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1.55555,"purchased_at":"2024-02-27T10:00:00Z"}`,
		`{"id":%q,"product_id":"chaos-0","customer_id":"guest","seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"2024-02-27T10:00:00Z"}`,
		`{"id":%q,"customer_id":1,"seller_id":1,"quantity":1,"price_at_time":-1,"purchased_at":"yesterday"}`,
	}
	if k == brokenInKafka {
		faults = append(faults, `this is no JSON, %q`)
	}
	return row{kind: k, text: fmt.Appendf(nil, faults[v.random.IntN(len(faults))], id)}
}
