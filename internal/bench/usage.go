package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// measurement is what moving rows took.
type measurement struct {
	rows int64
	took time.Duration
	cpu  time.Duration
	peak int64 // bytes, all processes together at their own peaks
}

func (m measurement) rate() float64 { return float64(m.rows) / max(m.took.Seconds(), 0.001) }

// clockTicks is the unit of CPU times in /proc, fixed on Linux.
const clockTicks = 100

// usage is the CPU time and memory of a process and everything it started.
type usage struct {
	cpu  time.Duration
	peak int64
}

func usageOf(pids []int) usage {
	var total usage
	for _, pid := range pids {
		total.cpu += cpuOf(pid)
		total.peak += peakOf(pid)
	}
	return total
}

// family returns a process and its descendants.
func family(root int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		fields, ok := statFields(path)
		if !ok {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// statFields returns what follows the command's name, which may hold spaces and parentheses.
func statFields(path string) ([]string, bool) {
	stat, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return nil, false
	}
	fields := strings.Fields(string(stat[end+1:]))
	return fields, len(fields) > 13
}

func cpuOf(pid int) time.Duration {
	fields, ok := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if !ok {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / clockTicks
}

func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0
	}
	kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kilobytes << 10
}

// resetPeaks makes the processes count their peak memory anew.
func resetPeaks(pids []int) {
	for _, pid := range pids {
		// not every kernel allows it; the peak is then that of the process's whole life
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
	}
}

// bare measures work done in this very process.
func bare(rows int64, work func() error) (measurement, error) {
	before := ownCPU()
	started := time.Now()
	err := work()
	return measurement{rows: rows, took: time.Since(started), cpu: ownCPU() - before}, err
}

func ownCPU() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
