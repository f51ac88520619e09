// Package runparam says which values a parameter of a batch stream may have.
//
// A value comes from whoever may start a run and ends up in YAML, in keys of objects and in paths of
// files. What it may consist of is therefore bounded whatever its rule; a rule says more.
package runparam

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The rules by name; any other is a list of the values that are allowed, a|b|c. A rule that ends in ?
// allows an empty value too.
const (
	ruleText = "text"
	ruleDate = "date"
	ruleBool = "bool"

	optional = "?"
	choice   = "|"
)

const maxLength = 200

// harmless is what any value consists of: nothing in it means anything to YAML or Connect.
var harmless = regexp.MustCompile(`^[A-Za-z0-9._:/=+@-]*$`)

// CheckRule reports what is wrong with a rule.
func CheckRule(rule string) error {
	rule = strings.TrimSuffix(rule, optional)
	switch {
	case rule == ruleText, rule == ruleDate, rule == ruleBool:
		return nil
	case strings.Contains(rule, choice) && !slices.Contains(strings.Split(rule, choice), ""):
		return nil
	}
	return fmt.Errorf("%q is no rule: write %s, %s, %s or a list such as a|b, and %s behind it where the value may be empty",
		rule, ruleText, ruleDate, ruleBool, optional)
}

// Check reports what is wrong with a value. An empty rule is text that may be empty.
func Check(rule, value string) error {
	if !harmless.MatchString(value) || strings.Contains(value, "..") || len(value) > maxLength {
		return fmt.Errorf("%.60q may hold letters, digits and ._:/=+@- only, no two dots together, and %d characters", value, maxLength)
	}
	rule, mayBeEmpty := strings.CutSuffix(rule, optional)
	if value == "" && (mayBeEmpty || rule == "") {
		return nil
	}
	switch rule {
	case "":
		return nil
	case ruleText:
		if value == "" {
			return errors.New("must not be empty")
		}
		return nil
	case ruleDate:
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return fmt.Errorf("%q is no day: write it as 2026-01-31", value)
		}
		return nil
	case ruleBool:
		rule = "true" + choice + "false"
	}
	if allowed := strings.Split(rule, choice); !slices.Contains(allowed, value) {
		return fmt.Errorf("%q is not one of %s", value, strings.Join(allowed, ", "))
	}
	return nil
}
