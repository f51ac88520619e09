package api_test

import (
	"slices"
	"strings"
	"testing"
)

const seller = `{"name":"Shop","email":"shop@example.com","phone":"1","address":"Main Street"}`

func TestASellerIsCreatedShownChangedAndDeleted(t *testing.T) {
	s := newShop(t)
	w := s.do("POST", "/sellers", seller)
	path := strings.TrimPrefix(w.Header().Get("Location"), "/api/v1")
	if w.Code != 201 || path != "/sellers/1" {
		t.Fatalf("answer is %d %s, at %s", w.Code, w.Body, path)
	}
	if shown := s.do("GET", path, ""); shown.Body.String() != w.Body.String() {
		t.Errorf("created is %s, shown is %s", w.Body, shown.Body)
	}
	changed := s.want(200, "PUT", path, `{"address":"Side Street"}`)
	if changed["address"] != "Side Street" || changed["name"] != "Shop" || changed["id"] != 1.0 {
		t.Errorf("seller is %v", changed)
	}
	s.want(204, "DELETE", path, "")
	for _, method := range []string{"GET", "DELETE"} {
		s.refused(404, method, path, "")
	}
	s.refused(404, "PUT", path, `{}`)
}

func TestEveryFaultOfASellerIsNamed(t *testing.T) {
	s := newShop(t)
	s.want(201, "POST", "/sellers", seller)
	for body, want := range map[string][]string{
		`{}`: {"body.address", "body.email", "body.name", "body.phone"},
		strings.Replace(seller, "{", `{"id":1,`, 1):   {"body.id"},
		strings.Replace(seller, `"1"`, `1`, 1):        {"body.phone"},
		strings.Replace(seller, `"1"`, `null`, 1):     {"body.phone"},
		strings.Replace(seller, "shop@", "s@hop@", 1): {"body.email"},
	} {
		at := s.refused(422, "POST", "/sellers", body)
		if slices.Sort(at); !slices.Equal(at, want) {
			t.Errorf("%s: faults at %v, want %v", body, at, want)
		}
	}
	for body, want := range map[string][]string{
		`{"phone":null}`: {"body.phone"}, `{"id":2}`: {"body.id"}, `{"name":""}`: {"body.name"},
	} {
		if at := s.refused(422, "PUT", "/sellers/1", body); !slices.Equal(at, want) {
			t.Errorf("%s: faults at %v, want %v", body, at, want)
		}
	}
}
