package chaos

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/shop-connect/shop-connect/internal/env"
)

// The kinds of connections that a replica has.
const (
	toKafka      = "Kafka"
	toS3         = "S3"
	toPostgres   = "PostgreSQL"
	toClickHouse = "ClickHouse"
	// fromClients are the connections of the API's clients to a replica.
	fromClients = "API"
)

var serverKinds = []string{toKafka, toS3, toPostgres, toClickHouse}

// network is every connection of one replica, each through a proxy of its own.
type network struct {
	vars map[string]string
	s3   *s3Gate

	mu      sync.Mutex
	links   map[string][]*link // by kind; Kafka has one for each broker
	brokers map[string]*link
	kafka   []*kafkaProxy
	prefix  string
}

// newNetwork puts proxies before the servers that vars name; api is where the replica will listen.
func newNetwork(name string, vars map[string]string, api string, seed uint64) (n *network, err error) {
	n = &network{vars: maps.Clone(vars), links: map[string][]*link{}, brokers: map[string]*link{}, prefix: name}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	var seeds []string
	for broker := range strings.SplitSeq(vars[env.KafkaBrokers], ",") {
		address, err := n.advertise(strings.TrimSpace(broker))
		if err != nil {
			return nil, err
		}
		seeds = append(seeds, address)
	}
	n.vars[env.KafkaBrokers] = strings.Join(seeds, ",")
	if n.s3, err = newS3Gate(vars[env.S3Endpoint], seed); err != nil {
		return nil, err
	}
	s3, err := n.link(toS3, n.s3.addr)
	if err != nil {
		return nil, err
	}
	n.vars[env.S3Endpoint] = "http://" + s3
	for kind, variable := range map[string]string{toPostgres: env.PostgresDSN, toClickHouse: env.ClickHouseDSN} {
		if n.vars[variable], err = n.through(kind, vars[variable]); err != nil {
			return nil, fmt.Errorf("reading %s: %w", variable, err)
		}
	}
	_, err = n.link(fromClients, api)
	return n, err
}

// through returns the address of a database with a proxy in the server's place.
func (n *network) through(kind, dsn string) (string, error) {
	parsed, err := url.Parse(dsn)
	if err != nil || parsed.Host == "" {
		return "", errors.New("it must be a URL with a host")
	}
	host := parsed.Host
	if parsed.Port() == "" {
		port := map[string]string{"postgres": "5432", "postgresql": "5432", "http": "8123", "https": "8443", "clickhouse": "9000"}[parsed.Scheme]
		host = net.JoinHostPort(parsed.Hostname(), port)
	}
	if parsed.Host, err = n.link(kind, host); err != nil {
		return "", err
	}
	return parsed.String(), nil
}

func (n *network) link(kind, upstream string) (string, error) {
	l, err := newLink(n.prefix+" to "+kind, upstream)
	if err != nil {
		return "", err
	}
	n.links[kind] = append(n.links[kind], l)
	return l.address(), nil
}

// advertise returns the address that clients use for a broker.
func (n *network) advertise(broker string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l, ok := n.brokers[broker]; ok {
		return l.address(), nil
	}
	proxy, err := newKafkaProxy(broker, n.advertise)
	if err != nil {
		return "", err
	}
	l, err := newLink(n.prefix+" to "+toKafka, proxy.address())
	if err != nil {
		return "", errors.Join(err, proxy.close())
	}
	n.kafka = append(n.kafka, proxy)
	n.brokers[broker] = l
	n.links[toKafka] = append(n.links[toKafka], l)
	return l.address(), nil
}

func (n *network) of(kind string) []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.links[kind])
}

func (n *network) cut(kind string) {
	for _, l := range n.of(kind) {
		l.cut()
	}
}

func (n *network) spoil(kind string, t toxic) error {
	for _, l := range n.of(kind) {
		if err := l.spoil(t); err != nil {
			return err
		}
	}
	return nil
}

// mend ends every fault of every connection.
func (n *network) mend() error {
	n.s3.set(s3Trouble{})
	var faults []error
	for _, kind := range append([]string{fromClients}, serverKinds...) {
		for _, l := range n.of(kind) {
			faults = append(faults, l.mend())
		}
	}
	return errors.Join(faults...)
}

// api is where clients reach the replica.
func (n *network) api() string { return n.of(fromClients)[0].address() }

func (n *network) close() {
	for _, kind := range append([]string{fromClients}, serverKinds...) {
		for _, l := range n.of(kind) {
			l.close()
		}
	}
	for _, p := range n.kafka {
		_ = p.close()
	}
	if n.s3 != nil {
		_ = n.s3.close()
	}
}
