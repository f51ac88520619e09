package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"golang.org/x/sync/semaphore"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// maxBulkCustomers bounds one transaction.
	maxBulkCustomers = 10_000
	// maxBulkBytes, maxBulkBodies and maxBulkReading bound the memory of bodies: of one, of those that are
	// worked on, and of what has arrived.
	maxBulkBytes   = 8 << 20
	maxBulkBodies  = 8
	maxBulkReading = 64 << 20

	// ruleUnique is refused by PostgreSQL, which alone knows what is taken.
	ruleUnique = "unique"
)

// registerBulk adds the endpoint for many customers. It is a handler and not a stream, as the other bulk
// endpoints are, because its rows are state: ids are given and e-mails are unique before they are events.
func (r customers) registerBulk(row *huma.Schema) {
	body := &huma.Schema{Type: huma.TypeObject, Required: []string{r.contract.Entity}, Properties: map[string]*huma.Schema{
		r.contract.Entity: RowsSchema(row, maxBulkCustomers),
	}}
	op := huma.Operation{
		OperationID: "create-customers", Method: http.MethodPost, Path: r.path + "/bulk-postgres", Summary: "Create many customers",
		Description: "The good rows are entered in one transaction. A row that breaks its contract, or whose e-mail is taken, is named by index and reasons, and is set aside; it never stops the others. " +
			"The body may be compressed, by gzip or zstd, with the header Content-Encoding.",
		MaxBodyBytes: min(maxBulkBytes, r.server.config.MaxBodyBytes),
	}
	bulk := bulkReader{
		limit: op.MaxBodyBytes, decoders: newDecoders(op.MaxBodyBytes),
		memory: semaphore.NewWeighted(maxBulkReading), slots: make(chan struct{}, maxBulkBodies),
	}
	op.Middlewares = huma.Middlewares{bulk.wait}
	register(r.resource, op, auth.ScopeWrite, body, nil, func(ctx context.Context, body *bulkBody) (*one[BulkAnswer], error) {
		return r.createMany(ctx, &bulk, body)
	})
	r.server.huma.OpenAPI().Paths[op.Path].Post.RequestBody.Content[mimeNDJSON] = &huma.MediaType{Schema: &huma.Schema{
		Type: huma.TypeString, Description: "A row a line; blank lines are ignored.",
	}}
}

// bulkRows are the rows of one body: those to be entered, each with its place, and those refused.
type bulkRows struct {
	good    []store.Customer
	index   []int
	refused []Refusal
	aside   []store.Refused
}

func (r customers) createMany(ctx context.Context, bulk *bulkReader, body *bulkBody) (*one[BulkAnswer], error) {
	raw, problem := bulk.rows(body, r.contract.Entity)
	if problem != nil {
		return nil, problem
	}
	rows := r.sort(raw, body.requestID)
	taken := []contract.Reason{{Field: "email", Rule: ruleUnique, Message: "is taken by another customer"}}
	entered, err := r.shop.Store.CreateCustomers(ctx, rows.good, func(i int) store.Refused {
		return r.aside(raw[rows.index[i]], body.requestID, rows.index[i], taken)
	}, rows.aside)
	if err != nil {
		return nil, r.problem(err)
	}
	for i, c := range entered {
		if c.ID == 0 {
			rows.refused = append(rows.refused, Refusal{Index: rows.index[i], Reasons: taken})
		}
	}
	slices.SortFunc(rows.refused, func(a, b Refusal) int { return a.Index - b.Index })
	n := len(rows.refused)
	return &one[BulkAnswer]{Body: BulkAnswer{SuccessCount: len(raw) - n, ErrorCount: n, Errors: rows.refused}}, nil
}

// sort tells rows that obey the contract from those that do not.
func (r customers) sort(raw []json.RawMessage, requestID string) (rows bulkRows) {
	reader := newRowReader(r.contract, r.shop.Timezone)
	for i, text := range raw {
		row := reader.read(text)
		row.givenByShop("customer_id")
		if len(row.reasons) > 0 {
			rows.refused = append(rows.refused, Refusal{Index: i, Reasons: row.reasons})
			rows.aside = append(rows.aside, r.aside(text, requestID, i, row.reasons))
			continue
		}
		rows.good, rows.index = append(rows.good, customerOf(row)), append(rows.index, i)
	}
	return rows
}

// aside marks a refused row the way that the streams do (I4).
func (r customers) aside(text []byte, requestID string, index int, reasons []contract.Reason) store.Refused {
	return store.Refused{Value: text, Headers: quarantine.Headers(quarantine.LayerAPI, r.contract, requestID+"#"+strconv.Itoa(index), reasons)}
}

// rowsOf takes the rows out of a body {"<entity>": [row, …]}; other members are of no interest.
func rowsOf(body []byte, entity string) ([]json.RawMessage, *Problem) {
	if !json.Valid(body) {
		return nil, NewProblem(http.StatusBadRequest, "the body must be well-formed JSON")
	}
	wanted := fmt.Sprintf("the body must be {%q: [row, …]}", entity)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, NewProblem(http.StatusUnprocessableEntity, wanted, Fault{Location: "body", Message: "must be an object"})
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(members[entity], &rows); err != nil || rows == nil {
		return nil, NewProblem(http.StatusUnprocessableEntity, wanted, Fault{Location: "body." + entity, Message: "must be an array"})
	}
	return rows, nil
}

// linesOf takes a row out of each line.
func linesOf(body []byte) (rows []json.RawMessage) {
	for line := range bytes.Lines(body) {
		if row := bytes.Trim(line, " \t\r\n"); len(row) > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}
