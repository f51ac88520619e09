package replay

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/shop-connect/shop-connect/internal/clock"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	"github.com/shop-connect/shop-connect/internal/references"
	"github.com/shop-connect/shop-connect/internal/store"
)

// judge holds repaired rows against the contract, as every sink and STAGE will.
type judge struct {
	store    *store.Store
	contract *contract.Contract
	decoder  *columns.Decoder
	mapping  *Mapping
}

func newJudge(s *store.Store, c *contract.Contract, mapping *Mapping, shop *time.Location) *judge {
	return &judge{store: s, contract: c, decoder: columns.NewDecoder(c, columns.Valid, shop), mapping: mapping}
}

// verdict is what becomes of a row: it is good, it is still refused, or, with neither, it is left alone.
type verdict struct {
	good       bool
	value, key []byte
	reasons    []contract.Reason
	// refers holds what a good row refers to, by the index of each field that must not refer to nothing.
	refers map[int]string
}

// all returns what becomes of some rows. Without a contract, which discarding does not need, any row is good.
func (j *judge) all(ctx context.Context, items []catalog.Item) ([]verdict, error) {
	verdicts := make([]verdict, len(items))
	if j == nil {
		for i := range verdicts {
			verdicts[i].good = true
		}
		return verdicts, nil
	}
	// rules such as how far ahead a time may be are measured from now, as in the record that is sent
	j.decoder.SetNow(time.Now())
	for i := range items {
		verdicts[i] = j.try(&items[i])
	}
	return verdicts, j.refuseUnknown(ctx, verdicts)
}

func (j *judge) try(item *catalog.Item) verdict {
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
	return verdict{good: true, value: value, key: j.key(), refers: j.refers()}
}

// refers returns what the row last decoded refers to, where its contract refuses unknown references.
func (j *judge) refers() map[int]string {
	if j.decoder.Deleted() {
		return nil
	}
	var refers map[int]string
	for i := range j.contract.Fields {
		field := &j.contract.Fields[i]
		if field.References == "" || !field.RefuseUnknown || !j.decoder.Has(i) {
			continue
		}
		if refers == nil {
			refers = map[int]string{}
		}
		if field.Type == contract.String {
			refers[i] = string(j.decoder.Text(i))
		} else {
			refers[i] = field.Format(j.decoder.Int(i))
		}
	}
	return refers
}

// refuseUnknown turns good rows that refer to nothing into refused ones, as STAGE would.
func (j *judge) refuseUnknown(ctx context.Context, verdicts []verdict) error {
	for i := range j.contract.Fields {
		field, values := &j.contract.Fields[i], map[string]struct{}{}
		for _, v := range verdicts {
			if value, ok := v.refers[i]; ok {
				values[value] = struct{}{}
			}
		}
		if len(values) == 0 {
			continue
		}
		unknown, err := references.Unknown(ctx, j.store, field, values)
		if err != nil {
			return err
		}
		for n := range verdicts {
			v := &verdicts[n]
			value, ok := v.refers[i]
			if _, is := unknown[value]; ok && is {
				v.good, v.reasons = false, append(v.reasons, field.UnknownReference(value))
			}
		}
	}
	return nil
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
