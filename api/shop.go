package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Shop is what the API needs to serve the shop's own records.
type Shop struct {
	// Store keeps the records.
	Store *store.Store
	// Contracts say what is valid, by entity: the same files that the streams read.
	Contracts map[string]*contract.Contract
	// Timezone is that of times which name none.
	Timezone *time.Location
}

// check reports what is missing.
func (s *Shop) check() error {
	if s == nil {
		return nil
	}
	var faults []error
	if s.Store == nil || s.Timezone == nil {
		faults = append(faults, errors.New("constructing API: the shop's records need a store and a time zone"))
	}
	for _, entity := range []string{"products", "customers", "sellers"} {
		if s.Contracts[entity] == nil {
			faults = append(faults, fmt.Errorf("constructing API: there is no contract of %s; CONTRACTS_DIR must name the folder that holds it", entity))
		}
	}
	return errors.Join(faults...)
}

func (s *Server) registerShop() {
	s.registerProducts()
	s.registerCustomers()
	s.registerSellers()
}
