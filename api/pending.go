package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
)

const pathPending = "/api/v1/pending"

// Pending is what waits before each layer: whoever starts batches asks it whether there is anything to do.
type Pending struct {
	OutboxEvents int64 `json:"outbox_events" doc:"Events of the outbox that are not in Kafka yet."`
	KafkaRecords int64 `json:"kafka_records" doc:"Records of the topics that are not in RAW yet."`
	RawObjects   int64 `json:"raw_objects" doc:"Objects of RAW that are not in STAGE as they are now, as far as the ledger has heard of them: what others put into the bucket it hears of when copy_raw_to_stage runs."`
}

func (s *Server) registerPending() {
	huma.Register(s.huma, answeredInTime(s.secured(huma.Operation{
		OperationID: "pending", Method: http.MethodGet, Path: pathPending, Tags: []string{"runs"},
		Summary:     "Show what waits for a batch run",
		Description: "How much is before Kafka, before RAW and before STAGE. All of it 0 says that a batch run would find nothing to do.",
		Responses:   s.ProblemResponses(map[string]string{"503": "Kafka or the ledger is away."}),
	}, auth.ScopeRead)), inTurn(s.store, s.showPending))
}

func (s *Server) showPending(ctx context.Context, _ *struct{}) (*one[Pending], error) {
	pending, err := s.config.Pending(ctx)
	if err != nil {
		s.log.Error("answering 503", "path", pathPending, "cause", err)
		return nil, Unavailable("what waits cannot be counted; GET " + healthDetailPath + " says what is away")
	}
	return &one[Pending]{Body: pending}, nil
}
