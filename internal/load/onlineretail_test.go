package load

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// onlineRetailDir is the folder with the dataset; it is not part of this repository.
func onlineRetailDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("ONLINE_RETAIL_DIR")
	if dir == "" {
		dir = "../../../shared/data/online-retail"
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("SKIPPED: the Online Retail dataset is not here (%v); set ONLINE_RETAIL_DIR to its folder", err)
	}
	return dir
}

func TestOnlineRetailTruthIsThatOfTheDataset(t *testing.T) {
	source, err := OpenOnlineRetail(onlineRetailDir(t))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	sellers := map[int64]bool{}
	rows, valid := drain(t, source)
	for i, row := range rows {
		var p struct {
			ID       string `json:"id"`
			Seller   int64  `json:"seller_id"`
			Customer *int64 `json:"customer_id"`
		}
		if err := json.Unmarshal(row, &p); err != nil {
			t.Fatalf("%v: %s", err, row)
		}
		if ids[p.ID] {
			t.Errorf("id %s occurs twice", p.ID)
		}
		ids[p.ID], sellers[p.Seller] = true, true
		if _, ok := accepted(row); ok != valid[i] {
			t.Fatalf("the reader says valid=%v of %s", valid[i], row)
		}
	}
	truth := source.Truth()
	want := "209029 sent, 145450 accepted (145450 distinct), 63579 refused, 1941311 items, revenue 3332591.961, 141 days"
	if truth.String() != want {
		t.Errorf("the truth is\n%s, it should be\n%s", truth, want)
	}
	if source.Rows() != truth.Sent {
		t.Errorf("the reader announced %d rows and gave %d", source.Rows(), truth.Sent)
	}
	first := truth.Day("2010-12-01")
	if first.Purchases != 1942 || first.Items != 24215 || first.Revenue.String() != "46376.49" {
		t.Errorf("2010-12-01 is %+v", first)
	}
	if len(sellers) != 36 {
		t.Errorf("the 36 countries became %d sellers", len(sellers))
	}
}

const saleHeader = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"

func writeSales(t *testing.T, lines string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "2010-12-01.csv")
	if err := os.WriteFile(path, []byte(saleHeader+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOnlineRetailSendsLinesAsTheTillRecordedThem(t *testing.T) {
	source, err := OpenOnlineRetail(writeSales(t, strings.Join([]string{
		`536365,85123A,WHITE HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom`,
		`536365,85123A,"WHITE, HOLDER",2,2010-12-01 08:26:00,2.65,,United Kingdom`,
		`C536379,85123A,"WHITE, HOLDER",-1,2010-12-01 09:41:00,2.55,14527.0,EIRE`,
		`536370,X,,5,2010-12-01 09:45:00,0.0,,EIRE`,
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	rows, valid := drain(t, source)
	uk, eire := SellerOf("United Kingdom"), SellerOf("EIRE")
	for i, want := range []struct {
		row   map[string]any
		valid bool
	}{
		{map[string]any{"id": "536365-1", "product_id": "85123A", "customer_id": 17850.0, "seller_id": float64(uk), "quantity": 6.0, "price_at_time": 2.55, "purchased_at": "2010-12-01T08:26:00"}, true},
		{map[string]any{"id": "536365-2", "product_id": "85123A", "seller_id": float64(uk), "quantity": 2.0, "price_at_time": 2.65, "purchased_at": "2010-12-01T08:26:00"}, false},
		{map[string]any{"id": "C536379-1", "product_id": "85123A", "customer_id": 14527.0, "seller_id": float64(eire), "quantity": -1.0, "price_at_time": 2.55, "purchased_at": "2010-12-01T09:41:00"}, false},
		{map[string]any{"id": "536370-1", "product_id": "X", "seller_id": float64(eire), "quantity": 5.0, "price_at_time": 0.0, "purchased_at": "2010-12-01T09:45:00"}, false},
	} {
		got, err := json.Marshal(want.row)
		if err != nil {
			t.Fatal(err)
		}
		var sent map[string]any
		if err := json.Unmarshal(rows[i], &sent); err != nil {
			t.Fatal(err)
		}
		again, _ := json.Marshal(sent)
		if string(got) != string(again) || valid[i] != want.valid {
			t.Errorf("line %d was sent as %s (valid %v), it should be %s (valid %v)", i+1, again, valid[i], got, want.valid)
		}
	}
	// Descriptions: two of three lines say "WHITE, HOLDER"; prices 2.55, 2.65, 2.55.
	want := `{"id":"85123A","name":"WHITE, HOLDER","description":"WHITE, HOLDER","category":"Giftware","price":2.55,"stock":8}`
	if products := source.Products(); len(products) != 1 || string(products[0]) != want {
		t.Errorf("the catalog is %s, it should be only %s", products, want)
	}
}

func TestOnlineRetailNamesFileLineAndFault(t *testing.T) {
	for lines, want := range map[string]string{
		"1,2,3,six,2010-12-01 08:26:00,2.55,17850.0,EIRE": `line 2: column Quantity: "six" must be a number`,
		"1,2,3,6,12/1/2010 8:26,2.55,17850.0,EIRE":        `line 2: column InvoiceDate: "12/1/2010 8:26" must look like`,
		"1,2,3": "wrong number of fields",
	} {
		_, err := OpenOnlineRetail(writeSales(t, lines))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "2010-12-01.csv") {
			t.Errorf("%q gave %v, which should name the file and say %s", lines, err, want)
		}
	}
	if _, err := OpenOnlineRetail(t.TempDir()); err == nil || !strings.Contains(err.Error(), "holds no *.csv") {
		t.Errorf("an empty folder gave %v", err)
	}
}
