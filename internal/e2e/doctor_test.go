package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The doctor finds nothing in a shop that runs, and a missing bucket in one that lost it.
func TestTheDoctorLooksAtARunningShop(t *testing.T) {
	dataDir := t.TempDir()
	up := startUp(t, dataDir, pipelinesDir)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = up.Stop()
		}
	})
	doctor := func() (string, int) {
		cmd := exec.Command(binary, "doctor", "--data-dir", dataDir)
		cmd.Dir = filepath.Join("..", "..")
		output, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return string(output), exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		return string(output), 0
	}
	report, code := doctor()
	if code != 0 || !strings.Contains(report, "\nall is well") {
		t.Errorf("exit code %d:\n%s", code, report)
	}
	if err := os.RemoveAll(filepath.Join(dataDir, "s3", "buckets", "shop-quarantine")); err != nil {
		t.Fatal(err)
	}
	if report, code = doctor(); code != 1 || !strings.Contains(report, "there is no bucket shop-quarantine") {
		t.Errorf("exit code %d without a bucket:\n%s", code, report)
	}
	if err := up.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped = true
	if report, code = doctor(); code != 1 || !strings.Contains(report, "start the brokers") || !strings.Contains(report, "shop-connect streams") {
		t.Errorf("exit code %d after the end:\n%s", code, report)
	}
}
