package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// A server that is away for a while must find its port free when it comes back, so ports are taken from
// below those that the system gives to outgoing connections.
const (
	firstPort, lastPort = 20_000, 32_000
	portAttempts        = 200
)

func listenLoopback() (net.Listener, error) {
	var err error
	for range portAttempts {
		var listener net.Listener
		port := firstPort + rand.IntN(lastPort-firstPort)
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("finding a free port between %d and %d: %w", firstPort, lastPort, err)
}

// freePorts finds ports that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range n {
		l, err := listenLoopback()
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
