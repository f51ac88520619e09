package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/store"
)

// outbox returns the events that wait, as "topic key payload", and empties the outbox.
func outbox(t *testing.T, s *store.Store) []string {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), `WITH gone AS (DELETE FROM outbox RETURNING *) SELECT topic, key, payload FROM gone ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var topic, key string
		var payload []byte
		err := row.Scan(&topic, &key, &payload)
		return topic + " " + key + " " + string(payload), err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

var lamp = store.Product{Name: "Lamp", Category: "light", Price: 199900, Stock: 3}

func TestEveryChangeOfAProductIsAnEvent(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	p, err := s.CreateProduct(ctx, lamp)
	if err != nil {
		t.Fatal(err)
	}
	price := func(v money.Amount) func(*store.Product) { return func(p *store.Product) { p.Price = v } }
	if _, err := s.UpdateProduct(ctx, p.ID, price(200001)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateProduct(ctx, p.ID, price(200001)); err != nil { // changes nothing
		t.Fatal(err)
	}
	if err := s.DeleteProduct(ctx, p.ID); err != nil {
		t.Fatal(err)
	}
	events := outbox(t, s)
	if len(events) != 3 {
		t.Fatalf("events are %q", events)
	}
	for i, want := range []string{`"price":19.99,`, `"price":20.0001,`, `"deleted":true`} {
		if !strings.HasPrefix(events[i], "products "+p.ID+` {`) || !strings.Contains(events[i], want) || !strings.Contains(events[i], `"id":"`+p.ID+`"`) {
			t.Errorf("event %d is %s, want %s", i, events[i], want)
		}
	}
}

func TestI1AChangeThatIsNotCommittedLeavesNoEvent(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	p, err := s.CreateProduct(ctx, lamp)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.CreateCustomer(ctx, store.Customer{FirstName: "Ann", LastName: "Lee", Email: "ann@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	outbox(t, s)
	// the events table refuses: so must the change
	if _, err := s.Pool().Exec(ctx, `ALTER TABLE outbox ADD CONSTRAINT nothing CHECK (false) NOT VALID`); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"create": func() error { _, err := s.CreateProduct(ctx, lamp); return err },
		"update": func() error {
			_, err := s.UpdateProduct(ctx, p.ID, func(p *store.Product) { p.Stock = 99 })
			return err
		},
		"delete":          func() error { return s.DeleteProduct(ctx, p.ID) },
		"delete customer": func() error { return s.DeleteCustomer(ctx, c.ID) },
		"create many": func() error {
			_, err := s.CreateCustomers(ctx, []store.Customer{{FirstName: "Bo", LastName: "Lee", Email: "bo@example.com"}}, setAside, nil)
			return err
		},
		"seller": func() error {
			_, err := s.CreateSeller(ctx, store.Seller{Name: "Shop", Email: "a@b", Phone: "1", Address: "x"})
			return err
		},
	} {
		if change() == nil {
			t.Errorf("%s: is committed without its event", name)
		}
	}
	var rows, stock int64
	err = s.Pool().QueryRow(ctx, `SELECT (SELECT count(*) FROM products) + (SELECT count(*) FROM customers) + (SELECT count(*) FROM sellers) + (SELECT count(*) FROM outbox),
		(SELECT stock FROM products)`).Scan(&rows, &stock)
	if err != nil || rows != 2 || stock != 3 {
		t.Errorf("there are %d rows, stock %d (%v)", rows, stock, err)
	}
}

func TestARefusedInsertLeavesNoEvent(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	ann := store.Customer{FirstName: "Ann", LastName: "Lee", Email: "ann@example.com"}
	if _, err := s.CreateCustomer(ctx, ann); err != nil {
		t.Fatal(err)
	}
	outbox(t, s)
	ann.Email = "ANN@example.com"
	var conflict *store.Conflict
	if _, err := s.CreateCustomer(ctx, ann); !errors.As(err, &conflict) || conflict.Field != "email" {
		t.Errorf("got %v", err)
	}
	p := lamp
	p.ID = "twice"
	if _, err := s.CreateProduct(ctx, p); err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateProduct(ctx, p); !errors.As(err, &conflict) || conflict.Field != "id" {
		t.Errorf("got %v", err)
	}
	if events := outbox(t, s); len(events) != 1 {
		t.Errorf("events are %q", events)
	}
}

func TestOneOfManyGetsAnEMail(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	other, err := s.CreateCustomer(ctx, store.Customer{FirstName: "Bo", LastName: "Lee", Email: "bo@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	outbox(t, s)
	var entered atomic.Int64
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			c := store.Customer{FirstName: fmt.Sprint(i), LastName: "Lee", Email: "ann@example.com"}
			var err error
			switch i % 3 {
			case 0:
				_, err = s.CreateCustomer(ctx, c)
			case 1:
				_, err = s.UpdateCustomer(ctx, other.ID, func(c *store.Customer) { c.Email, c.FirstName = "ann@example.com", fmt.Sprint(i) })
				if err == nil { // one row may take its own e-mail again and again
					return
				}
			default:
				// two bodies with the same e-mails in another order must not wait for each other
				body := []store.Customer{c, {FirstName: "x", LastName: "y", Email: fmt.Sprintf("z%d@example.com", i)}, {FirstName: "x", LastName: "y", Email: "ANN@EXAMPLE.com"}}
				if i%2 == 0 {
					body[0], body[2] = body[2], body[0]
				}
				var many []store.Customer
				if many, err = s.CreateCustomers(ctx, body, setAside, nil); err == nil {
					if many[1].ID == 0 {
						t.Error("a free e-mail is refused")
					}
					for _, c := range many {
						if strings.EqualFold(c.Email, "ann@example.com") {
							entered.Add(1)
						}
					}
					return
				}
			}
			if err == nil {
				entered.Add(1)
			} else if _, ok := errors.AsType[*store.Conflict](err); !ok {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var rows int64
	if err := s.Pool().QueryRow(ctx, `SELECT count(*) FROM customers WHERE lower(email) = 'ann@example.com'`).Scan(&rows); err != nil || rows != 1 || entered.Load() > 1 {
		t.Errorf("%d rows have the e-mail, %d were entered (%v)", rows, entered.Load(), err)
	}
}

// setAside is what becomes of a customer whose e-mail is taken.
func setAside(i int) store.Refused { return store.Refused{Value: fmt.Appendf(nil, `{"n":%d}`, i)} }

func TestManyCustomersAreToldApart(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	phone, country, segment := "1", "DE", "retail"
	entered, err := s.CreateCustomers(ctx, []store.Customer{
		{FirstName: "A", LastName: "L", Email: "a@x", Phone: &phone, Country: &country, Segment: &segment}, {FirstName: "B", LastName: "L", Email: "A@X"}, {FirstName: "C", LastName: "L", Email: "c@x"},
	}, setAside, []store.Refused{{Value: []byte(`"bad"`), Headers: map[string]string{"refused_by": "api"}}})
	if err != nil {
		t.Fatal(err)
	}
	if entered[0].ID == 0 || entered[1].ID != 0 || entered[2].ID <= entered[0].ID || *entered[0].Phone != "1" || entered[2].Phone != nil {
		t.Errorf("entered are %+v", entered)
	}
	events := outbox(t, s)
	if len(events) != 4 || events[2] != `customers.rejected  "bad"` || events[3] != `customers.rejected  {"n":1}` {
		t.Fatalf("events are %q", events)
	}
	var c store.Customer
	prefix := fmt.Sprintf("customers %d ", entered[0].ID)
	if err := json.Unmarshal([]byte(strings.TrimPrefix(events[0], prefix)), &c); err != nil || c.Email != "a@x" || c.ID != entered[0].ID || *c.Country != "DE" || *c.Segment != "retail" {
		t.Errorf("event is %s (%v)", events[0], err)
	}
}

func TestPagesByCursorMeetEveryRowOnce(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	for i := range 7 {
		p := lamp
		p.Name, p.Category = fmt.Sprint(i), []string{"light", "dark"}[i%2]
		if _, err := s.CreateProduct(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	// rows of one moment are told apart by their ids
	if _, err := s.Pool().Exec(ctx, `UPDATE products SET created_at = now()`); err != nil {
		t.Fatal(err)
	}
	for category, want := range map[string]int{"": 7, "light": 4, "none": 0, "a\x00b": 0} {
		seen := map[string]bool{}
		page := store.Page{Limit: 2}
		for {
			rows, next, err := s.Products(ctx, category, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range rows {
				seen[p.ID] = true
			}
			if next == "" {
				break
			}
			page.Cursor = next
		}
		if len(seen) != want {
			t.Errorf("category %q: %d rows, want %d", category, len(seen), want)
		}
	}
	skipped, _, err := s.Products(ctx, "", store.Page{Skip: 5, Limit: 10})
	if err != nil || len(skipped) != 2 {
		t.Errorf("got %d rows, %v", len(skipped), err)
	}
	for _, cursor := range []string{"?", "AA", "MSBhAGI", "LTEgYQ", "OTk5OTk5OTk5OTk5OTk5OTk5IGE"} {
		if _, _, err := s.Products(ctx, "", store.Page{Limit: 1, Cursor: cursor}); !errors.Is(err, store.ErrCursor) {
			t.Errorf("cursor %q: %v", cursor, err)
		}
	}
	if _, _, err := s.Sellers(ctx, store.Page{Limit: 1, Cursor: "x"}); !errors.Is(err, store.ErrCursor) {
		t.Error(err)
	}
}

func TestAnUnknownRecordIsNotFound(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	for _, id := range []string{"none", "a\x00b", "\xff"} {
		_, read := s.Product(ctx, id)
		_, update := s.UpdateProduct(ctx, id, func(*store.Product) { t.Error("changed") })
		for _, err := range []error{read, update, s.DeleteProduct(ctx, id)} {
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%q: %v", id, err)
			}
		}
	}
	_, customer := s.Customer(ctx, 1)
	_, seller := s.Seller(ctx, 1)
	for _, err := range []error{customer, seller, s.DeleteCustomer(ctx, 1), s.DeleteSeller(ctx, 1)} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	}
	if events := outbox(t, s); len(events) != 0 {
		t.Errorf("events are %q", events)
	}
}
