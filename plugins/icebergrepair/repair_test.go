package icebergrepair

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redpanda-data/benthos/v4/public/service"
)

const (
	spring = "2026-03-01T00:00:00Z"
	summer = "2026-06-01T00:00:00Z"
	autumn = "2026-09-01T00:00:00Z"
)

func TestWhatIsUnknownIsMarkedAndFilledInWhenItArrives(t *testing.T) {
	s := newShop(t)
	p := s.repairer()
	s.seller(1, "Lamps")
	s.sell(purchase("a", "lamp", 1, 1, 1, spring), purchase("b", "lamp", 2, 1, 2, autumn), purchase("c", "desk", 1, 2, 3, autumn))
	if r := s.repair(p); r.Rows != 0 || r.Missing != 7 {
		t.Errorf("with nothing to repair the report is %+v", r)
	}
	s.expect(p, map[string]string{
		"a": "1 - - Lamps - false true false", "b": "2 - - - - false false false", "c": "3 - - Lamps - false true false",
	})
	s.product("lamp", "old lamp", spring)
	s.product("lamp", "new lamp", summer)
	if r := s.repair(p); r.Rows != 2 || r.Missing != 5 {
		t.Errorf("once a product is there the report is %+v", r)
	}
	s.customer(1, "DE")
	s.seller(2, "Desks")
	s.repair(p)
	s.expect(p, map[string]string{
		"a": "1 old lamp 1.5 Lamps DE true true true", "b": "2 new lamp 1.5 Desks DE true true true", "c": "3 - - Lamps - false true false",
	})
	// what was repaired is no gap any more, and a change of a dimension is for later purchases
	s.customer(1, "FR") // as of now, which is later than all purchases here
	s.product("lamp", "newest lamp", "2026-10-01T00:00:00Z")
	s.sell(purchase("d", "lamp", 2, 1, 4, "2026-11-01T00:00:00Z"))
	if r := s.repair(p); r.Rows != 0 || r.Files != 0 {
		t.Errorf("with nothing more to repair the report is %+v", r)
	}
	s.expect(p, map[string]string{
		"a": "1 old lamp 1.5 Lamps DE true true true", "b": "2 new lamp 1.5 Desks DE true true true", "c": "3 - - Lamps - false true false",
		"d": "4 newest lamp 1.5 Desks DE true true true",
	})
}

func TestARepairStartedAnewFindsWhatIsMissing(t *testing.T) {
	s := newShop(t)
	for i := range 5 {
		s.sell(purchase(fmt.Sprint("a", i), fmt.Sprint("p", i), 1, 1, 1, spring), purchase(fmt.Sprint("b", i), "lamp", 1, 1, 1, autumn))
	}
	s.seller(1, "Lamps")
	s.customer(1, "DE")
	s.product("lamp", "lamp", spring)
	p := s.repairer()
	if r := s.repair(p); r.Rows != 10 || r.Missing != 5 {
		t.Errorf("the report is %+v", r)
	}
	// another one, with a memory of its own, has nothing to do
	if r := s.repair(s.repairer()); r.Rows != 0 {
		t.Errorf("the second report is %+v", r)
	}
	want := map[string]string{}
	for i := range 5 {
		want[fmt.Sprint("a", i)] = "1 - - Lamps DE false true true"
		want[fmt.Sprint("b", i)] = "1 lamp 1.5 Lamps DE true true true"
	}
	s.expect(p, want)
}

