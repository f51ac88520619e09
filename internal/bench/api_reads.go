package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

const (
	readsRate = 500
	reads     = 2_000
	pageReads = 20
	pageSize  = 100
	// stride is how many rows a request may pass over to come to a deep page.
	stride = 100_000
)

// measureReads times what a client reads: the purchases that it has just made, and pages of the list.
func (s *apiBench) measureReads(ctx context.Context, b *bench) error {
	byID, _, err := openLoop(readsRate, reads, func(n int) error {
		_, err := s.ask(ctx, http.MethodGet, "/purchases/"+saleID(n), "", nil)
		return err
	})
	if err != nil {
		return err
	}
	b.notef("GET /purchases/{id} at %d/s: %s.", readsRate, byID)

	// as deep as there are rows, in steps that the API allows
	var cursor string
	depth := int64(0)
	for depth+stride+pageSize < b.truth.Distinct {
		next, err := s.page(ctx, cursor, stride)
		if err != nil {
			return err
		}
		if next == "" {
			break
		}
		cursor, depth = next, depth+stride+pageSize
	}
	first, err := s.pages(ctx, "")
	if err != nil {
		return err
	}
	deep, err := s.pages(ctx, cursor)
	if err != nil {
		return err
	}
	b.notef("GET /purchases, a page of %d: the first %s; behind %d others %s; ratio %.2f.", pageSize, first, depth, deep,
		float64(deep.percentile(50))/float64(first.percentile(50)))
	return nil
}

func (s *apiBench) pages(ctx context.Context, cursor string) (latencies, error) {
	return oneByOne(pageReads, func(int) error {
		_, err := s.page(ctx, cursor, 0)
		return err
	})
}

// page returns the cursor of the page behind.
func (s *apiBench) page(ctx context.Context, cursor string, skip int) (string, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	if skip > 0 {
		query.Set("skip", strconv.Itoa(skip))
	}
	header, err := s.ask(ctx, http.MethodGet, "/purchases?"+query.Encode(), "", nil)
	if err != nil {
		return "", fmt.Errorf("listing purchases: %w", err)
	}
	return header.Get("X-Next-Cursor"), nil
}
