package kafkarows_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/record"
)

// The variables that make the test binary a member in a process of its own.
const (
	variableBroker = "KAFKA_ROWS_TEST_BROKER"
	variableFile   = "KAFKA_ROWS_TEST_FILE"
)

// file is an output that appends rows to a file before they are acknowledged.
type file struct{ *os.File }

func (file) Connect(context.Context) error { return nil }
func (file) Close(context.Context) error   { return nil }

func (f file) WriteBatch(_ context.Context, batch service.MessageBatch) error {
	var lines bytes.Buffer
	for row, err := range record.Rows(batch) {
		if err != nil {
			return err
		}
		lines.Write(row.Value)
		lines.WriteByte('\n')
	}
	_, err := f.Write(lines.Bytes())
	return err
}

// TestMemberProcess is not a test by itself: it is the member that another test starts and kills.
func TestMemberProcess(t *testing.T) {
	if os.Getenv(variableBroker) == "" {
		return
	}
	out, err := os.Create(os.Getenv(variableFile))
	if err != nil {
		t.Fatal(err)
	}
	environment := service.NewEnvironment()
	err = environment.RegisterBatchOutput("rows_file", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		return file{out}, service.BatchPolicy{}, 4, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	builder := environment.NewStreamBuilder()
	input := fmt.Sprintf("kafka_rows: {seed_brokers: [%q], topics: [%s], consumer_group: readers, batch_rows: 5000, batch_period: 20ms, fetch_max_partition_bytes: 64KB, session_timeout: 6s, heartbeat_interval: 500ms, commit_period: 200ms}",
		os.Getenv(variableBroker), inputTopic)
	if err := builder.AddInputYAML(input); err != nil {
		t.Fatal(err)
	}
	if err := builder.AddOutputYAML("rows_file: {}"); err != nil {
		t.Fatal(err)
	}
	stream, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Run(t.Context()) // until it is killed
}

func startMember(t *testing.T, address string) (rows string, kill func()) {
	t.Helper()
	rows = filepath.Join(t.TempDir(), "rows")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestMemberProcess$")
	cmd.Env = append(os.Environ(), variableBroker+"="+address, variableFile+"="+rows)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(kill)
	return rows, kill
}

// linesOf counts how often each whole line is in a file; the last one may have been cut off by a kill.
func linesOf(t *testing.T, path string) map[string]int {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	counts := map[string]int{}
	whole := content[:bytes.LastIndexByte(content, '\n')+1]
	for lines := bufio.NewScanner(bytes.NewReader(whole)); lines.Scan(); {
		counts[lines.Text()]++
	}
	return counts
}

func TestAKilledMemberLosesNoRow(t *testing.T) {
	const partitions, rows = 6, 1_000_000
	b := startBroker(t, kfake.SeedTopics(partitions, inputTopic))
	for n := range rows {
		b.client.Produce(t.Context(), &kgo.Record{Topic: inputTopic, Partition: int32(n % partitions), Value: fmt.Appendf(nil, "%d", n)}, nil)
	}
	if err := b.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, kill := startMember(t, b.address)
	second, killSecond := startMember(t, b.address)
	amid := func(lines string) bool { info, err := os.Stat(lines); return err == nil && info.Size() > 100_000 }
	eventually(t, "a member is amid the rows", func() bool { return amid(first) || amid(second) })
	if !amid(first) { // whoever joined first may have all
		first, second, kill = second, first, killSecond
	}
	kill()
	killed := linesOf(t, first)
	var survivor map[string]int
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		survivor = linesOf(t, second)
		missing := 0
		for n := range rows {
			if value := fmt.Sprint(n); killed[value] == 0 && survivor[value] == 0 {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d rows are lost", missing, rows)
		}
	}
	again := 0
	for value, times := range survivor {
		if times > 1 && killed[value] == 0 || times > 2 || strings.TrimSpace(value) == "" {
			t.Fatalf("row %q came %d times, though nobody died with it", value, times)
		}
		if killed[value] > 0 {
			again++
		}
	}
	// what the killed one had acknowledged within a commit period, or had on its way
	if again > rows/4 {
		t.Errorf("%d rows came again after one kill", again)
	}
	t.Logf("%d rows came again", again)
}
