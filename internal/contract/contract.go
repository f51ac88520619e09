// Package contract reads the contracts of pipelines/contracts: what a valid row of each entity is.
//
// A contract is data that people edit without recompiling. The API edge, the stage validator, the
// Parquet, Iceberg and ClickHouse sinks all take their fields, types and rules from the same file,
// so that a row which one layer accepts is never a surprise to the next.
package contract

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"gopkg.in/yaml.v3"
)

// Contract says which fields an entity's rows have and what makes a row valid.
type Contract struct {
	// Entity is the plural name of what a row is: purchases, products, customers, sellers.
	Entity string
	// Version counts the changes of the file; refused rows carry it.
	Version int
	// Doc says in a sentence what a row is.
	Doc string
	// Key is the index in Fields of the business key. The later event of one key wins.
	Key int
	// EventTime is the index in Fields of the time that decides a row's business day, or -1.
	EventTime int
	// Fields are the columns, in the order that every layer stores them.
	Fields []Field
	// Source is the YAML that the contract was read from.
	Source string
}

// Index returns the position of a field, or -1 where the contract has no such field.
func (c *Contract) Index(name string) int {
	for i := range c.Fields {
		if c.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Load reads one contract file. Every fault of the file is in the error, not just the first.
func Load(path string) (*Contract, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading contract: %w", err)
	}
	c, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading contract %q: %w", path, err)
	}
	return c, nil
}

// LoadDir reads every contract of a folder, by entity.
func LoadDir(dir string) (map[string]*Contract, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing contracts in %q: %w", dir, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("listing contracts in %q: there is no *.yaml file; name the folder that holds purchases.yaml", dir)
	}
	sort.Strings(paths)
	contracts, faults := make(map[string]*Contract, len(paths)), []error{}
	for _, path := range paths {
		c, err := Load(path)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if _, taken := contracts[c.Entity]; taken {
			faults = append(faults, fmt.Errorf("reading contract %q: entity %q already has a contract in this folder", path, c.Entity))
		}
		contracts[c.Entity] = c
	}
	return contracts, errors.Join(faults...)
}

// Parse reads a contract from YAML text.
func Parse(raw []byte) (*Contract, error) {
	var doc document
	if err := decodeStrict(raw, &doc); err != nil {
		return nil, err
	}
	c := &Contract{Entity: doc.Entity, Version: doc.Version, Doc: doc.Doc, EventTime: -1, Source: string(raw)}
	var faults []error
	if doc.Entity == "" {
		faults = append(faults, errors.New("entity: is required, for example `entity: purchases`"))
	}
	if doc.Version < 1 {
		faults = append(faults, errors.New("version: must be 1 or more"))
	}
	if len(doc.Fields) == 0 {
		faults = append(faults, errors.New("fields: at least one field is required"))
	}
	for i := range doc.Fields {
		field, err := doc.Fields[i].build()
		if err != nil {
			faults = append(faults, fmt.Errorf("fields[%d] %q: %w", i, doc.Fields[i].Name, err))
		}
		if c.Index(field.Name) >= 0 {
			faults = append(faults, fmt.Errorf("fields[%d] %q: the name is taken by an earlier field", i, field.Name))
		}
		c.Fields = append(c.Fields, field)
	}
	if c.Key = c.Index(doc.Key); c.Key < 0 {
		faults = append(faults, fmt.Errorf("key: %q is not one of the fields", doc.Key))
	}
	if doc.EventTime != "" {
		c.EventTime = c.Index(doc.EventTime)
		if c.EventTime < 0 || c.Fields[c.EventTime].Type != Timestamp {
			faults = append(faults, fmt.Errorf("event_time: %q is not a timestamp field", doc.EventTime))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return c, nil
}

func decodeStrict(raw []byte, into any) error {
	dec := yaml.NewDecoder(newReader(raw))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("parsing YAML: %w", err)
	}
	return nil
}
