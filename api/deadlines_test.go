package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

// short is the patience of tests.
var short = api.Patience{Start: 500 * time.Millisecond, BytesPerSecond: 64 << 10, Whole: 20 * time.Second}

// serve serves real connections.
func serve(t testing.TB, h http.Handler) (address string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// sendPart opens a connection and sends a header that announces so many bytes, and only a part of them.
func sendPart(t testing.TB, address, path string, announced int, part string, header http.Header) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	var lines strings.Builder
	_ = header.Write(&lines)
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: shop\r\n%sContent-Length: %d\r\n\r\n%s", path, lines.String(), announced, part); err != nil {
		t.Fatal(err)
	}
	return conn
}

// answerOf reads the answer of a connection.
func answerOf(t testing.TB, conn net.Conn) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal("no answer:", err)
	}
	_ = resp.Body.Close()
	return resp
}

var jsonBody = http.Header{"Content-Type": {"application/json"}}

func TestClientThatSendsNothingMoreIsCutOff(t *testing.T) {
	address := serve(t, newServer(t, func(c *api.Config) { c.Patience = short }))
	conn := sendPart(t, address, "/api/v1/token", 100, "{", jsonBody)
	begun := time.Now()
	resp := answerOf(t, conn)
	defer resp.Body.Close()
	if took := time.Since(begun); resp.StatusCode != http.StatusRequestTimeout || !resp.Close || took > 3*time.Second {
		t.Errorf("answer is %s, close %v, after %v", resp.Status, resp.Close, took)
	}
}

// What is sent byte by byte does not buy more time than it is worth.
func TestClientThatDripsIsCutOff(t *testing.T) {
	address := serve(t, newServer(t, func(c *api.Config) { c.Patience = short }))
	conn := sendPart(t, address, "/api/v1/token", 100, "{", jsonBody)
	begun, answered := time.Now(), make(chan struct{})
	go func() {
		for {
			select {
			case <-answered:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = conn.Write([]byte(" "))
			}
		}
	}()
	resp := answerOf(t, conn)
	defer resp.Body.Close()
	close(answered)
	if took := time.Since(begun); resp.StatusCode != http.StatusRequestTimeout || took > 3*time.Second {
		t.Errorf("answer is %s after %v", resp.Status, took)
	}
}

func TestSlowClientThatKeepsSendingIsServed(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.Patience = short })
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/rows", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		// longer than the patience: an answer has its own time
		select {
		case <-r.Context().Done():
			t.Error("the request ended before its answer:", r.Context().Err())
		case <-time.After(2 * short.Start):
		}
		_, _ = fmt.Fprint(w, len(body), err)
	})}); err != nil {
		t.Fatal(err)
	}
	address := serve(t, s)
	const pieces, piece = 20, 16 << 10
	conn := sendPart(t, address, "/rows", pieces*piece, "", nil)
	for range pieces { // about 160 KB/s, for four times as long as the start
		time.Sleep(100 * time.Millisecond)
		if _, err := conn.Write(make([]byte, piece)); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != fmt.Sprint(pieces*piece, " <nil>") {
		t.Errorf("answer is %s %s", resp.Status, body)
	}
}

func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	s := newServer(t, nil)
	if _, err := s.Mount(api.Route{Method: "POST", Path: "/rows", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.Authorize(w, r, nil); ok {
			t.Error("a request without a token is let in")
		}
	})}); err != nil {
		t.Fatal(err)
	}
	address := serve(t, s)
	for _, tc := range []struct {
		name, path string
		announced  int
		header     http.Header
		status     int
	}{
		{"no token", "/rows", 100, jsonBody, 401},
		{"too large", "/api/v1/token", 1 << 20, jsonBody, 413},
		{"another media type", "/api/v1/token", 100, http.Header{"Content-Type": {"text/plain"}}, 415},
		{"no route", "/nowhere", 100, jsonBody, 404},
	} {
		begun := time.Now()
		resp := answerOf(t, sendPart(t, address, tc.path, tc.announced, "{", tc.header))
		resp.Body.Close()
		if took := time.Since(begun); resp.StatusCode != tc.status || !resp.Close || took > 2*time.Second {
			t.Errorf("%s: answer is %s, close %v, after %v", tc.name, resp.Status, resp.Close, took)
		}
	}
}

func TestAnswerToAWholeBodyKeepsTheConnection(t *testing.T) {
	address := serve(t, newServer(t, nil))
	const login = `{"username":"admin","password":"admin"}`
	conn := sendPart(t, address, "/api/v1/token", len(login), login, jsonBody)
	resp := answerOf(t, conn)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Close {
		t.Errorf("answer is %s, close %v", resp.Status, resp.Close)
	}
}
