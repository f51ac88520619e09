package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
)

// loader posts bodies over connections of its own. It knows only as much of HTTP as its servers answer,
// because net/http's client would take more of the two cores than what is measured.
type loader struct {
	address, path, token string
	bodies               [][]byte
	next                 atomic.Int64
}

// saturate has every connection send as soon as it is answered, and counts the answers after a warm-up;
// all counts those of the warm-up too.
func (l *loader) saturate(ctx context.Context) (m measurement, all int64, err error) {
	warm, err := l.closedLoop(ctx, singleWarmUp)
	if err != nil {
		return m, 0, err
	}
	begun := time.Now()
	m.rows, err = l.closedLoop(ctx, singleFor)
	m.took = time.Since(begun)
	return m, warm + m.rows, err
}

func (l *loader) closedLoop(ctx context.Context, d time.Duration) (int64, error) {
	deadline := time.Now().Add(d)
	var sum atomic.Int64
	err := l.each(ctx, func(c *connection) error {
		for time.Now().Before(deadline) {
			if err := c.post(l.body()); err != nil {
				return err
			}
			sum.Add(1)
		}
		return nil
	})
	return sum.Load(), err
}

// steadily sends at a rate whatever the answers take, over as many connections as saturate has.
func (l *loader) steadily(ctx context.Context, rate float64) (latencies, error) {
	idle := make(chan *connection, singleConnections)
	for range singleConnections {
		c, err := l.dial(ctx)
		if err != nil {
			return nil, err
		}
		defer c.conn.Close()
		defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })()
		idle <- c
	}
	answers, _, err := openLoop(rate, int(rate*singleFor.Seconds()), func(int) error {
		c := <-idle
		defer func() { idle <- c }()
		return c.post(l.body())
	})
	return answers, err
}

// fire sends so many requests over one connection.
func (l *loader) fire(ctx context.Context, n int) (int, error) {
	c, err := l.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer c.conn.Close()
	for i := range n {
		if err := c.post(l.body()); err != nil {
			return i, err
		}
	}
	return n, nil
}

func (l *loader) body() []byte { return l.bodies[int(l.next.Add(1))%len(l.bodies)] }

func (l *loader) each(ctx context.Context, work func(c *connection) error) error {
	faults := make([]error, singleConnections)
	var running sync.WaitGroup
	for n := range singleConnections {
		running.Go(func() {
			c, err := l.dial(ctx)
			if err != nil {
				faults[n] = err
				return
			}
			defer c.conn.Close()
			defer context.AfterFunc(ctx, func() { _ = c.conn.Close() })()
			faults[n] = work(c)
		})
	}
	running.Wait()
	return errors.Join(faults...)
}

// connection is one that stays open.
type connection struct {
	conn    net.Conn
	answers *bufio.Reader
	head    []byte
	request []byte
}

func (l *loader) dial(ctx context.Context) (*connection, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, fmt.Errorf("reaching the endpoint: %w", err)
	}
	head := "POST " + l.path + " HTTP/1.1\r\nHost: " + l.address + "\r\nAuthorization: Bearer " + l.token +
		"\r\nContent-Type: application/json\r\nContent-Length: "
	return &connection{conn: conn, answers: bufio.NewReader(conn), head: []byte(head)}, nil
}

func (c *connection) post(body []byte) error {
	c.request = strconv.AppendInt(append(c.request[:0], c.head...), int64(len(body)), 10)
	c.request = append(append(c.request, "\r\n\r\n"...), body...)
	if _, err := c.conn.Write(c.request); err != nil {
		return fmt.Errorf("sending a request: %w", err)
	}
	status, err := c.answer()
	if err != nil {
		return fmt.Errorf("reading an answer: %w", err)
	}
	if status != http.StatusAccepted {
		return fmt.Errorf("the answer is %d", status)
	}
	return nil
}

var contentLength = []byte("content-length:")

// answer reads one whole answer.
func (c *connection) answer() (status int, err error) {
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, fmt.Errorf("%q is no status line", line)
	}
	if status, err = strconv.Atoi(string(line[len("HTTP/1.1 "):len("HTTP/1.1 200")])); err != nil {
		return 0, err
	}
	length := 0
	for {
		if line, err = c.answers.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			_, err = c.answers.Discard(length)
			return status, err
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, err
			}
		}
	}
}

// token logs in as the demo user.
func (b *bench) token(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.up.Env[env.APIAddress]+"/api/v1/token",
		strings.NewReader(`{"username":"admin","password":"admin"}`))
	if err != nil {
		return "", fmt.Errorf("asking for a token: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking for a token: %w", err)
	}
	defer response.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("asking for a token: the answer is %s, %w", response.Status, err)
	}
	return answer.Token, nil
}
