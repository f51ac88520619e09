package api

import (
	"net/http"
	"testing"
)

func TestAClientIsWhoATrustedProxySaysItIs(t *testing.T) {
	trusted, err := parseProxies([]string{"10.0.0.0/8", "::1", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		peer   string
		header []string
		client string
	}{
		{"203.0.113.9:4000", []string{"198.51.100.1"}, "203.0.113.9:4000"}, // nobody asked it
		{"10.1.2.3:4000", nil, "10.1.2.3:0"},
		{"10.1.2.3:4000", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"10.1.2.3:4000", []string{"6.6.6.6, 198.51.100.1, 10.9.9.9"}, "198.51.100.1:0"}, // the client made up the first
		{"10.1.2.3:4000", []string{"6.6.6.6", "198.51.100.1"}, "198.51.100.1:0"},
		{"10.1.2.3:4000", []string{"unknown, 192.0.2.7"}, "192.0.2.7:0"},
		{"[::1]:4000", []string{"2001:db8::5"}, "[2001:db8::5]:0"},
		{"[::ffff:10.0.0.1]:4000", []string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{"X-Forwarded-For": tc.header}}
		if got := trusted.client(r); got != tc.client {
			t.Errorf("%s with %q is %s, want %s", tc.peer, tc.header, got, tc.client)
		}
		if got := (proxies)(nil).client(r); got != tc.peer {
			t.Errorf("%s is %s where no proxy is trusted", tc.peer, got)
		}
	}
	if _, err := New(Config{TrustedProxies: []string{"10.0.0.0/99", "proxy.example"}}); err == nil {
		t.Error("networks that are none are taken")
	}
}
