package replay

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
)

// judge holds repaired rows against the contract, as every sink will.
type judge struct {
	contract *contract.Contract
	decoder  *columns.Decoder
	mapping  *Mapping
}

func newJudge(c *contract.Contract, mapping *Mapping, shop *time.Location) *judge {
	return &judge{contract: c, decoder: columns.NewDecoder(c, columns.Valid, shop), mapping: mapping}
}

// verdict is what becomes of a row: it is good, it is still refused, or, with neither, it is left alone.
type verdict struct {
	good       bool
	value, key []byte
	reasons    []contract.Reason
}

// begin prepares for some rows: rules such as how far ahead a time may be are measured from now, as in the
// record that is sent.
func (j *judge) begin(now time.Time) {
	if j != nil {
		j.decoder.SetNow(now)
	}
}

// try returns what becomes of a row. Without a contract, which discarding does not need, any row is good.
func (j *judge) try(item *catalog.Item) verdict {
	if j == nil {
		return verdict{good: true}
	}
	value, keep, fault := j.mapping.repair(item)
	if fault != nil {
		return verdict{reasons: []contract.Reason{*fault}}
	}
	if !keep {
		return verdict{}
	}
	reasons := j.decoder.Decode(value)
	if whole := j.complete(item, value, reasons); whole != nil {
		value, reasons = whole, j.decoder.Decode(whole)
	}
	if len(reasons) > 0 {
		return verdict{reasons: slices.Clone(reasons)}
	}
	return verdict{good: true, value: value, key: j.key()}
}

func (j *judge) key() []byte {
	field := &j.contract.Fields[j.contract.Key]
	if field.Type == contract.String {
		return bytes.Clone(j.decoder.Text(j.contract.Key))
	}
	return []byte(field.Format(j.decoder.Int(j.contract.Key)))
}

// complete adds to the row last decoded what the contract has a value for when it is left out, the same each
// time (I3): an id made from the row's source, and for a row of the API the time at which it came.
func (j *judge) complete(item *catalog.Item, value []byte, reasons []contract.Reason) (whole []byte) {
	if j.decoder.Deleted() || slices.ContainsFunc(reasons, func(r contract.Reason) bool { return r.Rule == contract.RuleJSON }) {
		return nil
	}
	for i := range j.contract.Fields {
		field, fill := &j.contract.Fields[i], ""
		wrong := func(r contract.Reason) bool { return r.Field == field.Name && r.Rule != contract.RuleRequired }
		switch {
		case j.decoder.Has(i) || slices.ContainsFunc(reasons, wrong):
		case field.Missing == contract.MissingGenerated:
			fill = item.StableID()
		case field.Missing == contract.MissingNow && item.Layer == quarantine.LayerAPI:
			fill = clock.String(item.RefusedAt)
		}
		if fill == "" {
			continue
		}
		if whole == nil {
			open := bytes.TrimRight(value, " \t\r\n")
			whole = bytes.TrimRight(bytes.Clone(open[:len(open)-1]), " \t\r\n")
		}
		if whole[len(whole)-1] != '{' {
			whole = append(whole, ',')
		}
		whole = append(append(strconv.AppendQuote(whole, field.Name), ':'), strconv.Quote(fill)...)
	}
	if whole != nil {
		whole = append(whole, '}')
	}
	return whole
}
