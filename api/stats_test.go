package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
)

// newStatsShop has sold for two days.
func newStatsShop(t *testing.T) *shop {
	t.Helper()
	dsn := purchasesOfOld(t)
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := clickhouse.OpenDB(options)
	defer db.Close()
	for _, statement := range []string{
		"TRUNCATE TABLE purchase_sums", "TRUNCATE TABLE products",
		"INSERT INTO products (id, name, category, version) VALUES ('lamp', 'Lamp', 'light', 2)",
		"INSERT INTO purchase_sums (purchase_date, computed_at, total_purchases, total_items, total_revenue, sum_of_prices, " +
			"`sold.hour`, `sold.product_id`, `sold.purchases`, `sold.items`, `sold.revenue`, `sold.sum_of_prices`, `bought.customer_id`, `bought.purchases`, `bought.revenue`, `bought.last_at`) VALUES " +
			"('2026-01-02', now64(6), 1, 2, 21.0002, 10.5001, [3], ['lamp'], [1], [2], [21.0002], [10.5001], [7], [1], [21.0002], ['2026-01-02 03:04:05.678901'])," +
			"('2026-02-02', now64(6), 1, 1, 99999999999999999999.5, 0.1, [3], ['pen'], [1], [1], [99999999999999999999.5], [0.1], [7], [1], [99999999999999999999.5], ['2026-02-02 03:04:05'])",
	} {
		execute(t, db, statement)
	}
	return newPurchaseShop(t, dsn)
}

func TestI5StatisticsAreAnsweredToTheLastDecimal(t *testing.T) {
	s := newStatsShop(t)
	const lamps, pens = `"total_purchases":1,"total_items":2,"total_revenue":21.0002,"avg_price":10.5001`,
		`"total_purchases":1,"total_items":1,"total_revenue":99999999999999999999.50,"avg_price":0.10`
	for path, want := range map[string]string{
		"/daily":                               `[{"purchase_date":"2026-02-02",` + pens + `},{"purchase_date":"2026-01-02",` + lamps + `}]`,
		"/daily/?limit=1&from=&to=":            `[{"purchase_date":"2026-02-02",` + pens + `}]`,
		"/daily?from=2026-01-01&to=2026-01-31": `[{"purchase_date":"2026-01-02",` + lamps + `}]`,
		"/daily?from=2026-02-02&to=2026-01-02": `[]`, "/daily?from=4814-01-01": `[]`, "/daily?from=0001-01-01&to=9999-12-31&limit=1": `[{"purchase_date":"2026-02-02",` + pens + `}]`,
		"/daily?from=2027-01-01":                         `[]`,
		"/monthly?product_id=lamp":                       `[{"purchase_month":"2026-01",` + lamps + `}]`,
		"/hourly?category=light":                         `[{"purchase_date":"2026-01-02","purchase_hour":3,"category":"light",` + lamps + `}]`,
		"/categories":                                    `[{"category":"unknown",` + pens + `},{"category":"light",` + lamps + `}]`,
		"/categories?granularity=month&to=2026-01-31":    `[{"period":"2026-01","category":"light",` + lamps + `}]`,
		"/categories?granularity=day&category=light":     `[{"period":"2026-01-02","category":"light",` + lamps + `}]`,
		"/products":                                      `[{"rank":1,"product_id":"pen","product_name":"","category":"unknown",` + pens + `},{"rank":2,"product_id":"lamp","product_name":"Lamp","category":"light",` + lamps + `}]`,
		"/patterns/hourly?to=2026-01-31":                 `[{"purchase_hour":3,"days":1,` + lamps + `}]`,
		"/patterns/weekly?from=2026-01-02&to=2026-01-02": `[{"weekday":5,"days":1,` + lamps + `}]`,
		"/trends/monthly": `[{"purchase_month":"2026-02",` + pens + `,"previous_revenue":21.0002,"revenue_change":99999999999999999978.4998,"revenue_growth":4761859410862753687.0363},` +
			`{"purchase_month":"2026-01",` + lamps + `,"previous_revenue":0.00,"revenue_change":21.0002}]`,
		"/customers/rfm": `[{"customer_id":7,"last_purchase_at":"2026-02-02T03:04:05Z","recency_days":0,"frequency":2,"monetary":100000000000000000020.5002,"recency_score":1,"frequency_score":1,"monetary_score":1,"segment":"lost"}]`,
		"/customers/rfm?segment=champions&customer_id=7": `[]`,
	} {
		w := s.do("GET", "/stats"+path, "")
		if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || got != want {
			t.Errorf("GET /stats%s: %d\n%s\nwant\n%s", path, w.Code, got, want)
		}
	}
}

func TestStatisticsNameTheParameterThatIsWrong(t *testing.T) {
	s := newPurchaseShop(t, away)
	for query, location := range map[string]string{
		"/daily?from=yesterday": "query.from", "/daily?from=2026-02-30": "query.from", "/monthly?to=2026-01": "query.to",
		"/daily?limit=0": "query.limit", "/daily?limit=10001": "query.limit", "/products?limit=x": "query.limit",
		"/categories?granularity=year": "query.granularity", "/hourly?category=" + strings.Repeat("x", 201): "query.category",
		"/products?product_id=" + strings.Repeat("x", 201): "query.product_id",
		"/customers/rfm?customer_id=0":                     "query.customer_id", "/customers/rfm?segment=rich": "query.segment",
		"/trends/monthly?from=1' OR '1": "query.from",
	} {
		query = strings.ReplaceAll(strings.ReplaceAll(query, " ", "%20"), "'", "%27")
		if at := s.refused(http.StatusUnprocessableEntity, "GET", "/stats"+query, ""); len(at) != 1 || at[0] != location {
			t.Errorf("%s: faults at %v, want %s", query, at, location)
		}
	}
}

func TestStatisticsNeedTheScopeToRead(t *testing.T) {
	s := newPurchaseShop(t, away)
	s.allow(auth.ScopeWrite)
	for _, path := range []string{"daily", "monthly", "hourly", "categories", "products", "patterns/hourly", "patterns/weekly", "trends/monthly", "customers/rfm"} {
		wantProblem(t, s.do("GET", "/stats/"+path, ""), http.StatusForbidden)
		wantProblem(t, do(s, "GET", "/api/v1/stats/"+path, "", nil), http.StatusUnauthorized)
	}
}

func TestStatisticsAnswer503WhileClickHouseIsAway(t *testing.T) {
	s := newPurchaseShop(t, away)
	for _, path := range []string{"daily", "trends/monthly", "customers/rfm"} {
		w := s.do("GET", "/stats/"+path, "")
		wantProblem(t, w, http.StatusServiceUnavailable)
		if w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After", path)
		}
	}
}
