package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/store"
)

// purchase is what clients see of one, wherever it is kept.
type purchase struct {
	store.Purchase
	TotalPrice  total     `json:"total_price" doc:"price_at_time times quantity."`
	PurchasedTS time.Time `json:"purchase_ts" doc:"The same moment as purchased_at."`
}

func showPurchase(p store.Purchase) purchase {
	return purchase{Purchase: p, TotalPrice: total(p.Price.Times(p.Quantity)), PurchasedTS: p.PurchasedAt}
}

// total is an exact number that may be too large for Money (I5).
type total string

var _ huma.SchemaProvider = total("")

// MarshalJSON writes the number.
func (t total) MarshalJSON() ([]byte, error) { return []byte(t), nil }

// Schema documents a number.
func (total) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Examples: []any{39.98}}
}

type purchasePath struct {
	ID string `path:"purchase_id" maxLength:"200" doc:"The purchase's id."`
}

type purchaseQuery struct {
	PageQuery
	CustomerID int64  `query:"customer_id" minimum:"1" doc:"Only purchases of this customer."`
	ProductID  string `query:"product_id" maxLength:"200" doc:"Only purchases of this product."`
}

type purchases struct{ *resource }

func (s *Server) registerPurchases() {
	r := purchases{s.resource("purchases", "purchase")}
	body := rowFields(r.contract, []string{"customer_id", "product_id", "quantity", "seller_id"}, []string{"id", "price_at_time", "purchased_at"})
	item := r.path + "/{purchase_id}"
	register(r.resource, huma.Operation{
		OperationID: "create-purchase", Method: http.MethodPost, Path: r.path, DefaultStatus: http.StatusCreated,
		Summary: "Sell a product",
		Description: "The stock falls by the quantity. The price is the product's unless one is given. " +
			"The same purchase sent again under the same id is answered again, and sold once. " +
			"An id that is known only from purchases sent in bulk, which take no stock, is free: the sale is the later event of that id, and replaces what was sent.",
	}, auth.ScopeWrite, body, map[string]string{
		"404": "There is no such product.", "409": "There is not enough stock, or another purchase has this id.",
	}, r.create)
	lists := *r.resource
	lists.turns = s.analytics // where those wait, nobody else does
	register(&lists, huma.Operation{
		OperationID: "list-purchases", Method: http.MethodGet, Path: r.path, Summary: "List purchases, newest first",
		Description: "Purchases of all ways in, some seconds after they were made.",
	}, auth.ScopeRead, nil, nil, r.list)
	register(r.resource, huma.Operation{
		OperationID: "purchase", Method: http.MethodGet, Path: item, Summary: "Show a purchase",
		Description: "One that was sold here is found at once. What other producers say of it in Kafka later, a correction or a deletion, shows within 5 s. " +
			"Purchases sent in bulk are found some seconds after they were sent.",
	}, auth.ScopeRead, nil, map[string]string{"404": "There is no such purchase."}, r.show)
	register(r.resource, huma.Operation{
		OperationID: "delete-purchase", Method: http.MethodDelete, Path: item, Summary: "Delete a purchase and give its stock back",
	}, auth.ScopeWrite, nil, map[string]string{"404": "There is no such purchase.", "422": "The id is too long."}, r.delete)
	r.linkItems("purchase_id", "purchase", "delete-purchase")
}

func (r purchases) create(ctx context.Context, body *RowBody) (*created[purchase], error) {
	row, problem := body.parse(r.contract, r.shop.Timezone)
	if problem != nil {
		return nil, problem
	}
	row.excuse(func(field string) bool { return field == "price_at_time" || field == "purchased_at" })
	if err := row.problem(); err != nil {
		return nil, err
	}
	sold, err := r.shop.Store.Sell(ctx, saleOf(row))
	if err != nil {
		return nil, r.refusal(err)
	}
	return &created[purchase]{Location: r.path + "/" + url.PathEscape(sold.ID), Body: showPurchase(sold)}, nil
}

