package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/shop-connect/shop-connect/internal/env"
)

func TestFactsSayWhatWasTrueAndAreFilledInWhenItBecomesKnown(t *testing.T) {
	up, _ := withUp(t)
	c := newClient(t, up)
	conn := openClickHouse(t, up)
	sell := func(id, product string, seller, customer int, at string) {
		t.Helper()
		answer := c.want(t, 200, "POST", "/purchases/bulk-kafka", fmt.Sprintf(
			`{"purchases":[{"id":%q,"product_id":%q,"customer_id":%d,"seller_id":%d,"quantity":1,"price_at_time":2.5,"purchased_at":%q}]}`, id, product, customer, seller, at))
		if !strings.Contains(answer, `"success_count":1`) {
			t.Fatal(answer)
		}
	}
	facts := func(want string) {
		t.Helper()
		query := fmt.Sprintf(`SELECT arrayStringConcat(groupArray(concat(id, ' ', ifNull(product_name, '-'), ' ', ifNull(seller_name, '-'), ' ', ifNull(customer_country, '-'),
			' ', ifNull(customer_segment, '-'), ' ', toString(product_known + 0), toString(seller_known + 0), toString(customer_known + 0))), '\n')
			FROM (SELECT * FROM icebergS3('%s/analytics/analytics.db/purchase_product_facts/', '%s', '%s') ORDER BY id)`,
			up.Env[env.S3Endpoint], up.Env[env.S3AccessKey], up.Env[env.S3SecretKey])
		eventually(t, 60*time.Second, "the facts are right", func() (bool, string) {
			var got string
			err := conn.QueryRow(t.Context(), query).Scan(&got)
			return got == want, fmt.Sprint(got, err)
		})
	}
	sell("a", "lamp", 1, 1, "2026-01-02T03:04:05Z")
	facts("a - - - - 000")

	// what nobody knew arrives, and the fact is filled in
	c.want(t, 201, "POST", "/products", `{"id":"lamp","name":"Lamp","category":"light","price":19.99,"stock":10}`)
	c.want(t, 201, "POST", "/sellers", `{"name":"Lamps","email":"l@example.org","phone":"1","address":"x"}`)
	c.want(t, 201, "POST", "/customers", `{"first_name":"Ada","last_name":"King","email":"ada@example.org","country":"UK"}`)
	facts("a Lamp Lamps UK - 111")

	// what changes changes nothing in what was; what is sold from now on is joined with what is true now
	c.want(t, 200, "PUT", "/products/lamp", `{"name":"Better Lamp","category":"light","price":19.99,"stock":10}`)
	c.want(t, 200, "PUT", "/customers/1", `{"country":"FR","segment":"retail"}`)
	pool, err := pgxpool.New(t.Context(), up.Env[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	eventually(t, 30*time.Second, "the changes are in Kafka", func() (bool, string) {
		var left int
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM outbox").Scan(&left)
		return err == nil && left == 0, fmt.Sprint(left, err)
	})
	sell("b", "lamp", 1, 1, time.Now().UTC().Format(time.RFC3339Nano))
	sell("c", "lamp", 1, 1, "2026-01-02T03:04:05Z") // late: it gets what was true then
	facts("a Lamp Lamps UK - 111\nb Better Lamp Lamps FR retail 111\nc Lamp Lamps UK - 111")

	// a correction is joined anew
	sell("a", "desk", 1, 1, "2026-01-02T03:04:05Z")
	facts("a - Lamps UK - 011\nb Better Lamp Lamps FR retail 111\nc Lamp Lamps UK - 111")
}
