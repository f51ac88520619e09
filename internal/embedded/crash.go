package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// restartPause lies between two attempts to start a server that was killed: what is left of it may hold
// its shared memory or its port for a moment longer.
const restartPause = 100 * time.Millisecond

// Kill ends a server as a crash would, with the processes that it started itself, and returns once it is
// gone. It stays away until [Servers.Restart]; Done does not tell of it.
func (s *Servers) Kill(name string) error {
	srv, err := s.find(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	srv.killed = true
	s.mu.Unlock()
	for _, pid := range s.Processes(name) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("killing %s (process %d): %w", name, pid, err)
		}
	}
	<-srv.process.exited
	return nil
}

// Restart starts a server that was killed, on the data that it left and at its old address, and returns
// once it answers.
func (s *Servers) Restart(ctx context.Context, name string) error {
	srv, err := s.find(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := srv.start(ctx, s.lock)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(restartPause):
		}
	}
	s.mu.Lock()
	srv.killed = false
	s.mu.Unlock()
	go s.watch(srv)
	return nil
}

// Processes are the ids of a server's process and of those that it has started itself.
func (s *Servers) Processes(name string) []int {
	srv, err := s.find(name)
	if err != nil || srv.process == nil {
		return nil
	}
	return append([]int{srv.process.pid()}, childrenOf(srv.process.pid())...)
}

func (s *Servers) find(name string) (*server, error) {
	for _, srv := range s.servers {
		if srv.name == name {
			return srv, nil
		}
	}
	return nil, fmt.Errorf("there is no server %q", name)
}

// childrenOf reads the table of processes; where there is none to read, nothing is found.
func childrenOf(parent int) (children []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // it has ended meanwhile
		}
		// pid (command) state parent …; a command may hold anything, parentheses too
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
			children = append(children, pid)
		}
	}
	return children
}
