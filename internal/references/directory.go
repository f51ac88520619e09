// Package references knows the keys of the products, customers and sellers that purchases refer to. A
// million rows are held against them without a query each: the keys of an entity are read once, kept for a
// short time in a form that is asked in nanoseconds, and only what is missing there is worth a query.
package references

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// life is how long keys are used before they are read again.
const life = 30 * time.Second

// Directory hands out the keys of entities. It is safe for concurrent use.
type Directory struct {
	store *store.Store

	mu   sync.Mutex
	kept map[string]*shelf
}

// shelf holds the keys of one entity. Who reads them anew holds the lock: others would read the same.
type shelf struct {
	mu   sync.Mutex
	keys *Keys
}

// NewDirectory makes a directory of what a database holds.
func NewDirectory(s *store.Store) *Directory {
	return &Directory{store: s, kept: map[string]*shelf{}}
}

// Check reports fields of a contract that refer to what a directory does not have.
func Check(c *contract.Contract) error {
	var faults []error
	for i := range c.Fields {
		field := &c.Fields[i]
		if field.References == "" {
			continue
		}
		switch text, kept := store.KeysOf(field.References); {
		case !kept:
			faults = append(faults, fmt.Errorf("contract %q: field %q: references: %s have no keys in PostgreSQL; refer to products, customers or sellers", c.Entity, field.Name, field.References))
		case text != (field.Type == contract.String):
			faults = append(faults, fmt.Errorf("contract %q: field %q: references: the keys of %s are no values of type %s", c.Entity, field.Name, field.References, field.Type))
		}
	}
	return errors.Join(faults...)
}

// Of returns the keys that a field's values may be.
func (d *Directory) Of(ctx context.Context, field *contract.Field) (*Keys, error) {
	d.mu.Lock()
	s := d.kept[field.References]
	if s == nil {
		s = &shelf{}
		d.kept[field.References] = s
	}
	d.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys != nil && time.Since(s.keys.readAt) < life {
		return s.keys, nil
	}
	keys := &Keys{store: d.store, entity: field.References, readAt: time.Now()}
	if err := keys.read(ctx, field.Type); err != nil {
		return nil, err
	}
	s.keys = keys
	return keys, nil
}
