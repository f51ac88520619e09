package chaos

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A Kafka client asks a broker where the others are, and goes there: a proxy that only forwards bytes is left
// behind with the first answer. This one tells clients of proxies in the place of brokers.

const (
	// From these versions on, answers about records name brokers too. Clients are told that the broker knows
	// none so new, so that records pass through as they are.
	maxProduce = 9
	maxFetch   = 15

	maxKafkaFrame = 128 << 20
)

var errFrame = errors.New("reading a frame: it is no Kafka protocol")

// kafkaProxy forwards to one broker.
type kafkaProxy struct {
	listener net.Listener
	upstream string
	// advertise returns the address that clients are to use for a broker.
	advertise func(broker string) (string, error)
}

func newKafkaProxy(upstream string, advertise func(string) (string, error)) (*kafkaProxy, error) {
	listener, err := listenLoopback()
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", upstream, err)
	}
	p := &kafkaProxy{listener: listener, upstream: upstream, advertise: advertise}
	go p.serve()
	return p, nil
}

func (p *kafkaProxy) address() string { return p.listener.Addr().String() }

func (p *kafkaProxy) close() error { return p.listener.Close() }

func (p *kafkaProxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.forward(client)
	}
}

// forward ends both connections with the first of them.
func (p *kafkaProxy) forward(client net.Conn) {
	defer client.Close()
	broker, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return
	}
	defer broker.Close()
	asked := &requests{kinds: map[int32]requestKind{}}
	ended := make(chan struct{}, 2)
	go func() {
		_ = copyRequests(broker, client, asked)
		ended <- struct{}{}
	}()
	go func() {
		_ = p.copyAnswers(client, broker, asked)
		ended <- struct{}{}
	}()
	<-ended
}

// requestKind says how to read an answer.
type requestKind struct{ key, version int16 }

// requests are those of a connection that are not answered yet.
type requests struct {
	mu    sync.Mutex
	kinds map[int32]requestKind
}

func (r *requests) note(frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kind := requestKind{int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))}
	if rewritten(kind.key) {
		r.kinds[int32(binary.BigEndian.Uint32(frame[4:]))] = kind
	}
}

func (r *requests) take(frame []byte) (requestKind, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	correlation := int32(binary.BigEndian.Uint32(frame))
	kind, ok := r.kinds[correlation]
	delete(r.kinds, correlation)
	return kind, ok
}

func rewritten(key int16) bool {
	switch kmsg.Key(key) {
	case kmsg.ApiVersions, kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster:
		return true
	}
	return false
}

func copyRequests(broker io.Writer, client io.Reader, asked *requests) error {
	return copyFrames(broker, client, 8, func(frame []byte) ([]byte, error) {
		asked.note(frame)
		return frame, nil
	})
}

func (p *kafkaProxy) copyAnswers(client io.Writer, broker io.Reader, asked *requests) error {
	return copyFrames(client, broker, 4, func(frame []byte) ([]byte, error) {
		kind, ok := asked.take(frame)
		if !ok {
			return frame, nil
		}
		return p.rewrite(frame, kind)
	})
}

// copyFrames passes each frame, without its length, through change.
func copyFrames(dst io.Writer, src io.Reader, atLeast int, change func([]byte) ([]byte, error)) error {
	in, length := bufio.NewReaderSize(src, 64<<10), make([]byte, 4)
	var frame []byte
	for {
		if _, err := io.ReadFull(in, length); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint32(length))
		if size < atLeast || size > maxKafkaFrame {
			return errFrame
		}
		if cap(frame) < size {
			frame = make([]byte, size)
		}
		frame = frame[:size]
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		changed, err := change(frame)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(length, uint32(len(changed)))
		if _, err := dst.Write(append(append(make([]byte, 0, 4+len(changed)), length...), changed...)); err != nil {
			return err
		}
	}
}

// rewrite puts proxies in the place of brokers.
func (p *kafkaProxy) rewrite(frame []byte, kind requestKind) ([]byte, error) {
	answer := kmsg.ResponseForKey(kind.key)
	answer.SetVersion(kind.version)
	header := 4
	// the answer to ApiVersions has the old header whatever its version
	if answer.IsFlexible() && kmsg.Key(kind.key) != kmsg.ApiVersions {
		header++ // no broker sends tags here
		if len(frame) < header || frame[4] != 0 {
			return nil, errFrame
		}
	}
	if err := answer.ReadFrom(frame[header:]); err != nil {
		if kmsg.Key(kind.key) == kmsg.ApiVersions {
			return frame, nil // an old broker answers a new version with the oldest: clients ask again
		}
		return nil, fmt.Errorf("reading an answer: %w", err)
	}
	if err := p.readdress(answer); err != nil {
		return nil, err
	}
	return answer.AppendTo(append(make([]byte, 0, len(frame)+256), frame[:header]...)), nil
}

func (p *kafkaProxy) readdress(answer kmsg.Response) error {
	var faults []error
	change := func(host *string, port *int32) {
		if *host == "" {
			return // an answer that names none
		}
		address, err := p.advertise(net.JoinHostPort(*host, strconv.Itoa(int(*port))))
		if err != nil {
			faults = append(faults, err)
			return
		}
		name, number, err := net.SplitHostPort(address)
		if err != nil {
			faults = append(faults, err)
			return
		}
		n, err := strconv.ParseInt(number, 10, 32)
		faults = append(faults, err)
		*host, *port = name, int32(n)
	}
	switch a := answer.(type) {
	case *kmsg.ApiVersionsResponse:
		for i := range a.ApiKeys {
			switch key := &a.ApiKeys[i]; kmsg.Key(key.ApiKey) {
			case kmsg.Produce:
				key.MaxVersion = min(key.MaxVersion, maxProduce)
			case kmsg.Fetch:
				key.MaxVersion = min(key.MaxVersion, maxFetch)
			}
		}
	case *kmsg.MetadataResponse:
		for i := range a.Brokers {
			change(&a.Brokers[i].Host, &a.Brokers[i].Port)
		}
	case *kmsg.FindCoordinatorResponse:
		change(&a.Host, &a.Port)
		for i := range a.Coordinators {
			change(&a.Coordinators[i].Host, &a.Coordinators[i].Port)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range a.Brokers {
			change(&a.Brokers[i].Host, &a.Brokers[i].Port)
		}
	}
	return errors.Join(faults...)
}
