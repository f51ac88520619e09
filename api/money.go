package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/money"
)

// Money is an amount in requests and answers: read from a JSON number or the text of one, answered as an
// exact number with two to four decimals (I5).
type Money = money.Amount

// moneySchema stands for Money in the OpenAPI document.
type moneySchema struct{}

var _ huma.SchemaProvider = moneySchema{}

// Schema documents an answer; what is read is documented by amountSchema.
func (moneySchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeNumber, Description: "An exact amount with two to four decimals.", Examples: []any{19.99}}
}

// documentMoney makes every Money of the document look like it is, wherever it is a field.
func documentMoney(schemas huma.Registry) {
	schemas.RegisterTypeAlias(reflect.TypeFor[Money](), reflect.TypeFor[moneySchema]())
}
