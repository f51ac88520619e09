package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestTheDocumentSaysWhatABodyMayBe(t *testing.T) {
	w := do(newShop(t), "GET", "/openapi.json", "", nil)
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct {
				Content map[string]struct {
					Schema struct {
						Type       string
						Required   []string
						Properties map[string]json.RawMessage
					}
				}
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	body := doc.Paths["/api/v1/customers"]["post"].RequestBody.Content["application/json"].Schema
	if body.Type != "object" || len(body.Required) != 3 || body.Properties["customer_id"] != nil {
		t.Errorf("a customer is documented as %+v", body)
	}
	const email = `{"description":"Unique among customers.","maxLength":320,"pattern":"^[^@\\x00-\\x20\\x7f]+@[^@\\x00-\\x20\\x7f]+$","type":"string"}`
	if string(body.Properties["email"]) != email {
		t.Errorf("its e-mail is documented as %s", body.Properties["email"])
	}
}

func TestTheDocumentSaysWhoseEventCounts(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct{ Description string }
	}
	w := do(newPurchaseShop(t, away), "GET", "/openapi.json", "", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ path, method, says string }{
		{"/api/v1/purchases", "post", "known only from purchases sent in bulk"},
		{"/api/v1/purchases/{purchase_id}", "get", "a correction or a deletion, shows within 5 s"},
		{"/api/v1/products/{id}", "get", "publish no event of the product"},
	} {
		if got := doc.Paths[want.path][want.method].Description; !strings.Contains(got, want.says) {
			t.Errorf("%s %s does not say %q: %s", want.method, want.path, want.says, got)
		}
	}
}

func TestAWordOfARouteIsNotAnID(t *testing.T) {
	s := newShop(t)
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		w := s.do(method, "/customers/bulk-postgres", "{}")
		wantProblem(t, w, http.StatusMethodNotAllowed)
		if allow := w.Header().Get("Allow"); allow != "POST" {
			t.Errorf("%s: Allow is %q", method, allow)
		}
	}
}
