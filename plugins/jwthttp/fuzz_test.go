package jwthttp

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/contract"
)

// FuzzBody holds the walker to what it promises of any body at all: a body is refused or every one of
// its rows is accounted for, in order, with its bytes; what is accepted is JSON with its id in it.
func FuzzBody(f *testing.F) {
	const row = `{"product_id":"85123A","customer_id":17850,"seller_id":3,"quantity":6,"price_at_time":2.55}`
	for _, seed := range []string{
		``, `{}`, `[]`, `{"purchases":[]}`, `{"purchases":[` + row + `]}`, `{"purchases":[` + row + `, {"id":null ,"deleted":true}, 1 ,"x",[{}]]}`,
		`{"purchases":[` + row + `]`, `{"purchases":[` + row + `,]}`, `{"purchases":{},"purchases":[]}`, ` { "a" : [ ] , "purchases" : [ { } ] } `,
		`{"purchases":[{"id":"a","id":null,"\u0069d":"b"}]}`, "{\"purchases\":[\"\xff\"]}", strings.Repeat(`{"purchases":[`, 50),
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed+"\n\n"+row+"\r\n"), true)
	}
	c, err := contract.Load("../../pipelines/contracts/purchases.yaml")
	if err != nil {
		f.Fatal(err)
	}
	p := newParser(&config{contract: c, timezone: time.UTC, rowsAt: "purchases", maxRows: 1000, maxRowBytes: 1 << 20})
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		before := bytes.Clone(body)
		mediaType := map[bool]string{false: mimeJSON, true: mimeNDJSON}[lines]
		found, problem := p.parse(body, mediaType, "r", time.Now())
		if !bytes.Equal(body, before) {
			t.Fatal("the body is changed")
		}
		if problem != nil {
			if problem.Status < 400 || problem.Status > 422 || found.count() > 0 {
				t.Fatalf("problem %+v with %d rows", problem, found.count())
			}
			return
		}
		if !lines && !json.Valid(body) {
			t.Fatalf("a body that is not JSON is taken: %q", body)
		}
		if len(found.setAside) != len(found.refused) {
			t.Fatalf("%d set aside, %d refused", len(found.setAside), len(found.refused))
		}
		for i, m := range found.setAside {
			if raw, err := m.AsBytes(); err != nil || !bytes.Contains(body, raw) {
				t.Fatalf("refused row %d: %q is not what was sent, %v", i, raw, err)
			}
		}
		for i, r := range found.accepted {
			if !json.Valid(r.Value) {
				t.Fatalf("row %d: %q is accepted and is not JSON", i, r.Value)
			}
			if reasons := p.row.Decode(r.Value); len(reasons) > 0 || string(p.row.Text(c.Key)) != string(r.Key) || len(r.Key) == 0 {
				t.Fatalf("row %d: %q with id %q: %v", i, r.Value, r.Key, reasons)
			}
		}
		if lines {
			return
		}
		var sent struct{ Purchases []json.RawMessage }
		if err := json.Unmarshal(body, &sent); err == nil && bytes.Count(body, []byte(`"purchases"`)) == 1 && len(sent.Purchases) != found.count() {
			t.Fatalf("of %d rows %d are accounted for", len(sent.Purchases), found.count())
		}
	})
}
