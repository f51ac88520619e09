package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/upproc"
)

// nextHeading ends a section.
var nextHeading = regexp.MustCompile(`\n#+ [A-Z]`)

// fence is a block of code with its language.
var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// examples returns the blocks of a section of the README.
func examples(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	section = nextHeading.Split(section, 2)[0]
	return fence.FindAllStringSubmatch(section, -1)
}

// answerMark begins a line that an example is said to print; an ellipsis in it stands for anything.
const answerMark = "#> "

func promised(code string) (lines []string) {
	for line := range strings.Lines(code) {
		if answer, is := strings.CutPrefix(line, answerMark); is {
			lines = append(lines, strings.TrimSpace(answer))
		}
	}
	return lines
}

func printed(output string) (lines []string) {
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

func matches(promise, line string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(promise), "…", ".*") + "$").MatchString(line)
}

func TestTheClientsOfTheReadmeWorkAsShown(t *testing.T) {
	interpreters := map[string][]string{"sh": {"bash", "-euo", "pipefail", "-c"}, "python": {"python3", "-c"}}
	blocks := examples(t, "### A client")
	if len(blocks) != len(interpreters) {
		t.Fatalf("there are %d examples, want %d", len(blocks), len(interpreters))
	}
	up, _ := withUp(t)
	for _, block := range blocks {
		t.Run(block[1], func(t *testing.T) { runExample(t, up, interpreters[block[1]], block[2]) })
	}
}

const exampleTimeout = time.Minute

func runExample(t *testing.T, up *upproc.Process, interpreter []string, code string) {
	ctx, cancel := context.WithTimeout(t.Context(), exampleTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter[0], append(interpreter[1:], code)...)
	cmd.Env = append(os.Environ(), "SHOP_URL="+apiURL(up))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, &complaints)
	}
	want, got := promised(code), printed(string(output))
	if len(want) == 0 || len(want) != len(got) {
		t.Fatalf("it shows %d answers, and prints %d:\n%s", len(want), len(got), output)
	}
	for i := range want {
		if !matches(want[i], got[i]) {
			t.Errorf("it shows\n%s\nand prints\n%s", want[i], got[i])
		}
	}
}
