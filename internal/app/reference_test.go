package app

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheReferenceOfComponentsIsWhatIsCommitted(t *testing.T) {
	committed, err := os.ReadFile("../../docs/components.md")
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	if err := writeComponents(&now, Environment()); err != nil {
		t.Fatal(err)
	}
	if string(committed) != now.String() {
		t.Error("docs/components.md differs from what `make generate` writes")
	}
}

// registration is where a plugin gives a component its name.
var registration = regexp.MustCompile(`service\.MustRegister\w+\("(\w+)"`)

func TestTheReferenceHasEveryComponentOfOurs(t *testing.T) {
	files, err := filepath.Glob("../../plugins/*/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, names := range ours {
		listed = append(listed, names...)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range registration.FindAllStringSubmatch(string(text), -1) {
			found++
			if !slices.Contains(listed, name[1]) {
				t.Errorf("%s registers %s, which docs/components.md lacks", file, name[1])
			}
		}
	}
	if found == 0 {
		t.Error("no plugin registers anything: the test does not read them")
	}
}
