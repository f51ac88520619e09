package load

// field is one member of a purchase object, in the order they are written.
type field uint8

const (
	fieldProduct field = iota
	fieldCustomer
	fieldSeller
	fieldQuantity
	fieldPrice
	fieldPurchasedAt
	noField
)

var fieldNames = [...]string{
	fieldProduct:     `"product_id":`,
	fieldCustomer:    `"customer_id":`,
	fieldSeller:      `"seller_id":`,
	fieldQuantity:    `"quantity":`,
	fieldPrice:       `"price_at_time":`,
	fieldPurchasedAt: `"purchased_at":`,
}

// fault is one way in which a client gets a purchase wrong: a field with this JSON text in place of
// its value, or without the field at all where the text is empty.
type fault struct {
	field field
	text  string
}

// faults are what real clients send; each breaks the purchase contract on its own.
var faults = [...]fault{
	{fieldCustomer, ""},
	{fieldCustomer, `null`},
	{fieldCustomer, `"guest"`},
	{fieldProduct, ""},
	{fieldProduct, `""`},
	{fieldProduct, `{"sku":"P00001"}`},
	{fieldSeller, ""},
	{fieldSeller, `[7]`},
	{fieldQuantity, `0`},
	{fieldQuantity, `-2`},
	{fieldQuantity, `1.5`},
	{fieldQuantity, `"three"`},
	{fieldPrice, `0`},
	{fieldPrice, `-4.99`},
	{fieldPrice, `19.99999`},
	{fieldPrice, `"free"`},
	{fieldPrice, `true`},
	{fieldPurchasedAt, `"yesterday"`},
	{fieldPurchasedAt, `"2026-13-45T99:00:00"`},
	{fieldPurchasedAt, `"1970-01-01T00:00:00"`},
}
