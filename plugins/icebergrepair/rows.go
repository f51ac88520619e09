package icebergrepair

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go/table"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/dimension"
)

// repaired are rows as they are to be, of one state of the table.
type repaired struct {
	schema  *arrow.Schema
	records []arrow.RecordBatch
	rows    int
	// keys are theirs, as text.
	keys map[string]struct{}
	// missing is what each file that was read to its end still lacks.
	missing map[string][]map[string]struct{}
	// whole says that all files were read to their ends.
	whole bool
}

func (r *repaired) release() {
	for _, rec := range r.records {
		rec.Release()
	}
	r.records = nil
}

// cell is one value of a row that is being repaired.
type cell struct {
	set  bool
	num  int64
	text string
}

// read reads the rows of files that lack something, deletes applied, and fills in what is known by now. It
// stops once it has limit of them.
func (p *processor) read(ctx context.Context, tbl *table.Table, tasks []table.FileScanTask, limit int) (*repaired, error) {
	schema, err := table.SchemaToArrowSchema(tbl.Schema(), nil, true, false)
	if err != nil {
		return nil, fmt.Errorf("reading the table's schema: %w", err)
	}
	out := &repaired{schema: schema, keys: map[string]struct{}{}, missing: map[string][]map[string]struct{}{}}
	for _, task := range tasks {
		whole, err := p.readFile(ctx, tbl, task, limit, out)
		if err != nil {
			out.release()
			return nil, fmt.Errorf("reading file %q to repair it: %w", task.File.FilePath(), err)
		}
		if !whole {
			return out, nil
		}
	}
	out.whole = true
	return out, nil
}

func (p *processor) readFile(ctx context.Context, tbl *table.Table, task table.FileScanTask, limit int, out *repaired) (whole bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	scan := tbl.Scan(table.WithCaseSensitive(true))
	defer scan.Close()
	_, records, err := scan.ReadTasks(ctx, []table.FileScanTask{task})
	if err != nil {
		return false, err
	}
	missing := make([]map[string]struct{}, len(p.cfg.join.Lookups))
	for i := range missing {
		missing[i] = map[string]struct{}{}
	}
	for rec, err := range records {
		if err != nil {
			return false, err
		}
		err := p.repairRecord(ctx, rec, missing, out)
		rec.Release()
		if err != nil || out.rows >= limit {
			return false, err
		}
	}
	out.missing[task.File.FilePath()] = missing
	return true, nil
}

// repairRecord adds what of a record can be repaired to out.
func (p *processor) repairRecord(ctx context.Context, rec arrow.RecordBatch, missing []map[string]struct{}, out *repaired) error {
	found := make(map[int]map[int]cell) // by row and field
	known := p.set.Read()
	defer known.Done()
	times, err := p.times(rec)
	if err != nil {
		return err
	}
	for i := range p.cfg.join.Lookups {
		l := &p.cfg.join.Lookups[i]
		mark, key, err := marked(rec, l)
		if err != nil {
			return err
		}
		for row := range int(rec.NumRows()) {
			if mark.IsValid(row) && mark.Value(row) {
				continue
			}
			k, ok := key(row)
			if !ok {
				continue
			}
			members, has := known.Members(i, []byte(k), times(row))
			if has {
				has = p.take(members, l, found, row)
			}
			if !has && !known.Has(i, []byte(k)) {
				missing[i][k] = struct{}{}
			}
		}
	}
	if len(found) == 0 {
		return nil
	}
	return p.build(ctx, rec, found, out)
}

// times returns the time of each row.
func (p *processor) times(rec arrow.RecordBatch) (func(row int) int64, error) {
	if p.cfg.join.At == "" {
		return func(int) int64 { return math.MaxInt64 }, nil
	}
	at, ok := column(rec, p.cfg.join.At).(*array.Timestamp)
	if !ok {
		return nil, fmt.Errorf("reading column %q: it must be a timestamp", p.cfg.join.At)
	}
	return func(row int) int64 {
		if at.IsNull(row) {
			return math.MaxInt64
		}
		return int64(at.Value(row))
	}, nil
}

// take notes what a row gets; it gets nothing that its contract would refuse.
func (p *processor) take(members []byte, l *dimension.Lookup, found map[int]map[int]cell, row int) bool {
	object := append(append([]byte{'{'}, members...), '}')
	if len(p.decoder.Decode(object)) > 0 {
		return false
	}
	cells := found[row]
	if cells == nil {
		cells = map[int]cell{}
		found[row] = cells
	}
	note := func(name string) {
		i := p.cfg.contract.Index(name)
		c := cell{set: p.decoder.Has(i)}
		switch {
		case !c.set:
		case p.cfg.contract.Fields[i].Type == contract.String:
			c.text = string(p.decoder.Text(i))
		default:
			c.num = p.decoder.Int(i)
		}
		cells[i] = c
	}
	for _, add := range l.Add {
		note(add.Name)
	}
	note(l.Known)
	return true
}

