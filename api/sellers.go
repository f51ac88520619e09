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

type sellerPath struct {
	ID int64 `path:"id" minimum:"1" doc:"The seller's number."`
}

type sellerUpdate struct {
	ID int64 `path:"id" minimum:"1" doc:"The seller's number."`
	RowBody
}

type sellers struct{ *resource }

func (s *Server) registerSellers() {
	r := sellers{s.resource("sellers", "seller")}
	body, subset := rowFields(r.contract, sellerFields, []string{"created_at"}), rowFields(r.contract, sellerFields, nil)
	subset.Required = nil
	item := r.path + "/{id}"
	register(r.resource, huma.Operation{
		OperationID: "create-seller", Method: http.MethodPost, Path: r.path, DefaultStatus: http.StatusCreated, Summary: "Create a seller",
	}, auth.ScopeWrite, body, nil, r.create)
	register(r.resource, huma.Operation{
		OperationID: "list-sellers", Method: http.MethodGet, Path: r.path, Summary: "List sellers, newest first",
	}, auth.ScopeRead, nil, nil, r.list)
	register(r.resource, huma.Operation{
		OperationID: "seller", Method: http.MethodGet, Path: item, Summary: "Show a seller",
	}, auth.ScopeRead, nil, map[string]string{"404": "There is no such seller."}, r.show)
	register(r.resource, huma.Operation{
		OperationID: "change-seller", Method: http.MethodPut, Path: item, Summary: "Change any of a seller's fields",
	}, auth.ScopeWrite, subset, map[string]string{"404": "There is no such seller."}, r.change)
	register(r.resource, huma.Operation{
		OperationID: "delete-seller", Method: http.MethodDelete, Path: item, Summary: "Delete a seller",
	}, auth.ScopeWrite, nil, map[string]string{"404": "There is no such seller.", "422": "The id is not a number."}, r.delete)
	r.linkItems("id", "seller", "change-seller", "delete-seller")
}

// sellerFields are all required here. The contract asks for fewer, for what other producers write.
var sellerFields = []string{"address", "email", "name", "phone"}

func (r sellers) create(ctx context.Context, body *RowBody) (*created[store.Seller], error) {
	row, problem := body.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	row.givenByShop("id")
	row.require(sellerFields...)
	if err := row.problem(); err != nil {
		return nil, err
	}
	e, err := r.shop.Store.CreateSeller(ctx, store.Seller{
		Name: row.text("name"), Email: row.text("email"), Phone: row.text("phone"), Address: row.text("address"), CreatedAt: row.time("created_at"),
	})
	if err != nil {
		return nil, r.problem(err)
	}
	return &created[store.Seller]{Location: r.path + "/" + strconv.FormatInt(e.ID, 10), Body: e}, nil
}

func (r sellers) list(ctx context.Context, q *PageQuery) (*pageAnswer[store.Seller], error) {
	found, next, err := r.shop.Store.Sellers(ctx, q.page())
	if err != nil {
		return nil, r.problem(err)
	}
	return answerPage(r.path, *q, url.Values{}, found, next), nil
}

func (r sellers) show(ctx context.Context, path *sellerPath) (*one[store.Seller], error) {
	e, err := r.shop.Store.Seller(ctx, path.ID)
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[store.Seller]{Body: e}, nil
}

func (r sellers) change(ctx context.Context, in *sellerUpdate) (*one[store.Seller], error) {
	row, problem := in.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	row.require(sellerFields...)
	row.excuseAbsent()
	row.keyIs(strconv.FormatInt(in.ID, 10))
	if err := row.problem(); err != nil {
		return nil, err
	}
	e, err := r.shop.Store.UpdateSeller(ctx, in.ID, func(e *store.Seller) {
		row.setText("name", &e.Name)
		row.setText("email", &e.Email)
		row.setText("phone", &e.Phone)
		row.setText("address", &e.Address)
	})
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[store.Seller]{Body: e}, nil
}

func (r sellers) delete(ctx context.Context, path *sellerPath) (*struct{}, error) {
	if err := r.shop.Store.DeleteSeller(ctx, path.ID); err != nil {
		return nil, r.problem(err)
	}
	return nil, nil
}
