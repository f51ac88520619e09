// Package parquetfile is how rows of a contract are laid out in Parquet: one schema for RAW and STAGE,
// made from the contract, and a writer that turns columns into files without rows in between.
//
// A file holds the contract's fields in the contract's order, all optional, then the technical columns
// below, all required. Decimals are INT64 with the logical type DECIMAL(18,4) (I5), timestamps INT64
// microseconds adjusted to UTC (I6), dates INT32 days since 1970.
package parquetfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/money"
)

// The technical columns, which stand behind the contract's fields in this order.
const (
	// ColumnDeleted is true for a row that says its id is gone.
	ColumnDeleted = "deleted"
	// ColumnTopic, ColumnPartition, ColumnOffset and ColumnTimestamp are the row's place in Kafka.
	ColumnTopic     = "_topic"
	ColumnPartition = "_partition"
	ColumnOffset    = "_offset"
	ColumnTimestamp = "_timestamp"
	// ColumnValue holds the record's bytes as they came.
	ColumnValue = "_value"
)

// The keys of a file's footer metadata.
const (
	MetaEntity      = "shop.entity"
	MetaVersion     = "shop.contract_version"
	MetaFirstOffset = "shop.first_offset"
	MetaLastOffset  = "shop.last_offset"
)

const (
	// pageBytes is large enough for zstd to find repeats and small enough to be checked in cache.
	pageBytes = 1 << 20
	// RowGroupRows is how many rows a row group has at most: it bounds the memory of those who read one as
	// a whole, and is the piece that goes from RAW to STAGE unread or has to be written again.
	RowGroupRows = 1 << 17
	// maxDictionaryBytes is where a column of mostly different texts goes on without its dictionary.
	maxDictionaryBytes = 256 << 10

	decimalPrecision = 18
)

// Layout is the schema of a contract's files and where its columns are. It is safe for concurrent use.
type Layout struct {
	Contract *contract.Contract
	// Schema has one leaf per field of the contract, at the field's own index, then the technical columns.
	Schema *parquet.Schema
}

// NewLayout lays out the files of a contract. It refuses a contract whose field names the technical
// columns need, or that no reader could tell from a path.
func NewLayout(c *contract.Contract) (*Layout, error) {
	technical := technicalColumns()
	nodes := parquet.Group{}
	var order []string
	var faults []error
	for i := range c.Fields {
		field := &c.Fields[i]
		if slices.ContainsFunc(technical, func(col column) bool { return col.name == field.Name }) {
			faults = append(faults, fmt.Errorf("field %q: the name belongs to a technical column of every file; rename the field", field.Name))
		}
		if strings.ContainsAny(field.Name, ".,") {
			faults = append(faults, fmt.Errorf("field %q: a Parquet column cannot have a dot or a comma in its name", field.Name))
		}
		nodes[field.Name] = fieldNode(field, i == c.Key)
		order = append(order, field.Name)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("laying out Parquet files of contract %q: %w", c.Entity, err)
	}
	for _, col := range technical {
		nodes[col.name] = col.node
		order = append(order, col.name)
	}
	return &Layout{Contract: c, Schema: parquet.NewSchema(c.Entity, orderedGroup{nodes, order})}, nil
}

// Index returns the position of a column among the leaves of the schema, or -1 for an unknown name.
// Field i of the contract is column i.
func (l *Layout) Index(name string) int {
	if i := slices.IndexFunc(technicalColumns(), func(col column) bool { return col.name == name }); i >= 0 {
		return len(l.Contract.Fields) + i
	}
	return l.Contract.Index(name)
}

// WriterOptions returns what a parquet writer needs to write files of this layout. Writers of the same
// options and compression can copy each other's row groups without decoding them.
func (l *Layout) WriterOptions(compression Compression) []parquet.WriterOption {
	return []parquet.WriterOption{
		l.Schema,
		compression.WriterOption(),
		parquet.PageBufferSize(pageBytes),
		parquet.MaxRowsPerRowGroup(RowGroupRows),
		parquet.DictionaryMaxBytes(maxDictionaryBytes),
		parquet.DataPageStatistics(true),
		// nobody looks for a record by its bytes
		parquet.SkipPageBounds(ColumnValue),
		parquet.SkipPageStatistics(ColumnValue),
	}
}

type column struct {
	name string
	node parquet.Node
}

func technicalColumns() []column {
	return []column{
		{ColumnDeleted, parquet.Encoded(parquet.Leaf(parquet.BooleanType), &parquet.RLE)},
		{ColumnTopic, parquet.Encoded(parquet.String(), &parquet.RLEDictionary)},
		{ColumnPartition, parquet.Encoded(parquet.Int(32), &parquet.RLEDictionary)},
		{ColumnOffset, packed(parquet.Int(64))},
		{ColumnTimestamp, packed(parquet.Timestamp(parquet.Microsecond))},
		{ColumnValue, parquet.Leaf(parquet.ByteArrayType)},
	}
}

func fieldNode(field *contract.Field, key bool) parquet.Node {
	var node parquet.Node
	switch field.Type {
	case contract.String:
		node = parquet.String()
		if !key {
			// names, categories, product ids: far fewer values than rows
			node = parquet.Encoded(node, &parquet.RLEDictionary)
		}
	case contract.Bool:
		node = parquet.Leaf(parquet.BooleanType)
	case contract.Decimal:
		node = packed(parquet.Decimal(money.Scale, decimalPrecision, parquet.Int64Type))
	case contract.Timestamp:
		node = packed(parquet.Timestamp(parquet.Microsecond))
	case contract.Date:
		node = packed(parquet.Date())
	default:
		node = packed(parquet.Int(64))
	}
	return parquet.Optional(node)
}

// packed stores numbers by their differences in as few bits as they need: what is left for the codec to
// look at is a fraction, and the file is not larger for it.
func packed(node parquet.Node) parquet.Node { return parquet.Encoded(node, &parquet.DeltaBinaryPacked) }

// orderedGroup keeps the columns in the contract's order; a parquet.Group sorts them by name.
type orderedGroup struct {
	parquet.Group
	order []string
}

func (g orderedGroup) Fields() []parquet.Field {
	byName := make(map[string]parquet.Field, len(g.order))
	for _, field := range g.Group.Fields() {
		byName[field.Name()] = field
	}
	fields := make([]parquet.Field, len(g.order))
	for i, name := range g.order {
		fields[i] = byName[name]
	}
	return fields
}
