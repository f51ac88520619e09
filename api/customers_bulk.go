package api

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

// maxBulkCustomers bounds one transaction.
const maxBulkCustomers = 10_000

// ruleUnique is refused by PostgreSQL, which alone knows what is taken.
const ruleUnique = "unique"

// registerBulk adds the endpoint for many customers. It is a handler and not a stream, as the other bulk
// endpoints are, because its rows are state: ids are given and e-mails are unique before they are events.
func (r customers) registerBulk(row *huma.Schema) {
	body := &huma.Schema{Type: huma.TypeObject, Required: []string{r.contract.Entity}, Properties: map[string]*huma.Schema{
		r.contract.Entity: RowsSchema(row, maxBulkCustomers),
	}}
	register(r.resource, huma.Operation{
		OperationID: "create-customers", Method: http.MethodPost, Path: r.path + "/bulk-postgres", Summary: "Create many customers",
		Description:  "The good rows are entered in one transaction. A row that breaks its contract, or whose e-mail is taken, is named by index and reasons, and is set aside; it never stops the others.",
		MaxBodyBytes: r.server.config.MaxBodyBytes,
	}, auth.ScopeWrite, body, nil, r.createMany)
}

// bulkRows are the rows of one body: those to be entered, each with its index, and those refused.
type bulkRows struct {
	good    []store.Customer
	raw     [][]byte
	index   []int
	refused []Refusal
	aside   [][]byte
}

func (r customers) createMany(ctx context.Context, body *RowBody) (*one[BulkAnswer], error) {
	raw, problem := rowsOf(body, r.contract.Entity)
	if problem != nil {
		return nil, problem
	}
	rows := r.sort(raw)
	entered, err := r.shop.Store.CreateCustomers(ctx, rows.good, rows.raw, rows.aside)
	if err != nil {
		return nil, r.problem(err)
	}
	for i, c := range entered {
		if c.ID == 0 {
			rows.refused = append(rows.refused, Refusal{Index: rows.index[i], Reasons: []contract.Reason{
				{Field: "email", Rule: ruleUnique, Message: "is taken by another customer"},
			}})
		}
	}
	slices.SortFunc(rows.refused, func(a, b Refusal) int { return a.Index - b.Index })
	n := len(rows.refused)
	return &one[BulkAnswer]{Body: BulkAnswer{SuccessCount: len(raw) - n, ErrorCount: n, Errors: rows.refused}}, nil
}

// sort tells rows that obey the contract from those that do not.
func (r customers) sort(raw []json.RawMessage) (rows bulkRows) {
	reader := newRowReader(r.contract, r.shop.Timezone)
	for i, text := range raw {
		row := reader.read(text)
		row.givenByShop("customer_id")
		if len(row.reasons) > 0 {
			rows.refused = append(rows.refused, Refusal{Index: i, Reasons: row.reasons})
			rows.aside = append(rows.aside, text)
			continue
		}
		rows.good, rows.raw, rows.index = append(rows.good, customerOf(row)), append(rows.raw, text), append(rows.index, i)
	}
	return rows
}

// rowsOf takes the rows out of a body {"<entity>": [row, …]}; other members are of no interest.
func rowsOf(body *RowBody, entity string) ([]json.RawMessage, *Problem) {
	if kind, _, err := mime.ParseMediaType(body.ContentType); err != nil || kind != mimeJSON {
		return nil, NewProblem(http.StatusUnsupportedMediaType, "the header Content-Type must be "+mimeJSON)
	}
	if !json.Valid(body.RawBody) {
		return nil, NewProblem(http.StatusBadRequest, "the body must be well-formed JSON")
	}
	wanted := fmt.Sprintf("the body must be {%q: [row, …]}", entity)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body.RawBody, &members); err != nil {
		return nil, NewProblem(http.StatusUnprocessableEntity, wanted, Fault{Location: "body", Message: "must be an object"})
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(members[entity], &rows); err != nil || rows == nil {
		return nil, NewProblem(http.StatusUnprocessableEntity, wanted, Fault{Location: "body." + entity, Message: "must be an array"})
	}
	if len(rows) > maxBulkCustomers {
		return nil, NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have %d rows; send them in several requests", maxBulkCustomers))
	}
	return rows, nil
}