// build makes a record of the rows that are repaired: what was found, and all else as it is, columns too that
// the contract does not know.
func (p *processor) build(ctx context.Context, rec arrow.RecordBatch, found map[int]map[int]cell, out *repaired) error {
	rows := make([]int64, 0, len(found))
	for row := range int(rec.NumRows()) {
		if found[row] != nil {
			rows = append(rows, int64(row))
		}
	}
	indices := array.NewInt64Builder(memory.DefaultAllocator)
	indices.AppendValues(rows, nil)
	picked := indices.NewInt64Array()
	indices.Release()
	defer picked.Release()

	arrays := make([]arrow.Array, 0, out.schema.NumFields())
	defer func() {
		for _, a := range arrays {
			a.Release()
		}
	}()
	for _, field := range out.schema.Fields() {
		old := column(rec, field.Name)
		if old == nil {
			return fmt.Errorf("reading column %q: it is not there", field.Name)
		}
		taken, err := compute.TakeArray(ctx, old, picked)
		if err == nil && !arrow.TypeEqual(taken.DataType(), field.Type) {
			wide := taken
			taken, err = compute.CastToType(ctx, wide, field.Type)
			wide.Release()
		}
		if err != nil {
			return fmt.Errorf("copying column %q: %w", field.Name, err)
		}
		if i := p.cfg.contract.Index(field.Name); i >= 0 && p.filled(field.Name) {
			old := taken
			taken, err = fill(old, rows, found, i, p.cfg.contract.Fields[i].Type)
			old.Release()
			if err != nil {
				return fmt.Errorf("filling column %q: %w", field.Name, err)
			}
		}
		arrays = append(arrays, taken)
	}
	made := array.NewRecordBatch(out.schema, arrays, int64(len(rows)))
	if err := noteKeys(made, p.cfg.contract, out.keys); err != nil {
		made.Release()
		return err
	}
	out.records = append(out.records, made)
	out.rows += len(rows)
	return nil
}

// filled says whether a repair writes a column.
func (p *processor) filled(name string) bool {
	for i := range p.cfg.join.Lookups {
		l := &p.cfg.join.Lookups[i]
		if l.Known == name {
			return true
		}
		for _, add := range l.Add {
			if add.Name == name {
				return true
			}
		}
	}
	return false
}

// fill returns a column with what was found in it.
func fill(old arrow.Array, rows []int64, found map[int]map[int]cell, field int, kind contract.Type) (arrow.Array, error) {
	b := array.NewBuilder(memory.DefaultAllocator, old.DataType())
	defer b.Release()
	for i, row := range rows {
		c, ok := found[int(row)][field]
		if !ok {
			if err := appendOld(b, old, i); err != nil {
				return nil, err
			}
			continue
		}
		if !c.set {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.StringBuilder:
			b.Append(c.text)
		case *array.BooleanBuilder:
			b.Append(c.num != 0)
		case *array.Int64Builder:
			b.Append(c.num)
		case *array.Decimal128Builder:
			b.Append(decimal128.FromI64(c.num)) // I5: ten-thousandths, as the table's scale of 4
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(c.num))
		case *array.Date32Builder:
			b.Append(arrow.Date32(c.num))
		default:
			return nil, fmt.Errorf("a %s cannot be written to a column of type %s", kind, old.DataType())
		}
	}
	return b.NewArray(), nil
}

func appendOld(b array.Builder, old arrow.Array, i int) error {
	if old.IsNull(i) {
		b.AppendNull()
		return nil
	}
	return b.AppendValueFromString(old.ValueStr(i))
}

// noteKeys adds the keys of a record.
func noteKeys(rec arrow.RecordBatch, c *contract.Contract, into map[string]struct{}) error {
	switch keys := column(rec, c.Fields[c.Key].Name).(type) {
	case interface {
		arrow.Array
		Value(int) string
	}:
		for i := range keys.Len() {
			into[keys.Value(i)] = struct{}{}
		}
	case *array.Int64:
		for i := range keys.Len() {
			into[keys.ValueStr(i)] = struct{}{}
		}
	default:
		return fmt.Errorf("reading keys: column %q must be a string or a long", c.Fields[c.Key].Name)
	}
	return nil
}