func saleOf(row *row) store.Sale {
	sale := store.Sale{
		Purchase: store.Purchase{
			ID: row.text("id"), ProductID: row.text("product_id"), CustomerID: row.integer("customer_id"),
			SellerID: row.integer("seller_id"), Quantity: row.integer("quantity"),
			Price: row.money("price_at_time"), PurchasedAt: row.time("purchased_at"),
		},
		IDGiven: row.has("id"), PriceGiven: row.has("price_at_time"), TimeGiven: row.has("purchased_at"),
	}
	if !sale.IDGiven {
		sale.ID = uuid.Must(uuid.NewV7()).String()
	}
	if !sale.TimeGiven {
		sale.PurchasedAt = time.Now().UTC().Truncate(time.Microsecond) // I6
	}
	return sale
}

// refusal says why a purchase was not made.
func (r purchases) refusal(err error) error {
	for _, known := range []struct {
		cause             error
		status            int
		location, message string
	}{
		{store.ErrNoProduct, http.StatusNotFound, "body.product_id", "there is no such product"},
		{store.ErrNoStock, http.StatusConflict, "body.quantity", "is more than there is in stock"},
		{store.ErrOtherPurchase, http.StatusConflict, "body.id", "belongs to a purchase with another content"},
	} {
		if errors.Is(err, known.cause) {
			return NewProblem(known.status, "the purchase is not made: "+known.cause.Error(), Fault{known.location, known.message})
		}
	}
	return r.problem(err)
}

func (r purchases) list(ctx context.Context, q *purchaseQuery) (*pageAnswer[purchase], error) {
	found, next, err := r.shop.Analytics.Purchases(ctx, analytics.Wanted{CustomerID: q.CustomerID, ProductID: q.ProductID}, q.page())
	if err != nil {
		return nil, r.problem(err)
	}
	shown := make([]purchase, len(found))
	for i, p := range found {
		shown[i] = showPurchase(p)
	}
	return answerPage(r.path, q.PageQuery, q.filters(), shown, next), nil
}

// show looks first where a purchase is at once, then where those sent in bulk are.
func (r purchases) show(ctx context.Context, path *purchasePath) (*one[purchase], error) {
	p, entered, err := r.shop.Store.Purchase(ctx, path.ID)
	switch {
	case err == nil:
		p, err = r.asItIsNow(ctx, p, entered)
	case errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDeleted):
		p, err = r.shop.Analytics.Purchase(ctx, path.ID)
	}
	if err != nil {
		return nil, r.problem(err)
	}
	return &one[purchase]{Body: showPurchase(p)}, nil
}

const (
	// young is a purchase of which nobody else can have told anything that would have to be shown yet.
	young = 2 * time.Second
	// laterTimeout is how long a purchase waits for what others may have said of it.
	laterTimeout = time.Second
)

// asItIsNow returns what a purchase that was sold here has become by the events of others: it was corrected
// or deleted through Kafka, and the later event of a key wins. While ClickHouse does not say, which the
// extended check of health reports, it is what was sold.
func (r purchases) asItIsNow(ctx context.Context, sold store.Purchase, entered time.Time) (store.Purchase, error) {
	if time.Since(entered) < young {
		return sold, nil
	}
	ctx, cancel := context.WithTimeout(ctx, laterTimeout)
	defer cancel()
	later, err := r.shop.Analytics.LaterThan(ctx, sold.ID, entered)
	switch {
	case err != nil:
		return sold, nil
	case later.Deleted:
		return sold, store.ErrNotFound
	}
	return later.Purchase, nil
}

func (r purchases) delete(ctx context.Context, path *purchasePath) (*struct{}, error) {
	err := r.shop.Store.DeletePurchase(ctx, path.ID)
	if errors.Is(err, store.ErrNotFound) {
		var sent store.Purchase
		if sent, err = r.shop.Analytics.Purchase(ctx, path.ID); err == nil {
			err = r.shop.Store.DeletePurchaseSentInBulk(ctx, path.ID, sent.PurchasedAt)
		}
	}
	if err != nil {
		return nil, r.problem(err)
	}
	return nil, nil
}

func (q *purchaseQuery) filters() url.Values {
	filters := url.Values{}
	if q.CustomerID != 0 {
		filters.Set("customer_id", strconv.FormatInt(q.CustomerID, 10))
	}
	if q.ProductID != "" {
		filters.Set("product_id", q.ProductID)
	}
	return filters
}
