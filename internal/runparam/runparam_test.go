package runparam_test

import (
	"strings"
	"testing"

	"github.com/shop-connect/shop-connect/internal/runparam"
)

func TestValuesThatARuleAllows(t *testing.T) {
	for rule, values := range map[string][]string{
		"":                 {"", "purchase_date=2026-01-02/", "a.b"},
		"text":             {"x"},
		"date":             {"2026-01-31", "2024-02-29"},
		"date?":            {""},
		"bool":             {"true", "false"},
		"sellers|products": {"sellers", "products"},
	} {
		for _, value := range values {
			if err := runparam.Check(rule, value); err != nil {
				t.Errorf("%q: %v", rule, err)
			}
		}
	}
}

func TestValuesThatNoRuleOrTheirRuleRefuses(t *testing.T) {
	hostile := []string{
		"../x", "a/../b", "x\"", "x\ninput: {}", "x\n", "x y", "${JWT_SECRET}", "${! env() }", "x #", "{a}", "a,b", "'", "`", "x\x00", "é", strings.Repeat("a", 201),
	}
	for rule, values := range map[string][]string{
		"": hostile, "text": append(hostile, ""), "text?": hostile,
		"date":             append(hostile, "", "2026-13-45", "2026-02-30", "20260131", "today", "2026-01-31T00:00:00Z"),
		"bool":             append(hostile, "", "yes", "1", "TRUE"),
		"sellers|products": append(hostile, "", "seller", "sellers|products"),
	} {
		for _, value := range values {
			if runparam.Check(rule, value) == nil {
				t.Errorf("%q allows %q", rule, value)
			}
		}
	}
}

func TestRulesThatAreNone(t *testing.T) {
	for _, rule := range []string{"", "int", "a", "a||b", "|"} {
		if runparam.CheckRule(rule) == nil {
			t.Errorf("%q is accepted", rule)
		}
	}
}
