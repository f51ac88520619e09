package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Shop is what the API needs to serve the shop's own records.
type Shop struct {
	// Store keeps the records.
	Store *store.Store
	// Contracts say what is valid, by entity: the same files that the streams read.
	Contracts map[string]*contract.Contract
	// Analytics has the purchases of all ways in. Without it there are no endpoints for purchases.
	Analytics *analytics.Reader
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
	for _, entity := range []string{"products", "customers", "sellers", "purchases"} {
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
	if s.config.Shop.Analytics != nil {
		s.registerPurchases()
		s.registerStats()
	}
}
