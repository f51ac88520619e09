package erasure

import (
	"testing"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

func TestARowIsKnownByItsNumberElseByWhatOnlyThePersonHas(t *testing.T) {
	contracts, err := contract.LoadDir("../../pipelines/contracts")
	if err != nil {
		t.Fatal(err)
	}
	clues := store.Clues{Emails: []string{"zoe.quill@example.org"}, Phones: []string{"+44 117 496"}, Names: []string{"quillfeather"}}
	for name, c := range map[string]struct{ entity, value, want string }{
		"theirs":                            {"customers", `{"customer_id":7,"first_name":"Zoe","email":"old@example.org"}`, `{"customer_id":7,"deleted":true}`},
		"theirs, as a text":                 {"customers", `{"customer_id":"7","first_name":"Zoe"}`, `{"customer_id":7,"deleted":true}`},
		"theirs, with a fault":              {"customers", `{"customer_id":7,"email":5,"nickname":"Z"}`, `{"customer_id":7,"deleted":true}`},
		"a deletion":                        {"customers", `{"customer_id":7,"deleted":true,"updated_at":"2026-01-01T00:00:00Z"}`, ``},
		"a deletion that says more":         {"customers", `{"customer_id":7,"deleted":true,"why":"Zoe asked"}`, `{"customer_id":7,"deleted":true}`},
		"another's":                         {"customers", `{"customer_id":8,"email":"zoe.quill@example.org"}`, ``},
		"nobody's, the address":             {"customers", `{"email":"Zoe.Quill@Example.ORG"}`, `{"deleted":true}`},
		"nobody's, escaped":                 {"customers", `{"email":"zoe.quill\u0040example.org"}`, `{"deleted":true}`},
		"nobody's, telephone and name":      {"customers", `{"phone":"+44 117 496","name":"Quillfeather"}`, `{"deleted":true}`},
		"nobody's, the telephone alone":     {"customers", `{"phone":"+44 117 496"}`, ``},
		"no JSON":                           {"customers", `Zoe;zoe.quill@example.org`, `{"deleted":true}`},
		"a broken object":                   {"customers", `{"customer_id":7,"email":"zoe.quill@example.org"`, `{"deleted":true}`},
		"a purchase":                        {"purchases", `{"id":"p","customer_id":7,"quantity":1}`, ``},
		"a purchase that says more":         {"purchases", `{"note":"for Zoe","quantity":1,"customer_id":7,"id":"p"}`, `{"id":"p","customer_id":7,"quantity":1}`},
		"another's purchase that says more": {"purchases", `{"note":"for Zoe","customer_id":8}`, ``},
		"a purchase of nobody":              {"purchases", `{"id":"p","mail":"zoe.quill@example.org"}`, `{"id":"p"}`},
		"an address as an id":               {"purchases", `{"id":"zoe.quill@example.org","x":1}`, `{"deleted":true}`},
		"empty":                             {"customers", ``, ``},
	} {
		p := newPerson(&store.Erasure{CustomerID: 7, Clues: clues}, contracts)
		kept, changed := p.rewrite(c.entity, []byte(c.value))
		want := c.want
		if want == "" {
			want = c.value
		}
		if string(kept) != want || changed != (c.want != "") {
			t.Errorf("%s: kept %s, %v", name, kept, changed)
		}
		if again, changed := p.rewrite(c.entity, kept); changed {
			t.Errorf("%s: what was kept is rewritten to %s", name, again)
		}
	}
}

func TestWhatAPersonsRowsSayIsLearnt(t *testing.T) {
	p := newPerson(&store.Erasure{CustomerID: 7}, nil)
	p.rewrite(entityCustomers, []byte(`{"customer_id":7,"email":"Former@example.org","phone":"+44 117 496","last_name":"Quillfeather"}`))
	p.rewrite(entityCustomers, []byte(`{"customer_id":8,"email":"other@example.org"}`))
	if !p.learnt || !p.hasClue([]byte("FORMER@example.org")) || p.hasClue([]byte("other@example.org")) {
		t.Errorf("%+v", p.clues)
	}
}