// I3: what is written between the reading of a row and the commit of its repair stays as it is.
func TestARepairNeverUndoesWhatCameMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(s *shop)
		want      map[string]string
		overtaken bool
	}{
		"a correction": {
			func(s *shop) { s.sell(purchase("a", "lamp", 1, 1, 7, spring)) },
			map[string]string{"a": "7 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true"}, true,
		},
		"a correction that moves it to another day": {
			func(s *shop) { s.sell(purchase("a", "lamp", 1, 1, 7, autumn)) },
			map[string]string{"a": "7 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true"}, true,
		},
		"a correction to what is unknown": {
			func(s *shop) { s.sell(purchase("a", "desk", 1, 1, 7, spring)) },
			map[string]string{"a": "7 - - Lamps DE false true true", "b": "2 lamp 1.5 Lamps DE true true true"}, true,
		},
		"a deletion": {
			func(s *shop) { s.sell(deletion("a")) },
			map[string]string{"b": "2 lamp 1.5 Lamps DE true true true"}, true,
		},
		"a deletion and a return": {
			func(s *shop) { s.sell(deletion("a")); s.sell(purchase("a", "lamp", 1, 1, 9, summer)) },
			map[string]string{"a": "9 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true"}, true,
		},
		"a correction of another row": {
			func(s *shop) { s.sell(purchase("c", "lamp", 1, 1, 7, spring)) },
			map[string]string{"a": "1 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true", "c": "7 lamp 1.5 Lamps DE true true true"}, false,
		},
		"a correction whose delete upkeep has applied and dropped, and one of another row": {
			func(s *shop) {
				s.sell(purchase("a", "lamp", 1, 1, 7, autumn))
				s.upkeep()
				s.sell(purchase("c", "lamp", 1, 1, 7, spring))
			},
			map[string]string{"a": "7 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true", "c": "7 lamp 1.5 Lamps DE true true true"}, true,
		},
		"new rows": {
			func(s *shop) {
				s.sell(purchase("x", "desk", 1, 1, 7, spring))
				s.sell(purchase("y", "desk", 1, 1, 8, spring))
			},
			map[string]string{"a": "1 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true", "x": "7 - - Lamps DE false true true", "y": "8 - - Lamps DE false true true"}, false,
		},
		"the same repair": {
			func(s *shop) { s.repair(s.repairer()) },
			map[string]string{"a": "1 lamp 1.5 Lamps DE true true true", "b": "2 lamp 1.5 Lamps DE true true true"}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			s.seller(1, "Lamps")
			s.customer(1, "DE")
			s.sell(purchase("a", "lamp", 1, 1, 1, spring), purchase("b", "lamp", 1, 1, 2, autumn))
			if _, found := c.want["c"]; found {
				s.sell(purchase("c", "glass", 1, 1, 3, spring))
			}
			p := s.repairer()
			s.repair(p)
			s.product("lamp", "lamp", spring)
			reads := 0
			p.paused = func() {
				if reads++; reads == 1 {
					c.meanwhile(s)
				}
			}
			r := s.repair(p)
			if r.Conflicts == 0 {
				t.Errorf("there was no conflict: %+v", r)
			}
			if overtaken := reads > 1; overtaken != c.overtaken {
				t.Errorf("rows were read %d times", reads)
			}
			s.expect(p, c.want)
			p.paused = nil
			if r := s.repair(p); r.Rows != 0 {
				t.Errorf("afterwards there is something to repair: %+v", r)
			}
			s.expect(p, c.want)
		})
	}
}

func TestWritersGoOnAfterARepair(t *testing.T) {
	s := newShop(t)
	p := s.repairer()
	s.sell(purchase("a", "lamp", 1, 1, 1, spring), purchase("b", "lamp", 1, 1, 2, spring), purchase("c", "lamp", 1, 1, 3, spring))
	s.product("lamp", "lamp", spring)
	s.repair(p)
	s.sell(purchase("a", "lamp", 1, 1, 1, spring), purchase("b", "lamp", 1, 1, 5, autumn), deletion("c"), purchase("d", "lamp", 1, 1, 4, spring))
	s.expect(p, map[string]string{
		"a": "1 lamp 1.5 - - true false false", "b": "5 lamp 1.5 - - true false false", "d": "4 lamp 1.5 - - true false false",
	})
	s.seller(1, "Lamps")
	s.customer(1, "DE")
	s.repair(p)
	s.expect(p, map[string]string{
		"a": "1 lamp 1.5 Lamps DE true true true", "b": "5 lamp 1.5 Lamps DE true true true", "d": "4 lamp 1.5 Lamps DE true true true",
	})
}

func TestFilesThatLackNothingAreNotRead(t *testing.T) {
	s := newShop(t)
	s.seller(1, "Lamps")
	s.customer(1, "DE")
	s.product("lamp", "lamp", spring)
	for i := range 4 {
		s.sell(purchase(fmt.Sprint("a", i), "lamp", 1, 1, 1, spring))
	}
	s.sell(purchase("b", "desk", 1, 1, 1, spring))
	p := s.repairer()
	if r := s.repair(p); r.Missing != 1 || len(p.gaps.files) != 1 {
		t.Errorf("%d files lack %d keys, want one of each", len(p.gaps.files), r.Missing)
	}
	// a key that nothing lacks is no reason to look anywhere
	s.product("chair", "chair", spring)
	if r := s.repair(p); r.Files != 0 {
		t.Errorf("%d files were looked at for nothing", r.Files)
	}
}

func TestConfigFaultsAreReportedTogether(t *testing.T) {
	conf, err := Spec().ParseYAML(fmt.Sprintf(`
catalog: {name: shop, uri: "sqlite:///x", warehouse: nowhere}
table: facts
contract: %q
seed_brokers: []
at: id
lookups:
  - {topic: sellers, contract: %q, on: price_at_time, add: {nothing: name}}
`, contractOf("purchase_product_facts"), contractOf("sellers")), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fromParsed(conf, service.MockResources())
	if err == nil {
		t.Fatal("the config is accepted")
	}
	for _, word := range []string{"warehouse", "namespace and a table", "seed_brokers", "at: ", "known: is required", "on: ", `"nothing"`} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error does not say %q: %v", word, err)
		}
	}
}

func TestATableThatIsNotThereYetIsNoFault(t *testing.T) {
	s := newShop(t)
	s.where = strings.Replace(s.where, "analytics.facts", "analytics.later", 1)
	p := s.repairer()
	if r := s.repair(p); r.Rows != 0 {
		t.Errorf("the report is %+v", r)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
