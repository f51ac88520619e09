package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Customer is a person who buys, as the contract has it.
type Customer struct {
	ID        int64     `json:"customer_id"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Email     string    `json:"email" doc:"Unique among customers, whatever the case of its letters."`
	Phone     *string   `json:"phone,omitempty"`
	Country   *string   `json:"country,omitempty"`
	Segment   *string   `json:"segment,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

const customerColumns = `customer_id, first_name, last_name, email, phone, country, segment, created_at, updated_at`

func scanCustomer(row pgx.CollectableRow) (c Customer, err error) {
	err = row.Scan(&c.ID, &c.FirstName, &c.LastName, &c.Email, &c.Phone, &c.Country, &c.Segment, &c.CreatedAt, &c.UpdatedAt)
	c.CreatedAt, c.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC() // I6
	return c, err
}

// CreateCustomer enters a customer under a new id, or returns a Conflict.
func (s *Store) CreateCustomer(ctx context.Context, c Customer) (Customer, error) {
	err := s.change(ctx, "creating a customer", func(tx pgx.Tx) (err error) {
		c, err = queryOne(ctx, tx, scanCustomer, `
			INSERT INTO customers (first_name, last_name, email, phone, country, segment, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, now())) RETURNING `+customerColumns,
			c.FirstName, c.LastName, c.Email, c.Phone, c.Country, c.Segment, given(c.CreatedAt))
		if err != nil {
			return err
		}
		return publish(ctx, tx, topicCustomers, numberKey(c.ID), c)
	})
	return c, err
}

// Refused is a row on its way to the quarantine: its bytes as they came, and who refused it and why.
type Refused struct {
	Value   []byte
	Headers map[string]string
}

// CreateCustomers enters many customers in one transaction, and sets aside refused ones in the topic
// for them (I4). It returns the customers in their order; one whose e-mail is taken, by a row or by an
// earlier one of them, has no id, and goes where the refused ones go as what taken makes of its index.
func (s *Store) CreateCustomers(ctx context.Context, customers []Customer, taken func(i int) Refused, refused []Refused) ([]Customer, error) {
	entered := make([]Customer, len(customers))
	err := s.change(ctx, "creating customers", func(tx pgx.Tx) error {
		byID, err := insertCustomers(ctx, tx, customers, entered)
		if err != nil {
			return err
		}
		events := make([]event, 0, len(customers)+len(refused))
		for i := range entered {
			c, ok := byID[entered[i].ID]
			if entered[i] = c; !ok {
				refused = append(slices.Clip(refused), taken(i))
				continue
			}
			payload, err := json.Marshal(c)
			if err != nil {
				return fmt.Errorf("writing the event of customer %d: %w", c.ID, err)
			}
			events = append(events, event{topic: topicCustomers, key: numberKey(c.ID), payload: payload})
		}
		for _, row := range refused {
			events = append(events, event{topic: topicCustomers + rejectedSuffix, payload: row.Value, headers: row.Headers})
		}
		return enqueueAll(ctx, tx, events)
	})
	if err != nil {
		return nil, err
	}
	return entered, nil
}

// insertCustomers gives each customer an id, in their order, and returns those whose e-mail was free.
func insertCustomers(ctx context.Context, tx pgx.Tx, customers, numbered []Customer) (map[int64]Customer, error) {
	n := len(customers)
	first, last, emails := make([]string, n), make([]string, n), make([]string, n)
	phones, countries, segments, times := make([]*string, n), make([]*string, n), make([]*string, n), make([]*time.Time, n)
	for i, c := range customers {
		first[i], last[i], emails[i], phones[i], times[i] = c.FirstName, c.LastName, c.Email, c.Phone, given(c.CreatedAt)
		countries[i], segments[i] = c.Country, c.Segment
	}
	// Ids come before the rows, to tell which of them were entered. All transactions enter e-mails in the
	// same order, so that none waits for one that waits for it.
	rows, err := tx.Query(ctx, `SELECT nextval(pg_get_serial_sequence('customers', 'customer_id')) FROM generate_series(1, $1)`, n)
	if err != nil {
		return nil, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		numbered[i].ID = id
	}
	rows, err = tx.Query(ctx, `
		INSERT INTO customers (customer_id, first_name, last_name, email, phone, country, segment, created_at)
		SELECT id, first_name, last_name, email, phone, country, segment, coalesce(at, now())
		FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
			AS given (id, first_name, last_name, email, phone, country, segment, at)
		ORDER BY lower(email), id
		ON CONFLICT (lower(email)) DO NOTHING RETURNING `+customerColumns, ids, first, last, emails, phones, countries, segments, times)
	if err != nil {
		return nil, err
	}
	entered, err := pgx.CollectRows(rows, scanCustomer)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]Customer, len(entered))
	for _, c := range entered {
		byID[c.ID] = c
	}
	return byID, nil
}

// Customer returns one customer, or ErrNotFound.
func (s *Store) Customer(ctx context.Context, id int64) (Customer, error) {
	return readOne(ctx, s, "reading customer", scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE customer_id = $1`, id)
}

// Customers returns a page of the customers, and the cursor of the page behind it, empty where there is
// none.
func (s *Store) Customers(ctx context.Context, p Page) ([]Customer, string, error) {
	var l listing
	if p.Cursor != "" {
		id, err := parseNumberCursor(p.Cursor)
		if err != nil {
			return nil, "", fmt.Errorf("listing customers: %w", err)
		}
		l.where("customer_id < ?", id)
	}
	text, arguments := l.query(customerColumns, "customers", "customer_id DESC", p)
	return readPage(ctx, s, "listing customers", p, scanCustomer, func(c Customer) string { return numberKey(c.ID) }, text, arguments)
}

// UpdateCustomer changes a customer while nobody else can, and returns it as it is then; ErrNotFound and
// Conflict are possible. A change that changes nothing leaves no trace.
func (s *Store) UpdateCustomer(ctx context.Context, id int64, change func(*Customer)) (c Customer, err error) {
	err = s.change(ctx, "changing customer", func(tx pgx.Tx) (err error) {
		c, err = queryOne(ctx, tx, scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE customer_id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		before := c
		change(&c)
		c.Phone, c.Country, c.Segment = kept(before.Phone, c.Phone), kept(before.Country, c.Country), kept(before.Segment, c.Segment)
		if c == before {
			return nil
		}
		c, err = queryOne(ctx, tx, scanCustomer, `
			UPDATE customers SET first_name = $2, last_name = $3, email = $4, phone = $5, country = $6, segment = $7, updated_at = clock_timestamp()
			WHERE customer_id = $1 RETURNING `+customerColumns, id, c.FirstName, c.LastName, c.Email, c.Phone, c.Country, c.Segment)
		if err != nil {
			return err
		}
		return publish(ctx, tx, topicCustomers, numberKey(id), c)
	})
	return c, err
}

// DeleteCustomer removes a customer, or returns ErrNotFound. The customer's purchases stay.
func (s *Store) DeleteCustomer(ctx context.Context, id int64) error {
	return s.change(ctx, "deleting customer", func(tx pgx.Tx) error {
		var at time.Time
		err := tx.QueryRow(ctx, `DELETE FROM customers WHERE customer_id = $1 RETURNING clock_timestamp()`, id).Scan(&at)
		if err != nil {
			return err
		}
		return publishDeletion(ctx, tx, topicCustomers, numberKey(id), "customer_id", id, at)
	})
}

func numberKey(id int64) string { return strconv.FormatInt(id, 10) }
