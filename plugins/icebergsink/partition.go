package icebergsink

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
)

// partitionField is one element of partition_by.
type partitionField struct {
	column    string
	transform iceberg.Transform
}

// name is what other engines call the partition field when they create it.
func (f partitionField) name() string {
	switch t := f.transform.(type) {
	case iceberg.IdentityTransform:
		return f.column
	case iceberg.BucketTransform:
		return f.column + "_bucket"
	case iceberg.TruncateTransform:
		return f.column + "_trunc"
	default:
		return f.column + "_" + t.String()
	}
}

func (f partitionField) String() string {
	if _, plain := f.transform.(iceberg.IdentityTransform); plain {
		return f.column
	}
	return f.transform.String() + " of " + f.column
}

// maxPartitionFields is what a partition's number is looked up by, in a key of fixed size.
const maxPartitionFields = 4

var partitionSyntax = regexp.MustCompile(`^(?:(\w+)\((?:(\d+) *, *)?(\w+)\)|(\w+))$`)

func parsePartitionFields(texts []string, schema *iceberg.Schema) ([]partitionField, error) {
	var faults []error
	if len(texts) > maxPartitionFields {
		faults = append(faults, fmt.Errorf("at most %d partition fields are supported", maxPartitionFields))
	}
	fields := make([]partitionField, 0, len(texts))
	for _, text := range texts {
		f, err := parsePartitionField(strings.TrimSpace(text), schema)
		if err != nil {
			faults = append(faults, fmt.Errorf("%q: %w", text, err))
			continue
		}
		fields = append(fields, f)
	}
	if len(faults) == 0 {
		_, err := partitionSpec(fields, schema)
		faults = append(faults, err)
	}
	return fields, errors.Join(faults...)
}

func parsePartitionField(text string, schema *iceberg.Schema) (f partitionField, err error) {
	m := partitionSyntax.FindStringSubmatch(text)
	if m == nil {
		return f, errors.New("must be a column or one of year(c), month(c), day(c), hour(c), bucket(n, c), truncate(n, c)")
	}
	f.column, f.transform = m[4], iceberg.IdentityTransform{}
	if m[4] == "" {
		name := m[1]
		if m[2] != "" {
			name += "[" + m[2] + "]"
		}
		f.column = m[3]
		if f.transform, err = iceberg.ParseTransform(name); err != nil {
			return f, err
		}
	}
	column, found := schema.FindFieldByName(f.column)
	if !found {
		return f, fmt.Errorf("there is no column %q", f.column)
	}
	switch f.transform.(type) {
	case iceberg.UnknownTransform, iceberg.VoidTransform:
		return f, errors.New("the transform is unknown; use year, month, day, hour, bucket(n, c) or truncate(n, c)")
	}
	if !f.transform.CanTransform(column.Type) {
		return f, fmt.Errorf("%s does not work on a %s", f.transform, column.Type)
	}
	return f, nil
}

func partitionSpec(fields []partitionField, schema *iceberg.Schema) (iceberg.PartitionSpec, error) {
	options := make([]iceberg.PartitionOption, len(fields))
	for i, f := range fields {
		options[i] = iceberg.AddPartitionFieldByName(f.column, f.name(), f.transform, schema, nil)
	}
	return iceberg.NewPartitionSpecOpts(options...)
}

// checkSpec wants the table partitioned as the YAML says: a deletion is written into the partition of
// the row that it removes, and that has to be the partition the row was written into.
func checkSpec(tbl *table.Table, want []partitionField) error {
	spec := tbl.Spec()
	var have []string
	for _, f := range spec.Fields() {
		column, _ := tbl.Schema().FindColumnName(f.SourceID())
		have = append(have, partitionField{column, f.Transform}.String())
	}
	wanted := make([]string, len(want))
	for i, f := range want {
		wanted[i] = f.String()
	}
	if a, b := strings.Join(have, ", "), strings.Join(wanted, ", "); a != b {
		return fmt.Errorf("the table is partitioned by [%s], %s says [%s]: change one of them", a, fieldPartitionBy, b)
	}
	return nil
}

// value is one value of a column as columns.Column holds it: Text for strings, Int for the rest.
type value struct {
	null bool
	num  int64
	text string
}

// source is a column that partitions are computed from. The key is never one: whoever looks for a
// key's old row has the key itself.
type source struct {
	name   string
	typ    iceberg.Type
	column int // in the contract, or dayColumnIndex
}

const dayColumnIndex = -1

// partitions numbers the partitions that rows lie in, so that a remembered key costs four bytes for
// its place and not a tuple.
type partitions struct {
	sources []source
	fields  []boundField
	numbers map[partitionTuple]uint32
	// samples holds, per number, source values that lead to this partition.
	samples [][]value
	texts   map[string]int64
	row     []value
}

type boundField struct {
	source    int
	transform iceberg.Transform
}

// partitionTuple holds the transformed values and, last, a bit for each that is null.
type partitionTuple [maxPartitionFields + 1]int64

func newPartitions(cfg *config, schema *iceberg.Schema) *partitions {
	p := &partitions{numbers: map[partitionTuple]uint32{}, texts: map[string]int64{}}
	key := cfg.contract.Fields[cfg.contract.Key].Name
	for _, f := range cfg.partitionBy {
		if f.column == key {
			continue
		}
		p.fields = append(p.fields, boundField{p.source(cfg, schema, f.column), f.transform})
	}
	p.row = make([]value, len(p.sources))
	return p
}

func (p *partitions) source(cfg *config, schema *iceberg.Schema, name string) int {
	for i := range p.sources {
		if p.sources[i].name == name {
			return i
		}
	}
	field, _ := schema.FindFieldByName(name)
	s := source{name: name, typ: field.Type, column: cfg.contract.Index(name)}
	if name == cfg.dayColumn {
		s.column = dayColumnIndex
	}
	p.sources = append(p.sources, s)
	return len(p.sources) - 1
}

// ofRow numbers the partition of a row of a batch.
func (p *partitions) ofRow(b *columns.Batch, row int) uint32 {
	for i := range p.sources {
		s := &p.sources[i]
		if s.column == dayColumnIndex {
			p.row[i] = value{num: int64(b.Day[row])}
			continue
		}
		col := &b.Columns[s.column]
		v := value{null: col.Null[row]}
		if b.Contract.Fields[s.column].Type == contract.String {
			v.text = string(col.Text.At(row))
		} else {
			v.num = col.Int[row]
		}
		p.row[i] = v
	}
	return p.of(p.row)
}

// of numbers the partition that source values lead to. It keeps no reference to them.
func (p *partitions) of(row []value) uint32 {
	var tuple partitionTuple
	for i := range p.fields {
		f := &p.fields[i]
		v := p.transformed(f, row[f.source])
		if v.null {
			tuple[maxPartitionFields] |= 1 << i
		}
		tuple[i] = v.num
	}
	number, known := p.numbers[tuple]
	if !known {
		number = uint32(len(p.samples))
		p.numbers[tuple] = number
		p.samples = append(p.samples, append([]value(nil), row...))
	}
	return number
}

func (p *partitions) transformed(f *boundField, v value) value {
	if v.null {
		return v
	}
	typ := p.sources[f.source].typ
	if _, plain := f.transform.(iceberg.IdentityTransform); !plain {
		v = fromLiteral(f.transform.Apply(iceberg.Optional[iceberg.Literal]{Val: v.literal(typ), Valid: true}))
	}
	if v.text != "" {
		n, known := p.texts[v.text]
		if !known {
			n = int64(len(p.texts)) + 1
			p.texts[v.text] = n
		}
		v.num = n
	}
	return v
}
