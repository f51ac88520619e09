package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

type customerPath struct {
	ID int64 `path:"customer_id" minimum:"1" doc:"The customer's number."`
}

type customerUpdate struct {
	ID int64 `path:"customer_id" minimum:"1" doc:"The customer's number."`
	RowBody
}

type customers struct{ *resource }

func (s *Server) registerCustomers() {
	r := customers{s.resource("customers", "customer")}
	body, subset := RowSchema(r.contract, "customer_id"), rowFields(r.contract, []string{"email", "first_name", "last_name"}, []string{"phone", "country", "segment"})
	subset.Required = nil
	item := r.path + "/{customer_id}"
	taken := "Another customer has this e-mail."
	register(r.resource, huma.Operation{
		OperationID: "create-customer", Method: http.MethodPost, Path: r.path, DefaultStatus: http.StatusCreated, Summary: "Create a customer",
	}, auth.ScopeWrite, body, map[string]string{"409": taken}, r.create)
	register(r.resource, huma.Operation{
		OperationID: "list-customers", Method: http.MethodGet, Path: r.path, Summary: "List customers, newest first",
	}, auth.ScopeRead, nil, nil, r.list)
	register(r.resource, huma.Operation{
		OperationID: "customer", Method: http.MethodGet, Path: item, Summary: "Show a customer",
	}, auth.ScopeRead, nil, map[string]string{"404": "There is no such customer."}, r.show)
	register(r.resource, huma.Operation{
		OperationID: "change-customer", Method: http.MethodPut, Path: item, Summary: "Change any of a customer's fields",
	}, auth.ScopeWrite, subset, map[string]string{"404": "There is no such customer.", "409": taken}, r.change)
	r.registerDelete(item)
	r.linkItems("customer_id", "customer", "change-customer", "delete-customer")
	r.registerBulk(body)
}

func (r customers) create(ctx context.Context, body *RowBody) (*created[store.Customer], error) {
	row, problem := body.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	row.givenByShop("customer_id")
	if err := row.problem(); err != nil {
		return nil, err
	}
	c, err := r.shop.Store.CreateCustomer(ctx, customerOf(row))
	if err != nil {
		return nil, r.problem(err)
	}
	return &created[store.Customer]{Location: r.path + "/" + strconv.FormatInt(c.ID, 10), Body: c}, nil
}

func customerOf(row *row) store.Customer {
	return store.Customer{
		FirstName: row.text("first_name"), LastName: row.text("last_name"), Email: row.text("email"),
		Phone: row.optionalText("phone"), Country: row.optionalText("country"), Segment: row.optionalText("segment"),
		CreatedAt: row.time("created_at"),
	}
}

func (r customers) list(ctx context.Context, q *PageQuery) (*pageAnswer[store.Customer], error) {
	found, next, err := r.shop.Store.Customers(ctx, q.page())
	if err != nil {
		return nil, r.problem(err)
	}
	return answerPage(r.path, *q, url.Values{}, found, next), nil
}

func (r customers) show(ctx context.Context, path *customerPath) (*one[store.Customer], error) {
	c, err := r.shop.Store.Customer(ctx, path.ID)
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[store.Customer]{Body: c}, nil
}

func (r customers) change(ctx context.Context, in *customerUpdate) (*one[store.Customer], error) {
	row, problem := in.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	row.excuseAbsent()
	row.keyIs(strconv.FormatInt(in.ID, 10))
	if err := row.problem(); err != nil {
		return nil, err
	}
	c, err := r.shop.Store.UpdateCustomer(ctx, in.ID, func(c *store.Customer) {
		row.setText("first_name", &c.FirstName)
		row.setText("last_name", &c.LastName)
		row.setText("email", &c.Email)
		row.setOptionalText("phone", &c.Phone)
		row.setOptionalText("country", &c.Country)
		row.setOptionalText("segment", &c.Segment)
	})
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[store.Customer]{Body: c}, nil
}
