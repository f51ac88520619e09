package jwthttp_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/auth"
)

// Sockets that announce much and send a byte are beside a client that must not notice them.
func TestSlowBodiesKeepNobodyWaiting(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.server = newPatientServer(t, api.Patience{})
	shop.run(t, input(purchases+"\ntimeout: 1s"), got.take)
	shop.listen(t)
	for range 250 {
		sendPart(t, shop, "slow", 1<<20, "{")
	}
	client := &http.Client{Timeout: 2 * time.Second}
	body := string(purchaseBody(1000, true))
	for range 10 {
		r, _ := http.NewRequest(http.MethodPost, shop.url+bulkPath, strings.NewReader(body))
		r.Header = shop.header(t)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Close {
			t.Fatalf("beside slow bodies the answer is %s, close %v", resp.Status, resp.Close)
		}
	}
}

func TestSlowBodyIsGivenUpAndItsRoomGivenBack(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.server = newPatientServer(t, api.Patience{Start: 300 * time.Millisecond})
	shop.run(t, input(purchases+"\nmax_body_bytes: 1000000\nmax_pending_bytes: 1000000"), got.take)
	shop.listen(t)
	conn := sendPart(t, shop, "slow", 900_000, "{"+strings.Repeat(" ", 1000))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusBadRequest || !resp.Close {
		t.Fatalf("answer is %v (%v)", resp, err)
	}
	_ = resp.Body.Close()
	fits := append(purchaseBody(1, true), strings.Repeat(" ", 1_000_000)...)[:1_000_000]
	if w := shop.postAs(t, "application/json", "", fits, false); w.Code != 200 {
		t.Errorf("the room is not given back: %d %s", w.Code, w.Body)
	}
}

func newPatientServer(t *testing.T, patience api.Patience) *api.Server {
	t.Helper()
	verifier, err := auth.NewVerifier(auth.VerifierConfig{Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Verifier: verifier, Patience: patience, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// sendPart sends a header that announces so many bytes, and only a part of them.
func sendPart(t *testing.T, shop *shop, subject string, announced int, part string) net.Conn {
	t.Helper()
	token, err := shop.issuer.Issue(subject, []string{auth.ScopeWrite})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(shop.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(8 * time.Second))
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		bulkPath, token, announced, part); err != nil {
		t.Fatal(err)
	}
	return conn
}
