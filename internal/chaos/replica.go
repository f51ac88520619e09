package chaos

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	// respawnPause is what a supervisor waits before it starts a replica that ended.
	respawnPause = time.Second
	readyPoll    = 50 * time.Millisecond
)

// replica is a `shop-connect streams` process, started as in production and again whenever it ends.
type replica struct {
	name    string
	net     *network
	vars    map[string]string // of the replica, proxies in the place of servers
	command func() *exec.Cmd
	log     *logMeter
	report  func(format string, args ...any)

	mu      sync.Mutex
	process *os.Process
	killed  bool // by this program, rather than by itself
	deaths  int  // by itself
	stopped bool
	done    chan struct{}
}

type replicaConfig struct {
	binary, pipelines, streams, logFile string
	vars                                map[string]string
	seed                                uint64
	report                              func(format string, args ...any)
}

func newReplica(name string, cfg replicaConfig) (*replica, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	network, err := newNetwork(name, cfg.vars, loopback(ports[0]), cfg.seed)
	if err != nil {
		return nil, err
	}
	log, err := newLogMeter(cfg.logFile)
	if err != nil {
		network.close()
		return nil, err
	}
	vars := network.vars
	vars[env.APIAddress], vars[env.StreamsAddress] = loopback(ports[0]), loopback(ports[1])
	vars[env.StreamsURL] = "http://" + vars[env.StreamsAddress]
	vars[env.StreamsDir], vars[env.ContractsDir] = cfg.streams, filepath.Join(cfg.pipelines, "contracts")
	hash := sha256.Sum256([]byte(vars[env.StreamsPassword]))
	environment := append(os.Environ(), "STREAMS_PASSWORD_HASH="+base64.StdEncoding.EncodeToString(hash[:]),
		"API_DEMO_USER=true", "API_ACCESS_LOG=false", "LOG_LEVEL=INFO")
	for key, value := range vars {
		environment = append(environment, key+"="+value)
	}
	files, err := filepath.Glob(filepath.Join(cfg.pipelines, "*.yaml"))
	if err != nil || len(files) == 0 {
		network.close()
		return nil, fmt.Errorf("there are no pipelines in %s: name their folder with --pipelines", cfg.pipelines)
	}
	args := append([]string{"streams", "-o", filepath.Join(cfg.pipelines, "resources", "service.yaml")}, files...)
	return &replica{
		name: name, net: network, vars: vars, log: log, report: cfg.report, done: make(chan struct{}),
		command: func() *exec.Cmd {
			cmd := exec.Command(cfg.binary, args...)
			cmd.Env = environment
			// it must not get this process's Ctrl-C, nor outlive it
			cmd.SysProcAttr = childAttr()
			return cmd
		},
	}, nil
}

// run keeps the replica running until stop.
func (r *replica) run() {
	defer close(r.done)
	for {
		cmd := r.command()
		output, input := io.Pipe()
		cmd.Stdout, cmd.Stderr = input, input
		copied := make(chan struct{})
		go func() {
			r.log.copy(output)
			close(copied)
		}()
		r.mu.Lock()
		if r.stopped {
			r.mu.Unlock()
			input.Close()
			return
		}
		err := onSpawner(cmd.Start)
		r.process, r.killed = cmd.Process, false
		r.mu.Unlock()
		if err == nil {
			err = cmd.Wait()
		}
		input.Close()
		<-copied
		r.mu.Lock()
		r.process = nil
		stopped, killed := r.stopped, r.killed
		if !stopped && !killed {
			r.deaths++
		}
		r.mu.Unlock()
		if stopped {
			return
		}
		if !killed {
			r.report("%s ended by itself (%v), saying: %s", r.name, err, r.log.last())
			time.Sleep(respawnPause)
		}
	}
}

// pid is 0 while the replica is away.
func (r *replica) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return 0
	}
	return r.process.Pid
}

func (r *replica) kill() bool { return r.signal(syscall.SIGKILL) }

func (r *replica) signal(signal syscall.Signal) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return false
	}
	r.killed = r.killed || signal == syscall.SIGKILL
	return r.process.Signal(signal) == nil
}

// stop ends the replica for good; it is given the time that Connect takes to finish what it has in hand.
func (r *replica) stop() {
	r.mu.Lock()
	r.stopped = true
	if r.process != nil {
		_ = r.process.Signal(syscall.SIGCONT)
		_ = r.process.Signal(syscall.SIGTERM)
	}
	r.mu.Unlock()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		r.signal(syscall.SIGKILL)
		<-r.done
	}
	r.net.close()
	r.log.close()
}

// ready asks whether every component of every stream is connected.
func (r *replica) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.vars[env.StreamsURL]+"/ready", nil)
	if err != nil {
		return err
	}
	request.SetBasicAuth(r.vars[env.StreamsUser], r.vars[env.StreamsPassword])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", r.name, text)
	}
	return err
}

func (r *replica) awaitReady(ctx context.Context) error {
	for {
		err := r.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", r.name, err)
		case <-time.After(readyPoll):
		}
	}
}

// logMeter keeps what a replica prints in a file and counts its lines by second.
type logMeter struct {
	mu      sync.Mutex
	file    *os.File
	seconds map[int64]int
	final   string
}

func newLogMeter(path string) (*logMeter, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("creating a log: %w", err)
	}
	return &logMeter{file: file, seconds: map[int64]int{}}, nil
}

func (l *logMeter) copy(from io.Reader) {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			l.mu.Lock()
			l.seconds[time.Now().Unix()]++
			l.final = line
			_, _ = l.file.WriteString(line) // of a full disk the replica itself will tell
			l.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (l *logMeter) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return trimLine(l.final)
}

// take returns how many lines there were, and how many in the busiest second, since the last call.
func (l *logMeter) take() (lines, busiest int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.seconds {
		lines, busiest = lines+n, max(busiest, n)
	}
	clear(l.seconds)
	return lines, busiest
}

func (l *logMeter) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.file.Close()
}

func trimLine(line string) string {
	const most = 300
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	if len(line) > most {
		return line[:most] + "…"
	}
	return line
}

// takeDeaths is how often the replica ended by itself since the last call.
func (r *replica) takeDeaths() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.deaths
	r.deaths = 0
	return n
}
