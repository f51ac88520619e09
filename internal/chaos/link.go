package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// removeTimeout is how long toxiproxy may take to let a fault go; after it the connections are cut.
const removeTimeout = 5 * time.Second

// toxic is a fault of connections, as toxiproxy calls and describes them.
type toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"`
	Attributes map[string]int `json:"attributes"`
}

// link is a proxy that one process reaches one server through.
type link struct {
	name  string
	mu    sync.Mutex
	proxy *toxiproxy.Proxy
}

var proxyServer = sync.OnceValue(func() *toxiproxy.ApiServer {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some faults log past the logger that they are given
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
})

func newLink(name, upstream string) (*link, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	l := &link{name: name, proxy: toxiproxy.NewProxy(proxyServer(), name, loopback(ports[0]), upstream)}
	if err := l.proxy.Start(); err != nil {
		return nil, fmt.Errorf("starting the proxy %s: %w", name, err)
	}
	return l, nil
}

func (l *link) address() string { return l.proxy.Listen }

// cut ends every connection and refuses new ones until mend.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.proxy.Stop()
}

// spoil applies a fault to the connections that are there and to new ones.
func (l *link) spoil(t toxic) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := json.Marshal(t)
	if err != nil {
		return fmt.Errorf("describing %s: %w", t.Type, err)
	}
	if _, err := l.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("applying %s to %s: %w", t.Type, l.name, err)
	}
	return nil
}

// mend ends every fault of the link.
func (l *link) mend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	removed := make(chan struct{})
	go func() {
		l.proxy.Toxics.ResetToxics(context.Background())
		close(removed)
	}()
	select {
	case <-removed:
	case <-time.After(removeTimeout):
		l.proxy.Stop() // ends the connections that the fault is stuck in
		select {
		case <-removed:
		case <-time.After(removeTimeout):
			return fmt.Errorf("mending %s: toxiproxy does not let go of a fault", l.name)
		}
	}
	if l.proxy.Enabled {
		return nil
	}
	if err := l.proxy.Start(); err != nil {
		return fmt.Errorf("mending %s: %w", l.name, err)
	}
	return nil
}

func (l *link) close() { l.cut() }
