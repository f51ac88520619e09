package columns_test

import (
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/columns"
)

func TestHalfASurrogatePairIsNoText(t *testing.T) {
	d := columns.NewDecoder(purchases(t), columns.Valid, time.UTC)
	for id, valid := range map[string]bool{
		`s\ud801`: false, `\udc00s`: false, `\ud83d\u0041`: false, `\ud83d\ud83d\ude00`: false, `\\\ud83d`: false, `\ud83dx\ude00`: false,
		`\ud83d\ude00`: true, `\\ud801`: true, `\u00e9`: true, `\"\ud83d\ude00\\`: true, "\U0001F600": true,
	} {
		row := `{"id":"` + id + `","product_id":"p","customer_id":1,"seller_id":1,"quantity":1,"price_at_time":1,"purchased_at":"2026-01-01T00:00:00Z"}`
		if reasons := d.Decode([]byte(row)); (len(reasons) == 0) != valid {
			t.Errorf("%s: %v", id, reasons)
		}
	}
}
