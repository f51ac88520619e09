package e2e

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// How long Schemathesis looks: enough to find what it finds often, in every run the same. More of them,
// and others, with SCHEMATHESIS_EXAMPLES and SCHEMATHESIS_SEED.
const (
	schemathesisExamples = 8
	schemathesisSeed     = 20250101
	schemathesisTimeout  = 20 * time.Minute
)

// Every check of Schemathesis is on: no answer of status 5xx, none that the document does not describe,
// nothing taken that the document forbids, nothing refused that it allows, nobody let in without a token.
func TestTheAPIDoesWhatItsOpenAPIDocumentSays(t *testing.T) {
	python := schemathesis(t)
	// what limits clients is tested elsewhere; here it would hide what is behind it
	t.Setenv("API_RATE_LIMIT", "0")
	t.Setenv("API_ATTEMPTS_PER_USER", "1000000")
	t.Setenv("API_ATTEMPTS_PER_ADDRESS", "1000000")
	up, _ := withUp(t)
	ctx, cancel := context.WithTimeout(t.Context(), schemathesisTimeout)
	defer cancel()
	arguments := []string{
		"-B", "-m", "schemathesis.cli", "run", apiURL(up) + "/openapi.json", "--checks=all", "--no-color", "--request-timeout=30",
		"--max-examples=" + number(t, "SCHEMATHESIS_EXAMPLES", schemathesisExamples), "--seed=" + number(t, "SCHEMATHESIS_SEED", schemathesisSeed),
	}
	run := exec.CommandContext(ctx, python, arguments...)
	run.Dir = schemathesisDir
	run.Env = append(os.Environ(), "SHOP_TOKEN="+token(t, up))
	if output, err := run.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, output)
	}
}

func number(t *testing.T, variable string, otherwise int) string {
	t.Helper()
	given := os.Getenv(variable)
	if given == "" {
		return strconv.Itoa(otherwise)
	}
	if _, err := strconv.Atoi(given); err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return given
}
