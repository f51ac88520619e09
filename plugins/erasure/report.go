package erasure

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/store"
)

// The layers, as the report names them.
const (
	layerPostgres   = "postgresql"
	layerKafka      = "kafka"
	layerRaw        = "raw"
	layerStage      = "stage"
	layerQuarantine = "quarantine"
	layerClickHouse = "clickhouse"
	layerIceberg    = "iceberg"
)

// done is what was done in one layer.
type done struct {
	// Rows, records or rows of a table, that were the person's and are not any more.
	Rows int64 `json:"rows"`
	// Objects that were written anew, of as many Bytes, and how many were Looked at.
	Objects int64 `json:"objects,omitempty"`
	Bytes   int64 `json:"bytes,omitempty"`
	Looked  int64 `json:"looked_at,omitempty"`
	// Unreadable objects are no Parquet files and hold nothing of the person as plain text.
	Unreadable int64 `json:"unreadable,omitempty"`
	// Snapshots that were expired because they had files with the person.
	Snapshots int64 `json:"snapshots,omitempty"`
}

// remains is what cannot be taken away now, and when it goes.
type remains struct {
	Layer string `json:"layer"`
	What  string `json:"what"`
	Until string `json:"until"`
}

// report is what became of a person. It names nobody.
type report struct {
	CustomerID int64            `json:"customer_id"`
	Layers     map[string]*done `json:"layers"`
	Remains    []remains        `json:"remains"`
}

func newReport(customer int64) *report {
	r := &report{CustomerID: customer, Layers: map[string]*done{}, Remains: []remains{}}
	for _, layer := range []string{layerPostgres, layerKafka, layerRaw, layerStage, layerQuarantine, layerClickHouse, layerIceberg} {
		r.Layers[layer] = &done{}
	}
	return r
}

func (r *report) remain(layer, what, until string) {
	r.Remains = append(r.Remains, remains{layer, what, until})
	slices.SortStableFunc(r.Remains, func(a, b remains) int { return cmp.Compare(a.Layer, b.Layer) })
}

// counts are those of the run: what was the person's came in, and went out as nobody's.
func (r *report) counts() (c store.Counts) {
	for _, d := range r.Layers {
		c.RowsIn += d.Rows
		c.Objects += d.Objects
		c.Bytes += d.Bytes
		c.ObjectsUnchanged += d.Looked - d.Objects
	}
	c.RowsOut = c.RowsIn
	if c == (store.Counts{}) {
		c.ObjectsUnchanged = 1 // the message itself: a run is to know that it was looked at
	}
	return c
}

func (r *report) String() string {
	c := r.counts()
	return fmt.Sprintf("%s rows erased, %s objects rewritten; %d things remain for a time, see the report", progress.Thousands(c.RowsIn), progress.Thousands(c.Objects), len(r.Remains))
}
