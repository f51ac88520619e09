package api

import (
	"context"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
	replays "github.com/shop-connect/shop-connect/internal/quarantine/replay"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	quarantinePath = "/api/v1/quarantine"
	// quarantineAge is how old counts may be: within it, a request costs one query and no listing.
	quarantineAge     = 5 * time.Second
	quarantineTimeout = 30 * time.Second
	// A request reads the samples out of at most so many objects, and shows so much of each row.
	sampleObjects = 10
	sampleBytes   = 1024
	maxWhole      = 100
)

// Quarantine is what the API needs to show refused rows and to bring them back.
type Quarantine struct {
	Store   *store.Store
	Catalog *catalog.Catalog
	Engine  *replays.Engine
}

type quarantineQuery struct {
	Entity  string      `query:"entity" maxLength:"100" doc:"Only of this entity."`
	Layer   string      `query:"layer" maxLength:"100" doc:"Only what this layer refused: api, raw, stage, clickhouse, iceberg."`
	Day     optionalDay `query:"day" doc:"Only of this day."`
	Reason  string      `query:"reason" maxLength:"200" doc:"Only rows that were first refused for something that holds this text."`
	Source  string      `query:"source" maxLength:"1000" doc:"Only samples whose source begins with this text."`
	All     bool        `query:"all" doc:"Also what was replayed or discarded."`
	Samples int         `query:"samples" minimum:"0" maximum:"50" default:"3" doc:"How many rows to show."`
}

func (q *quarantineQuery) filter() catalog.Filter {
	return catalog.Filter{Source: q.Source, QuarantineFilter: store.QuarantineFilter{
		Entity: q.Entity, Layer: q.Layer, Day: string(q.Day), Reason: q.Reason, PendingOnly: !q.All,
	}}
}

type quarantineView struct {
	Rows    int64                   `json:"rows" doc:"How many rows the counts are about. A record that several layers refused counts in each."`
	Open    int64                   `json:"open" doc:"How many of them are still in quarantine."`
	Counts  []store.QuarantineCount `json:"counts"`
	Objects []quarantineObject      `json:"objects" doc:"Objects that were refused whole, or cannot be read; the first 100."`
	Samples []quarantineSample      `json:"samples" doc:"Some rows, of the newest days first."`
}

type quarantineObject struct {
	Entity string     `json:"entity"`
	Key    string     `json:"key"`
	Bytes  int64      `json:"bytes"`
	Reason string     `json:"reason"`
	Fate   store.Fate `json:"fate" doc:"What became of it: replayed or discarded; empty where it is open."`
}

type quarantineSample struct {
	Entity          string            `json:"entity"`
	Layer           string            `json:"layer"`
	RefusedAt       time.Time         `json:"refused_at"`
	Source          string            `json:"source" doc:"Where the row stood: topic-partition-offset, request#index, or object#row."`
	ContractVersion int64             `json:"contract_version"`
	Reasons         []contract.Reason `json:"reasons"`
	ReplayRun       string            `json:"replay_run,omitempty" doc:"The last run that could not bring the row back."`
	ReplayReasons   []contract.Reason `json:"replay_reasons,omitempty" doc:"Why that run could not."`
	Text            string            `json:"text,omitempty" doc:"The row as it came, where it is text."`
	Bytes           []byte            `json:"bytes,omitempty" doc:"The row as it came, in Base64, where it is no text."`
	Size            int               `json:"size" doc:"How many bytes the row has."`
	Truncated       bool              `json:"truncated" doc:"Only its beginning is shown."`
}

func (s *Server) registerQuarantine() {
	huma.Register(s.huma, s.secured(huma.Operation{
		OperationID: "quarantine", Method: http.MethodGet, Path: quarantinePath, Tags: []string{"quarantine"},
		Summary:     "Count refused rows, and show some",
		Description: "By entity, layer, day and reasons, a few seconds after they were refused.",
		Responses:   s.ProblemResponses(map[string]string{"422": "A parameter is not valid.", "503": "The quarantine is away."}),
	}, auth.ScopeRead), s.showQuarantine)
	s.registerQuarantineRuns()
}

func (s *Server) quarantineAway(err error) error {
	s.log.Error("answering 503", "path", quarantinePath, "cause", err)
	return Unavailable("the quarantine cannot be read; ask again later")
}

func (s *Server) showQuarantine(ctx context.Context, q *quarantineQuery) (*one[quarantineView], error) {
	ctx, cancel := context.WithTimeout(ctx, quarantineTimeout)
	defer cancel()
	desk, filter := s.config.Quarantine, q.filter()
	if err := answersInTime(ctx, desk.Store); err != nil { // what follows may take long for good reasons
		return nil, s.quarantineAway(err)
	}
	if err := desk.Catalog.RefreshWithin(ctx, quarantineAge); err != nil {
		return nil, s.quarantineAway(err)
	}
	counts, err := desk.Store.QuarantineCounts(ctx, filter.QuarantineFilter)
	if err != nil {
		return nil, s.quarantineAway(err)
	}
	whole, err := desk.Store.WholeQuarantineObjects(ctx, filter.QuarantineFilter, maxWhole)
	if err != nil {
		return nil, s.quarantineAway(err)
	}
	view := quarantineView{Counts: counts, Objects: []quarantineObject{}, Samples: []quarantineSample{}}
	for _, c := range counts {
		view.Rows, view.Open = view.Rows+c.Rows, view.Open+c.Open
	}
	for _, o := range whole {
		view.Objects = append(view.Objects, quarantineObject{Entity: o.Entity, Key: o.Key, Bytes: o.Bytes, Reason: o.Fault, Fate: o.Fate})
	}
	if q.Samples > 0 {
		items, err := desk.Catalog.Samples(ctx, filter, q.Samples, sampleObjects)
		if err != nil {
			return nil, s.quarantineAway(err)
		}
		for i := range items {
			view.Samples = append(view.Samples, sampleOf(&items[i].Row))
		}
	}
	return &one[quarantineView]{Body: view}, nil
}

func answersInTime(ctx context.Context, st *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return st.Ping(ctx)
}

func sampleOf(row *quarantine.Row) quarantineSample {
	sample := quarantineSample{
		Entity: row.Entity, Layer: row.Layer, RefusedAt: time.UnixMicro(row.RefusedAt).UTC(), Source: row.Source,
		ContractVersion: row.ContractVersion, Reasons: quarantine.ReadReasons(row.Reasons), ReplayRun: row.ReplayRun, Size: len(row.Value),
	}
	if row.ReplayReasons != "" {
		sample.ReplayReasons = quarantine.ReadReasons(row.ReplayReasons)
	}
	value := row.Value
	if sample.Truncated = len(value) > sampleBytes; sample.Truncated {
		value = value[:sampleBytes]
		// not amid a character
		for cut := 1; cut < utf8.UTFMax && !utf8.Valid(value); cut++ {
			value = value[:len(value)-1]
		}
	}
	if utf8.Valid(value) {
		sample.Text = string(value)
	} else {
		sample.Bytes = value
	}
	return sample
}
