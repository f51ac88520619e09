package contract

import (
	"errors"
	"fmt"
	"slices"
)

// CheckSuccessor reports why a contract cannot follow an earlier version of itself without rewriting what
// is stored: RAW, STAGE, Iceberg and ClickHouse hold rows of both, and are read as one table. A field may
// be added if it is optional; a required one may become optional; rules may change, since they judge only
// rows to come.
func CheckSuccessor(old, next *Contract) error {
	if equal(old, next) {
		return nil
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if next.Version <= old.Version {
		fault("version: is %d, and %d is in use with other fields: raise it", next.Version, old.Version)
	}
	if was, is := old.Fields[old.Key].Name, next.Fields[next.Key].Name; was != is {
		fault("key: was %q, is %q: rows stored so far would not be found again", was, is)
	}
	if was, is := old.eventTimeName(), next.eventTimeName(); was != is {
		fault("event_time: was %q, is %q: rows stored so far lie under the days of the old one", was, is)
	}
	for i := range old.Fields {
		was := &old.Fields[i]
		switch at := next.Index(was.Name); {
		case at < 0:
			fault("field %q: is gone; keep it, without `required`, since stored rows have it", was.Name)
		case next.Fields[at].Type != was.Type:
			fault("field %q: was %s, is %s; add a field of another name", was.Name, was.Type, next.Fields[at].Type)
		case next.Fields[at].Required && !was.Required:
			fault("field %q: was optional, is required; stored rows may lack it", was.Name)
		}
	}
	for i := range next.Fields {
		if field := &next.Fields[i]; old.Index(field.Name) < 0 && field.Required {
			fault("field %q: is new and required; rows stored and clients in use lack it: leave `required` out", field.Name)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("contract %q version %d cannot follow version %d: %w", next.Entity, next.Version, old.Version, err)
	}
	return nil
}

func (c *Contract) eventTimeName() string {
	if c.EventTime < 0 {
		return ""
	}
	return c.Fields[c.EventTime].Name
}

// equal compares what is stored of rows, and nothing that only judges them.
func equal(a, b *Contract) bool {
	return a.Fields[a.Key].Name == b.Fields[b.Key].Name && a.eventTimeName() == b.eventTimeName() &&
		slices.EqualFunc(a.Fields, b.Fields, func(x, y Field) bool {
			return x.Name == y.Name && x.Type == y.Type && x.Required == y.Required
		})
}
