package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/runs"
	"github.com/shop-connect/shop-connect/internal/store"
)

// erasureStream is the batch stream that erases a customer.
const erasureStream = "erase_customer"

type customerDeletion struct {
	ID    int64 `path:"customer_id" minimum:"1" doc:"The customer's number."`
	Erase bool  `query:"erase" default:"false" doc:"Whether everything that tells of the person goes from every layer: a batch run does it, which is answered. The purchases stay in the statistics."`
}

// deletion is the answer of a deletion, which has a body where it goes on in a run.
type deletion struct {
	Status   int
	Location string `header:"Location" doc:"Where to ask how the run stands."`
	Body     *store.Run
}

func (r customers) registerDelete(item string) {
	op := huma.Operation{
		OperationID: "delete-customer", Method: http.MethodDelete, Path: item, Summary: "Delete a customer", DefaultStatus: http.StatusNoContent,
		Description: "Without `erase`, the customer is gone from the shop, and the deletion is an event like any other. With it, the person is forgotten: " +
			"the customer is gone at once, and the run that is answered with 202 takes their data out of PostgreSQL, Kafka, RAW, STAGE, quarantine, ClickHouse and Iceberg. " +
			"Its `report` says what was done where, and what remains for how long. Send the request again to go on where a run has failed; while one is at work, it is answered again. " +
			"A customer who was deleted before can still be erased.",
	}
	register(r.resource, op, auth.ScopeWrite, nil, map[string]string{
		"404": "There is no such customer.", "409": "A run of another kind is in the way.", "422": "The id is not a number.",
	}, r.delete)
	s := r.server.huma
	answer := s.OpenAPI().Paths[item].Delete.Responses
	run := s.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[store.Run](), true, "")
	answer["204"] = &huma.Response{Description: "The customer is deleted."}
	answer["202"] = &huma.Response{
		Description: "The customer is gone, and the run that erases the person is in the ledger.",
		Content:     map[string]*huma.MediaType{mimeJSON: {Schema: run}},
		Headers:     map[string]*huma.Param{"Location": {Schema: &huma.Schema{Type: huma.TypeString}, Description: "Where to ask how the run stands."}},
	}
}

func (r customers) delete(ctx context.Context, in *customerDeletion) (*deletion, error) {
	if in.Erase {
		return r.erase(ctx, in.ID)
	}
	if err := r.shop.Store.DeleteCustomer(ctx, in.ID); err != nil {
		return nil, r.problem(err)
	}
	return &deletion{Status: http.StatusNoContent}, nil
}

// startEnough is how long a run may take to enter itself in the ledger; what started later is found by the same
// request sent again.
const startEnough = 30 * time.Second

// erase removes the customer, and starts the run that does the rest, unless it is at work.
func (r customers) erase(ctx context.Context, id int64) (*deletion, error) {
	batches := r.server.config.Runs
	if batches == nil {
		return nil, NewProblem(http.StatusNotFound, "this server runs no batch streams, which an erasure needs")
	}
	e, err := r.shop.Store.BeginErasure(ctx, id, false)
	if err != nil {
		return nil, r.problem(err)
	}
	if e.RunID != "" {
		run, err := batches.Run(ctx, e.RunID)
		switch {
		case err == nil && !run.Status.Final():
			return erasing(run), nil
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, r.server.runProblem(err)
		}
	}
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), startEnough)
	defer cancel()
	run, err := batches.Start(starting, runs.Request{Name: erasureStream, Params: map[string]string{"customer_id": strconv.FormatInt(id, 10)}})
	if err != nil {
		return nil, r.server.runProblem(err)
	}
	if err := r.shop.Store.SetErasureRun(starting, id, run.ID); err != nil {
		return nil, r.problem(err)
	}
	return erasing(run), nil
}

func erasing(run store.Run) *deletion {
	return &deletion{Status: http.StatusAccepted, Location: pathRuns + "/" + run.ID, Body: &run}
}
