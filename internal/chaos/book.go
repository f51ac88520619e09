package chaos

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

// event is what one client says of one purchase: a sale, a correction, or its deletion.
type event struct {
	id      string
	deleted bool
	sale    reconcile.Sale
}

// fate is what is known of an event.
type fate struct {
	// acked events must be in Kafka; others that were attempted may be.
	acked bool
	// seen counts records of it in Kafka.
	seen int
}

// book is the truth: what was attempted, and what was acknowledged. It is kept by those who send.
type book struct {
	mu     sync.Mutex
	events map[event]*fate
	// broken rows are known by their bytes: those that the API refuses, and those that others wrote to Kafka.
	refused, broken map[string]*fate

	attempted, acked, unknown int64
	violations                []string
}

func newBook() *book {
	return &book{events: map[event]*fate{}, refused: map[string]*fate{}, broken: map[string]*fate{}}
}

// attempt notes what is about to be sent.
func (b *book) attempt(rows []row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range rows {
		b.attempted++
		b.fate(r)
	}
}

// fate finds the account of a row, and opens it. The caller holds the lock.
func (b *book) fate(r row) *fate {
	switch r.kind {
	case sound:
		return account(b.events, r.event)
	case brokenForAPI:
		return account(b.refused, string(r.text))
	}
	return account(b.broken, string(r.text))
}

func account[K comparable](accounts map[K]*fate, key K) *fate {
	f := accounts[key]
	if f == nil {
		f = &fate{}
		accounts[key] = f
	}
	return f
}

// acknowledge notes that a server has promised to keep the rows.
func (b *book) acknowledge(rows []row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked += int64(len(rows))
	for _, r := range rows {
		b.fate(r).acked = true
	}
}

// giveUp notes that nobody will ever know from the server what became of the rows.
func (b *book) giveUp(rows []row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.unknown += int64(len(rows))
}

// violatef notes an answer that no fault excuses.
func (b *book) violatef(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.violations) < 20 {
		b.violations = append(b.violations, fmt.Sprintf(format, args...))
	}
}

// parseEvent reads a record of the topic; ok is false where it is no sound purchase.
func parseEvent(value []byte) (e event, ok bool) {
	var fields struct {
		ID          string          `json:"id"`
		Deleted     bool            `json:"deleted"`
		Quantity    int64           `json:"quantity"`
		Price       json.RawMessage `json:"price_at_time"`
		PurchasedAt string          `json:"purchased_at"`
	}
	if json.Unmarshal(value, &fields) != nil || fields.ID == "" {
		return event{}, false
	}
	if fields.Deleted {
		return event{id: fields.ID, deleted: true}, true
	}
	units, err := money.Parse([]byte(strings.Trim(string(fields.Price), `"`)))
	if err != nil || len(fields.PurchasedAt) < len("2006-01-02") {
		return event{}, false
	}
	return event{id: fields.ID, sale: reconcile.Sale{Quantity: fields.Quantity, Units: units, Day: fields.PurchasedAt[:10]}}, true
}

func (b *book) totals() (attempted, unknown int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attempted, b.unknown
}

func (b *book) takeViolations() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.violations
	b.violations = nil
	return taken
}
