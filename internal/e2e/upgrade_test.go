package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// previousVersion is the commit of the version that data directories must open from: 0.1.0 in CHANGELOG.md.
const previousVersion = "b9a280cac21a129892a3e849fe6a0652df1dc2c9"

// books is what an analyst asks for, of a running stack.
func books(t *testing.T, up *upproc.Process) (days int, lines string) {
	t.Helper()
	output, err := exec.Command("curl", "-sf", strings.TrimSuffix(up.Env[env.ClickHouseDSN], "/analytics")+"/", "-d",
		"SELECT purchase_date, total_purchases, total_items, total_revenue FROM analytics.daily_purchase_stats WHERE total_purchases > 0 ORDER BY 1 FORMAT TSV").Output()
	if err != nil {
		return 0, err.Error()
	}
	return strings.Count(string(output), "\n"), string(output)
}

// settled waits until the statistics count what the loader says was accepted, and returns them.
func settled(t *testing.T, up *upproc.Process, purchases int) (lines string) {
	t.Helper()
	eventually(t, 2*time.Minute, "statistics of every purchase", func() (bool, string) {
		_, lines = books(t, up)
		total := 0
		for line := range strings.Lines(lines) {
			var day, revenue string
			var count, items int
			if _, err := fmt.Sscan(line, &day, &count, &items, &revenue); err != nil {
				return false, lines
			}
			total += count
		}
		return total == purchases, fmt.Sprintf("%d of %d purchases", total, purchases)
	})
	return lines
}

var acceptedRows = regexp.MustCompile(`accepted ([\d,]+),`)

// loaded sends a generated shop, and returns how many purchases it has. They are told apart by their ids alone.
func loaded(t *testing.T, program string, up *upproc.Process, dataDir string, seed int) {
	t.Helper()
	cmd := exec.Command(program, "load", "--data-dir", dataDir, "--generate", "3000", "--seed", fmt.Sprint(seed))
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = os.Environ()
	for name, value := range up.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if output, err := cmd.CombinedOutput(); err != nil || !acceptedRows.Match(output) {
		t.Fatalf("loading: %v\n%s", err, output)
	}
}

// counted is the number of purchases, once it has stayed for a while.
func counted(t *testing.T, up *upproc.Process) (purchases int) {
	t.Helper()
	last, since := -1, time.Now()
	eventually(t, 2*time.Minute, "a number of purchases that stays", func() (bool, string) {
		_, lines := books(t, up)
		total := 0
		for line := range strings.Lines(lines) {
			var day string
			var count int
			if _, err := fmt.Sscan(line, &day, &count); err != nil {
				return false, lines
			}
			total += count
		}
		if total != last {
			last, since = total, time.Now()
		}
		return total > 0 && time.Since(since) > 8*time.Second, fmt.Sprint(total)
	})
	return last
}

// previous builds the program of the previous version out of the repository's history, with its YAML beside it.
func previous(t *testing.T) (program, root string) {
	t.Helper()
	root = t.TempDir()
	archive := exec.Command("bash", "-euo", "pipefail", "-c", "git archive "+previousVersion+" | tar -x -C "+root)
	archive.Dir = filepath.Join("..", "..")
	if output, err := archive.CombinedOutput(); err != nil {
		t.Fatalf("taking version %s out of the history, which a shallow clone lacks: %v\n%s", previousVersion, err, output)
	}
	program = filepath.Join(root, "shop-connect")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, "./cmd/shop-connect")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the previous version: %v\n%s", err, output)
	}
	return program, root
}

func TestADataDirectoryOfThePreviousVersionOpensInThisOne(t *testing.T) {
	program, root := previous(t)
	dataDir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	old, err := upproc.Start(ctx, upproc.Config{Binary: program, DataDir: dataDir, Pipelines: filepath.Join(root, "pipelines")})
	if err != nil {
		t.Fatal(err)
	}
	loaded(t, program, old, dataDir, 1)
	purchases := counted(t, old)
	_, before := books(t, old)
	stop(t, old)

	up := startUp(t, dataDir, pipelinesDir)
	defer stop(t, up)
	if after := settled(t, up, purchases); after != before {
		t.Errorf("the books of the previous version were\n%s\nand are\n%s", before, after)
	}
	loaded(t, binary, up, dataDir, 2)
	eventually(t, 2*time.Minute, "purchases beside those of the previous version", func() (bool, string) {
		_, lines := books(t, up)
		return lines != before, "no new purchases"
	})
	for _, run := range []string{"process_kafka_data", "copy_raw_to_stage"} {
		if output, err := shopConnect(t, up, "run-batch", run); err != nil {
			t.Errorf("%s on the upgraded directory: %v\n%s", run, err, output)
		}
	}
}

func TestABackupRestoresTheShop(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := fence.FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/operations.md has %d commands, want those of backup and restore", len(blocks))
	}
	t.Chdir(newcomer(t))
	up := startUp(t, ".shop", "pipelines")
	if output, err := exec.Command("bin/shop-connect", "load", "--generate", "3000").CombinedOutput(); err != nil {
		t.Fatalf("loading: %v\n%s", err, output)
	}
	purchases := counted(t, up)
	_, before := books(t, up)
	stop(t, up)
	for _, block := range blocks {
		if output, err := exec.Command("bash", "-euo", "pipefail", "-c", block[2]).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", block[2], err, output)
		}
	}
	if err := os.RemoveAll(".shop"); err != nil {
		t.Fatal(err)
	}
	restored := startUp(t, filepath.Join("restored", ".shop"), "pipelines")
	defer stop(t, restored)
	if after := settled(t, restored, purchases); after != before {
		t.Errorf("the books were\n%s\nand are, restored,\n%s", before, after)
	}
}
