package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// bench is a running stack whose pipelines folder this program edits: a flow begins when its file
// appears there.
type bench struct {
	source, pipelines string
	binary            string
	generator         load.GeneratorConfig
	rows              *rendered // until they are sent
	up                *upproc.Process
	truth             load.Truth
	// notes are printed below the table.
	notes []string
}

func (b *bench) notef(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// copyPipelines copies whole folders of the pipelines.
func (b *bench) copyPipelines(folders ...string) error {
	for _, folder := range folders {
		if err := os.CopyFS(filepath.Join(b.pipelines, folder), os.DirFS(filepath.Join(b.source, folder))); err != nil {
			return fmt.Errorf("copying pipelines: %w", err)
		}
	}
	return nil
}

func (b *bench) addPipelines(names ...string) error {
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(b.source, name+".yaml"))
		if err != nil {
			return fmt.Errorf("reading pipeline: %w", err)
		}
		fresh := filepath.Join(b.pipelines, name+".new")
		if err := os.WriteFile(fresh, content, 0o600); err != nil {
			return fmt.Errorf("adding pipeline: %w", err)
		}
		if err := os.Rename(fresh, filepath.Join(b.pipelines, name+".yaml")); err != nil {
			return fmt.Errorf("adding pipeline: %w", err)
		}
	}
	return nil
}

// removePipelines returns once the streams are gone.
func (b *bench) removePipelines(names ...string) error {
	for _, name := range names {
		if err := os.Remove(filepath.Join(b.pipelines, name+".yaml")); err != nil {
			return fmt.Errorf("removing pipeline: %w", err)
		}
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			response, err := b.get(context.Background(), "/streams/"+name)
			if err == nil {
				response.Body.Close()
				if response.StatusCode == http.StatusNotFound {
					break
				}
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("removing pipeline %s: it still runs", name)
			}
		}
	}
	return nil
}

// watched adds a step's pipelines, runs it and measures shop-connect and its servers meanwhile.
func (b *bench) watched(ctx context.Context, step step) (measurement, error) {
	pids := family(b.up.PID())
	resetPeaks(pids)
	before, own := usageOf(pids), ownCPU()
	result, err := step.run(ctx, b)
	after := usageOf(family(b.up.PID()))
	result.cpu = after.cpu - before.cpu + ownCPU() - own
	result.peak = after.peak
	return result, err
}

// drainTimeout is far more than any backlog of ours takes.
const drainTimeout = 3 * time.Minute

// backlogShare of the rows are timed: the last batch of a backlog waits for the period of its policy,
// which says nothing about a rate.
const backlogShare = 0.98

// consume starts pipelines and waits until the first of them has acknowledged all records of the topic. The
// clock runs from the first acknowledged batch, when the consumer group has formed, to backlogShare.
func (b *bench) consume(ctx context.Context, pipelines ...string) (measurement, error) {
	if err := b.addPipelines(pipelines...); err != nil {
		return measurement{}, err
	}
	var result measurement
	var first, last float64
	var started time.Time
	moved := time.Now()
	for {
		sent, err := b.acknowledged(ctx, pipelines[0])
		if err != nil {
			return measurement{}, err
		}
		switch {
		case sent > 0 && started.IsZero():
			first, started = sent, time.Now()
		case sent >= backlogShare*float64(b.truth.Accepted) && result.took == 0:
			result = measurement{rows: int64(sent - first), took: time.Since(started)}
		}
		switch {
		case sent >= float64(b.truth.Accepted):
			return result, nil
		case sent > last:
			last, moved = sent, time.Now()
		case time.Since(moved) > time.Minute:
			return measurement{}, fmt.Errorf("waiting for %s: no progress for a minute at %.0f of %d rows", pipelines[0], sent, b.truth.Accepted)
		}
		select {
		case <-ctx.Done():
			return measurement{}, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// drained waits until a consumer group has worked off its backlog, which would share the machine with what
// is measured next.
func (b *bench) drained(ctx context.Context, group string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers(b)...))
	if err != nil {
		return fmt.Errorf("opening Kafka: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	for {
		lag, err := kadm.NewClient(client).Lag(ctx, group)
		if err != nil {
			return fmt.Errorf("reading the lag of %s: %w", group, err)
		}
		// the group is not there until the stream has joined it
		if described := lag[group]; described.Error() == nil && len(described.Lag) > 0 && described.Lag.Total() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to work off its backlog: %w", group, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// acknowledged returns how many rows a stream has read from Kafka and acknowledged.
func (b *bench) acknowledged(ctx context.Context, stream string) (float64, error) {
	response, err := b.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var total float64
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, "kafka_rows_acknowledged{") || !strings.Contains(line, `stream="`+stream+`"`) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("reading metric: %w", err)
		}
		total += value
	}
	return total, nil
}

func (b *bench) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.up.Env[env.StreamsAddress]+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking shop-connect: %w", err)
	}
	request.SetBasicAuth(b.up.Env[env.StreamsUser], b.up.Env[env.StreamsPassword])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking shop-connect: %w", err)
	}
	return response, nil
}
