package replay_test

import "testing"

func TestRowsThatReferToNothingStayWhereTheContractRefusesThem(t *testing.T) {
	d := newDesk(t)
	rules := d.Contracts[d.entity]
	for i := range rules.Fields {
		rules.Fields[i].RefuseUnknown = rules.Fields[i].References != ""
	}
	for _, insert := range []string{
		`INSERT INTO customers (customer_id, first_name, last_name, email) VALUES (7, 'A', 'B', 'a@example.com')`,
		`INSERT INTO sellers (id, name, email, phone, address) VALUES (3, 'A', 'a@example.com', '1', 'B')`,
		`INSERT INTO products (id, name, category, price, stock) VALUES ('456', 'A', 'B', 1, 1)`,
	} {
		if _, err := d.Store.Pool().Exec(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
	}
	row := func(id, references string) string {
		return `{"id":"` + id + `",` + references + `,"quantity":1,"price_at_time":"1.5","purchased_at":"2026-01-02T03:04:05Z"}`
	}
	d.keep("stage", "a",
		refused("s#0", row("good", `"product_id":456,"customer_id":7,"seller_id":3`), "customer_id", "reference"),
		refused("s#1", row("stranger", `"product_id":456,"customer_id":8,"seller_id":3`), "customer_id", "reference"),
		refused("s#2", row("nothing", `"product_id":"gone","customer_id":7,"seller_id":4`), "seller_id", "reference"),
		refused("s#3", `{"id":"gone","deleted":true}`, "customer_id", "reference"))

	report := d.replay(d.request(""))
	if report.RowsIn != 4 || report.RowsOut != 2 || report.RowsRefused != 2 {
		t.Fatalf("report %+v", report)
	}
	if ids := idsOf(t, d.sent()); ids["good"] != 1 || ids["gone"] != 1 || len(ids) != 2 {
		t.Errorf("sent %v", ids)
	}
	reasons := map[string]string{}
	for _, r := range report.Refused {
		reasons[r.Source] = r.Message
	}
	if reasons["s#1"] != `customer_id must be known among customers, is "8"` ||
		reasons["s#2"] != `product_id must be known among products, is "gone"; seller_id must be known among sellers, is "4"` {
		t.Errorf("refused for %q", reasons)
	}
}
