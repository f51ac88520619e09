package testservers

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
)

// HangPostgres stops the package's own PostgreSQL as a machine does that swaps: connections stay, new ones
// are taken, and nothing is answered. It goes on when resume is called, at the latest when the test ends.
func HangPostgres(t testing.TB) (resume func()) {
	t.Helper()
	Env(t)
	processes := postgresProcesses(t)
	if len(processes) == 0 {
		t.Fatal("no process of PostgreSQL is found, so it cannot hang")
	}
	resume = sync.OnceFunc(func() {
		for _, pid := range processes {
			_ = syscall.Kill(pid, syscall.SIGCONT) // one may have ended
		}
	})
	t.Cleanup(resume)
	for _, pid := range processes {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatalf("stopping process %d of PostgreSQL: %v", pid, err)
		}
	}
	return resume
}

// postgresProcesses are the server that this process started and, after it, those that it forked.
func postgresProcesses(t testing.TB) (found []int) {
	t.Helper()
	listed, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,comm=").Output()
	if err != nil {
		t.Fatalf("listing processes: %v", err)
	}
	children := map[int][]int{}
	servers := []int{}
	for lines := bufio.NewScanner(bytes.NewReader(listed)); lines.Scan(); {
		var pid, parent int
		var program string
		if _, err := fmt.Sscan(lines.Text(), &pid, &parent, &program); err != nil {
			continue
		}
		children[parent] = append(children[parent], pid)
		if parent == os.Getpid() && program == "postgres" {
			servers = append(servers, pid)
		}
	}
	for _, server := range servers {
		found = append(append(found, server), children[server]...)
	}
	return found
}
