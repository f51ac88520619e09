package contract

import (
	"fmt"
	"strings"
)

// Rules says in words what the field asks of a value, besides its type.
func (f *Field) Rules() []string {
	var rules []string
	add := func(when bool, format string, args ...any) {
		if when {
			rules = append(rules, fmt.Sprintf(format, args...))
		}
	}
	add(f.AcceptInteger, "an integer becomes its decimal text")
	add(f.lowText != "", "%s", f.lowText)
	add(f.hiText != "", "%s", f.hiText)
	add(f.minLen > 0, "at least %d characters", f.minLen)
	add(f.anyLen && f.maxLen < maxAnyLength, "at most %d characters", f.maxLen)
	if f.pattern != nil {
		add(true, "must match `%s`", strings.ReplaceAll(f.pattern.String(), "|", `\|`))
	}
	add(len(f.enum) > 0, "one of %q", f.enum)
	add(f.References != "" && f.RefuseUnknown, "must be known among %s", f.References)
	add(f.References != "" && !f.RefuseUnknown, "counted as a warning if unknown among %s", f.References)
	return rules
}

// presence says whether a row needs the field, and what stands in for it.
func (f *Field) presence() string {
	switch {
	case f.Missing == MissingGenerated:
		return "given if absent"
	case f.Missing == MissingNow:
		return "time of arrival if absent"
	case f.Required:
		return "required"
	}
	return "optional"
}

// Reference renders what a person needs to know of contracts to send valid rows, as Markdown.
func Reference(contracts []*Contract) string {
	var b strings.Builder
	b.WriteString(`# Contracts: what a valid row is

Generated from ` + "`pipelines/contracts/*.yaml`" + ` by ` + "`make generate`" + `: change them, not this page. Money is a JSON number or
string with at most four decimals. A time is ISO 8601; without a zone it is a time of ` + "`SHOP_TIMEZONE`" + `. Unknown
members of a row are kept in RAW with the row's bytes and are part of no column. No text may hold the character U+0000.
` + "`{\"<key>\": …, \"deleted\": true}`" + ` is a deletion, valid with its key alone.
`)
	for _, c := range contracts {
		fmt.Fprintf(&b, "\n## %s, version %d\n\n%s Its key is `%s`", c.Entity, c.Version, c.Doc, c.Fields[c.Key].Name)
		if c.EventTime >= 0 {
			fmt.Fprintf(&b, "; `%s` decides its business day", c.Fields[c.EventTime].Name)
		}
		b.WriteString(".\n\n| field | type | | rules | |\n|---|---|---|---|---|\n")
		for i := range c.Fields {
			f := &c.Fields[i]
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, f.presence(), strings.Join(f.Rules(), "; "), f.Doc)
		}
	}
	return b.String()
}
