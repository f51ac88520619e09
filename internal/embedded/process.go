package embedded

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	stopGrace = 5 * time.Second
	// maxLogBytes is what a log may hold when its server starts; a larger one makes room.
	maxLogBytes = 16 << 20
)

// onSpawner runs f on the one thread from which all children are started. A parent-death signal is
// sent when the *thread* that created the child ends, and Go ends threads at will: this one it cannot.
func onSpawner(f func() error) error {
	result := make(chan error)
	spawner() <- func() { result <- f() }
	return <-result
}

var spawner = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// process is one child.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd.ProcessState is set
}

// spawn starts cmd with its output in the log file, in a process group of its own: Ctrl-C in a
// terminal goes to the whole foreground group, and must not stop the servers before the streams.
func spawn(cmd *exec.Cmd, log string, deathSignal os.Signal, inherit ...*os.File) (*process, error) {
	out, err := openLog(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = inherit
	cmd.SysProcAttr = diesWithParent(cmd.SysProcAttr, deathSignal)
	if err := onSpawner(cmd.Start); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state says all that the error does
		close(p.exited)
	}()
	return p, nil
}

func openLog(path string) (*os.File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	return f, nil
}

func (p *process) pid() int {
	if p == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// stop asks the process to end, and makes it end when it does not. Safe on nil and on a dead process.
func (p *process) stop(ask os.Signal) {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(ask)
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// lastLine returns the last line of a log, which is where programs say why they gave up.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const window = 4 << 10
	if info, err := f.Stat(); err == nil && info.Size() > window {
		_, _ = f.Seek(-window, io.SeekEnd)
	}
	tail, _ := io.ReadAll(f)
	lines := strings.Split(strings.TrimSpace(string(tail)), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
