package replay

import (
	"slices"
	"strings"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

// Report is what a replay or a discard did, or would do.
type Report struct {
	// RunID is the run in the ledger, empty for a dry run and where there was nothing to do.
	RunID  string
	DryRun bool
	store.Counts
	// Refused sums up what could not be brought back, the most frequent first.
	Refused []Refusal
	// Troubles are objects that were passed over, and why.
	Troubles []string
}

// Refusal is a number of rows that are refused for the same reasons, and the first of them.
type Refusal struct {
	Reason  string `json:"reason"`
	Rows    int64  `json:"rows"`
	Source  string `json:"source"`
	Message string `json:"message"`
}

// refusals counts rows by their reasons.
type refusals map[string]*Refusal

// maxRefusals bounds the report; a mapping can make up any number of reasons.
const maxRefusals = 1000

func (r refusals) add(source string, reasons []contract.Reason) {
	label := quarantine.Label(quarantine.ReasonsJSON(reasons))
	if r[label] == nil && len(r) >= maxRefusals {
		label = store.OtherReasons
	}
	if r[label] == nil {
		messages := make([]string, len(reasons))
		for i, reason := range reasons {
			messages[i] = strings.TrimSpace(reason.Field + " " + reason.Message)
		}
		r[label] = &Refusal{Reason: label, Source: source, Message: strings.Join(messages, "; ")}
	}
	r[label].Rows++
}

func (r refusals) sorted() []Refusal {
	list := make([]Refusal, 0, len(r))
	for _, one := range r {
		list = append(list, *one)
	}
	slices.SortFunc(list, func(a, b Refusal) int {
		if a.Rows != b.Rows {
			return int(b.Rows - a.Rows)
		}
		return strings.Compare(a.Reason, b.Reason)
	})
	return list
}
