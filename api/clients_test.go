package api_test

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

// Slow clients of one address, without a token, take a part of what there is and no more.
func TestSlowClientsKeepNobodyElseOut(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.MaxConcurrentRequests, c.TrustedProxies = 64, []string{"127.0.0.1"} })
	address := serve(t, s)
	slow := jsonBody.Clone()
	slow.Set("X-Forwarded-For", "192.0.2.7")
	for range 80 {
		sendPart(t, address, "/api/v1/token", 100, "{", slow)
	}
	// one more is refused once the others are in hand
	for {
		conn := sendPart(t, address, "/api/v1/token", 100, "{", slow)
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			break
		}
	}
	client := &http.Client{Timeout: 2 * time.Second}
	for range 20 {
		r, _ := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("another client is answered %s", resp.Status)
		}
	}
	r, _ := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.7")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the slow client is answered %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

// What a client had in hand is given back when it hangs up.
func TestShareOfAClientThatLeavesIsGivenBack(t *testing.T) {
	address := serve(t, newServer(t, func(c *api.Config) { c.MaxConcurrentRequests = 64 }))
	var conns []net.Conn
	for range 16 {
		conns = append(conns, sendPart(t, address, "/api/v1/token", 100, "{", jsonBody))
	}
	status := func() int {
		resp, err := http.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	await := func(want int) {
		for deadline := time.Now().Add(4 * time.Second); status() != want; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the answer never becomes %d", want)
			}
		}
	}
	await(http.StatusServiceUnavailable)
	for _, conn := range conns {
		_ = conn.Close()
	}
	await(http.StatusOK)
}
