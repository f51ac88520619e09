// Package upproc runs `shop-connect up` as a child process: what the demo, the end-to-end tests and the
// benchmarks look at is what users start.
package upproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
)

// Ready is the first word of the table that up prints once everything works.
const Ready = "shop-connect is up"

const stopTimeout = 30 * time.Second

// Config says what to start.
type Config struct {
	// Binary is the path of shop-connect; empty means the running program.
	Binary string
	// DataDir is passed on as --data-dir.
	DataDir string
	// Pipelines is passed on as --pipelines; empty leaves the default.
	Pipelines string
	// Ports are passed on as flags; nil lets the system choose every port.
	Ports []string
	// Output receives the table that up prints, Errors its complaints; nil drops them.
	Output, Errors io.Writer
}

// Process is a running `shop-connect up`.
type Process struct {
	// Env holds the variables by which other programs find its servers.
	Env  map[string]string
	cmd  *exec.Cmd
	exit chan error
}

// anyPorts keeps a stack from standing in the way of one that runs already.
var anyPorts = []string{
	"--port-api=0", "--port-streams=0", "--port-kafka=0", "--port-s3=0", "--port-postgres=0", "--port-clickhouse=0",
}

// Start returns once up has said that it is ready.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	binary := cfg.Binary
	if binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("locating shop-connect: %w", err)
		}
		binary = self
	}
	args := []string{"up", "--data-dir", cfg.DataDir}
	if cfg.Pipelines != "" {
		args = append(args, "--pipelines", cfg.Pipelines)
	}
	if cfg.Ports == nil {
		cfg.Ports = anyPorts
	}
	output, errs := orDiscard(cfg.Output), orDiscard(cfg.Errors)
	cmd := exec.Command(binary, append(args, cfg.Ports...)...)
	// it must not outlive this process, nor get its Ctrl-C before this process has decided
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var complaints strings.Builder
	cmd.Stderr = io.MultiWriter(errs, &complaints)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s up: %w", binary, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s up: %w", binary, err)
	}
	p := &Process{cmd: cmd, exit: make(chan error, 1)}
	ready := make(chan struct{})
	go p.follow(stdout, output, ready)
	select {
	case <-ready:
	case err := <-p.exit:
		return nil, fmt.Errorf("starting %s up: %w: %s", binary, err, strings.TrimSpace(complaints.String()))
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("starting %s up: %w", binary, ctx.Err()), p.Stop())
	}
	if p.Env, err = env.ReadFile(cfg.DataDir); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

// follow copies what up prints and notes when it is ready; at its end it reaps the process.
func (p *Process) follow(stdout io.Reader, output io.Writer, ready chan<- struct{}) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		fmt.Fprintln(output, lines.Text())
		if ready != nil && strings.HasPrefix(lines.Text(), Ready) {
			close(ready)
			ready = nil
		}
	}
	err := p.cmd.Wait()
	if err == nil {
		err = errors.New("it ended with exit code 0")
	}
	p.exit <- err
}

// PID is the process id of up; its servers are its children.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop ends up the way Ctrl-C does and returns when it is gone.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping up: %w", err)
	}
	select {
	case <-p.exit:
		return nil
	case <-time.After(stopTimeout):
		p.Kill()
		return fmt.Errorf("stopping up: it did not end within %s and was killed", stopTimeout)
	}
}

// Kill ends up at once, as a crash would, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exit
}
