package api_test

import (
	"slices"
	"strings"
	"testing"
)

const lamp = `{"name":"Lamp","description":"Bright","category":"light","price":"19.99","stock":3,"image":"https://example.com/lamp.png"}`

func TestAProductIsCreatedShownReplacedAndDeleted(t *testing.T) {
	s := newShop(t)
	w := s.do("POST", "/products/", lamp)
	if w.Code != 201 || !strings.Contains(w.Body.String(), `"price":19.99,`) {
		t.Fatalf("answer is %d %s", w.Code, w.Body)
	}
	path := strings.TrimPrefix(w.Header().Get("Location"), "/api/v1")
	shown := s.do("GET", path, "")
	if shown.Body.String() != w.Body.String() {
		t.Errorf("created is %s, shown is %s", w.Body, shown.Body)
	}
	p := s.want(200, "GET", path+"/", "")
	if id := p["id"].(string); len(id) != 36 || id[14] != '7' || p["image_url"] != "https://example.com/lamp.png" || p["created_at"] == nil {
		t.Errorf("product is %v", p)
	}
	replaced := s.want(200, "PUT", path, `{"name":"Lamp 2","category":"dark","price":20.5,"stock":0}`)
	for field, want := range map[string]any{
		"id": p["id"], "created_at": p["created_at"], "name": "Lamp 2", "description": "", "category": "dark", "price": 20.5, "stock": 0.0, "image_url": nil,
	} {
		if replaced[field] != want {
			t.Errorf("%s is %v, want %v", field, replaced[field], want)
		}
	}
	s.want(204, "DELETE", path, "")
	s.refused(404, "GET", path, "")
	s.refused(404, "PUT", path, lamp)
	s.refused(404, "DELETE", path, "")
}

func TestWhatAProductShowsIsAValidReplacement(t *testing.T) {
	s := newShop(t)
	w := s.do("POST", "/products", lamp)
	path := strings.TrimPrefix(w.Header().Get("Location"), "/api/v1")
	if again := s.do("PUT", path, w.Body.String()); again.Code != 200 || again.Body.String() != w.Body.String() {
		t.Errorf("answer is %d %s, want %s", again.Code, again.Body, w.Body)
	}
}

func TestEveryFaultOfAProductIsNamed(t *testing.T) {
	s := newShop(t)
	s.want(201, "POST", "/products", strings.Replace(lamp, "{", `{"id":"mine",`, 1))
	if at := s.refused(409, "POST", "/products", strings.Replace(lamp, "{", `{"id":"mine",`, 1)); !slices.Equal(at, []string{"body.id"}) {
		t.Errorf("faults at %v", at)
	}
	for body, want := range map[string][]string{
		`{}`: {"body.name", "body.category", "body.price", "body.stock"},
		`{"name":"","category":7,"price":0,"stock":-1}`:                                 {"body.category", "body.name", "body.price", "body.stock"},
		`{"name":"a","category":"b","price":1.00001,"stock":1.5}`:                       {"body.price", "body.stock"},
		`{"name":"a\u0000","category":"b","price":1,"stock":1}`:                         {"body.name"},
		`{"name":"a","category":"b","price":1,"stock":1,"deleted":true}`:                {"body.deleted"},
		`{"NAME":"a","category":"b","price":1,"stock":1}`:                               {"body.name"},
		`{"name":"a","category":"b","price":1,"stock":9223372036854775808}`:             {"body.stock"},
		`{"name":"a","category":"b","price":1e15,"stock":1,"created_at":"yesterday"}`:   {"body.price", "body.created_at"},
		`{"name":"a","category":"b","price":100000000000000,"stock":1,"image":{"a":1}}`: {"body.price", "body.image"},
	} {
		if at := s.refused(422, "POST", "/products", body); !slices.Equal(at, want) {
			t.Errorf("%s: faults at %v, want %v", body, at, want)
		}
		if at := s.refused(422, "PUT", "/products/mine", body); !slices.Equal(at, want) {
			t.Errorf("PUT %s: faults at %v, want %v", body, at, want)
		}
	}
	if at := s.refused(422, "PUT", "/products/mine", strings.Replace(lamp, "{", `{"id":"other",`, 1)); !slices.Equal(at, []string{"body.id"}) {
		t.Errorf("faults at %v", at)
	}
	s.refused(422, "GET", "/products/"+strings.Repeat("x", 201), "")
	s.refused(404, "GET", "/products/a%00b", "")
	s.refused(404, "GET", "/products/%ff", "")
}

func TestI6ATimeWithoutAZoneIsOfTheShop(t *testing.T) {
	s := newShop(t)
	p := s.want(201, "POST", "/products", strings.Replace(lamp, "{", `{"created_at":"2026-01-02T03:04:05",`, 1))
	if p["created_at"] != "2026-01-02T02:04:05Z" {
		t.Errorf("created_at is %v", p["created_at"])
	}
}

func TestProductsAreListedByCategory(t *testing.T) {
	s := newShop(t)
	for _, category := range []string{"light", "dark & deep", "light"} {
		s.want(201, "POST", "/products", strings.Replace(lamp, `"light"`, `"`+category+`"`, 1))
	}
	for query, want := range map[string]int{"": 3, "?category=light": 2, "?category=dark+%26+deep": 1, "?category=none": 0, "?category=%00": 0, "?skip=1&limit=1": 1} {
		if got := strings.Count(s.do("GET", "/products"+query, "").Body.String(), `"image_url"`); got != want {
			t.Errorf("%s: %d products, want %d", query, got, want)
		}
	}
	w := s.do("GET", "/products?category=light&limit=1", "")
	next := strings.TrimPrefix(strings.TrimSuffix(w.Header().Get("Link"), `>; rel="next"`), "</api/v1")
	if w := s.do("GET", next, ""); strings.Count(w.Body.String(), `"image_url"`) != 1 || w.Header().Get("Link") != "" {
		t.Errorf("the page behind %s is %s", next, w.Body)
	}
}
