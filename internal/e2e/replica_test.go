package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// replica is a `shop-connect streams` process beside a running stack, started as in production: it serves
// the API and takes its turn at relaying the outbox, and its death leaves the servers alone.
type replica struct {
	address   string
	pipelines string
	variables []string
	output    *syncBuffer
	process   *exec.Cmd
}

// startReplica runs the pipelines of a folder until the test ends, with the variables of the stack and others.
func startReplica(t *testing.T, up *upproc.Process, pipelines string, others ...string) *replica {
	t.Helper()
	r := &replica{address: freeAddress(t), pipelines: pipelines, variables: os.Environ(), output: &syncBuffer{}}
	for name, value := range up.Env {
		r.variables = append(r.variables, name+"="+value)
	}
	hash := sha256.Sum256([]byte(up.Env[env.StreamsPassword]))
	r.variables = append(r.variables, env.APIAddress+"="+r.address, env.StreamsAddress+"=127.0.0.1:0",
		"STREAMS_PASSWORD_HASH="+base64.StdEncoding.EncodeToString(hash[:]), "API_DEMO_USER=true", "API_ACCESS_LOG=false", "LOG_LEVEL=WARN")
	r.variables = append(r.variables, others...)
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.kill()
		if t.Failed() {
			t.Logf("the replica at %s printed:\n%s", r.address, r.output)
		}
	})
	return r
}

// start returns once the replica answers.
func (r *replica) start() error {
	files, err := filepath.Glob(filepath.Join(r.pipelines, "*.yaml"))
	if err != nil {
		return err
	}
	r.process = exec.Command(binary, append([]string{"streams", "-o", filepath.Join(r.pipelines, "resources", "service.yaml")}, files...)...)
	r.process.Env, r.process.Stdout, r.process.Stderr = r.variables, r.output, r.output
	if err := r.process.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if response, err := http.Get("http://" + r.address + "/"); err == nil {
			response.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("starting a replica: no answer within a minute; it printed: %s", r.output)
		}
	}
}

// kill ends the replica as a crash would, and returns when it is gone.
func (r *replica) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

// freeAddress is one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer free.Close()
	return free.Addr().String()
}
