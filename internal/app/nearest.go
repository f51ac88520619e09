package app

import (
	"encoding/json"
	"maps"
	"regexp"
	"sync"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/nearest"
)

// names are those of all components and fields that a stream may use.
type names struct {
	load func() map[string]bool
}

func newNames(env *service.Environment) names {
	return names{load: sync.OnceValue(func() map[string]bool {
		known := map[string]bool{}
		text, err := env.FullConfigSchema("", "").MarshalJSONV0()
		if err != nil {
			return known
		}
		var schema any
		if json.Unmarshal(text, &schema) == nil {
			collect(schema, known)
		}
		return known
	})}
}

func collect(node any, into map[string]bool) {
	switch node := node.(type) {
	case map[string]any:
		if name, ok := node["name"].(string); ok {
			into[name] = true
		}
		for _, child := range node {
			collect(child, into)
		}
	case []any:
		for _, child := range node {
			collect(child, into)
		}
	}
}

var (
	// unknown finds what a lint calls by a name that nothing has.
	unknown = regexp.MustCompile(`(?:field (\S+) not recognised|component type: (.*))`)
	word    = regexp.MustCompile(`[A-Za-z0-9_]{3,}`)
)

// meant says which name a fault's misspelt one is closest to, as the end of its message.
func (n names) meant(fault string) string {
	found := unknown.FindStringSubmatch(fault)
	if found == nil {
		return ""
	}
	known := n.load()
	for _, given := range word.FindAllString(found[1]+" "+found[2], -1) {
		if known[given] {
			continue
		}
		if name := nearest.Of(given, maps.Keys(known)); name != "" {
			return "; did you mean " + name + "?"
		}
	}
	return ""
}
