package env

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// fileName is the file of a data directory in which a running `up` tells other programs where its
// servers are: `set -a; . .shop/env`, or --env-file.
const fileName = "env"

// WriteFile writes the variables to a data directory, readable by its owner only.
func WriteFile(dataDir string, vars map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&text, "%s=%s\n", name, vars[name]) // values are URLs and base32: nothing to quote
	}
	path := filepath.Join(dataDir, fileName)
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("writing environment: %w", err)
	}
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("writing environment: %w", err)
	}
	return nil
}

// ReadFile returns what the last `up` on a data directory wrote.
func ReadFile(dataDir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dataDir, fileName))
	if err != nil {
		return nil, fmt.Errorf("reading where the servers are: %w; start them with `shop-connect up`, or name another --data-dir", err)
	}
	vars := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			vars[name] = value
		}
	}
	return vars, nil
}
