package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

// product is what clients see of one.
type product struct {
	store.Product
	ImageURL *string `json:"image_url,omitempty" doc:"Where its picture is, as the client gave it in image."`
}

func showProduct(p store.Product) product { return product{Product: p, ImageURL: p.Image} }

type productPath struct {
	ID string `path:"id" maxLength:"200" doc:"The product's id."`
}

type productUpdate struct {
	ID string `path:"id" maxLength:"200" doc:"The product's id."`
	RowBody
}

type productQuery struct {
	PageQuery
	Category string `query:"category" maxLength:"200" doc:"Only products of this category."`
}

type products struct{ *resource }

// stockDoc says where the stock is to be had. An event of the product for every sale would make a product that
// sells well the key of as many events as there are purchases, each of which tells it already.
const stockDoc = "The stock is what this answers: sales and deleted purchases change it at once. " +
	"They publish no event of the product: the topic `products` tells of changes of the catalogue, with the stock at that moment, and `purchases` of what is sold."

func (s *Server) registerProducts() {
	r := products{s.resource("products", "product")}
	body := RowSchema(r.contract, "id", "created_at")
	item := r.path + "/{id}"
	register(r.resource, huma.Operation{
		OperationID: "create-product", Method: http.MethodPost, Path: r.path, DefaultStatus: http.StatusCreated, Summary: "Create a product",
	}, auth.ScopeWrite, RowSchema(r.contract), map[string]string{"409": "Another product has this id."}, r.create)
	register(r.resource, huma.Operation{
		OperationID: "list-products", Method: http.MethodGet, Path: r.path, Summary: "List products, newest first", Description: stockDoc,
	}, auth.ScopeRead, nil, nil, r.list)
	register(r.resource, huma.Operation{
		OperationID: "product", Method: http.MethodGet, Path: item, Summary: "Show a product", Description: stockDoc,
	}, auth.ScopeRead, nil, map[string]string{"404": "There is no such product."}, r.show)
	register(r.resource, huma.Operation{
		OperationID: "replace-product", Method: http.MethodPut, Path: item, Summary: "Replace all of a product but its id and creation time",
	}, auth.ScopeWrite, body, map[string]string{"404": "There is no such product."}, r.replace)
	register(r.resource, huma.Operation{
		OperationID: "delete-product", Method: http.MethodDelete, Path: item, Summary: "Delete a product",
	}, auth.ScopeWrite, nil, map[string]string{"404": "There is no such product.", "422": "The id is too long."}, r.delete)
	r.linkItems("id", "product", "replace-product", "delete-product")
}

func (r products) create(ctx context.Context, body *RowBody) (*created[product], error) {
	row, problem := body.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	if err := row.problem(); err != nil {
		return nil, err
	}
	p, err := r.shop.Store.CreateProduct(ctx, productOf(row))
	if err != nil {
		return nil, r.problem(err)
	}
	return &created[product]{Location: r.path + "/" + url.PathEscape(p.ID), Body: showProduct(p)}, nil
}

func productOf(row *row) store.Product {
	return store.Product{
		ID: row.text("id"), Name: row.text("name"), Description: row.text("description"), Category: row.text("category"),
		Price: row.money("price"), Stock: row.integer("stock"), Image: row.optionalText("image"), CreatedAt: row.time("created_at"),
	}
}

func (r products) list(ctx context.Context, q *productQuery) (*pageAnswer[product], error) {
	found, next, err := r.shop.Store.Products(ctx, q.Category, q.page())
	if err != nil {
		return nil, r.problem(err)
	}
	shown := make([]product, len(found))
	for i, p := range found {
		shown[i] = showProduct(p)
	}
	filters := url.Values{}
	if q.Category != "" {
		filters.Set("category", q.Category)
	}
	return answerPage(r.path, q.PageQuery, filters, shown, next), nil
}

func (r products) show(ctx context.Context, path *productPath) (*one[product], error) {
	p, err := r.shop.Store.Product(ctx, path.ID)
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[product]{Body: showProduct(p)}, nil
}

func (r products) replace(ctx context.Context, in *productUpdate) (*one[product], error) {
	row, problem := in.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	row.keyIs(in.ID)
	if err := row.problem(); err != nil {
		return nil, err
	}
	p, err := r.shop.Store.UpdateProduct(ctx, in.ID, func(p *store.Product) {
		next := productOf(row)
		next.ID, next.CreatedAt, next.UpdatedAt = p.ID, p.CreatedAt, p.UpdatedAt
		*p = next
	})
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[product]{Body: showProduct(p)}, nil
}

func (r products) delete(ctx context.Context, path *productPath) (*struct{}, error) {
	if err := r.shop.Store.DeleteProduct(ctx, path.ID); err != nil {
		return nil, r.problem(err)
	}
	return nil, nil
}
