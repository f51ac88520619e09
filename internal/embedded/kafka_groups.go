package embedded

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kfake counts the time of a member's session from its last answer on. A member that is killed while it waits
// for one gets none, and no time is counted: it stays in its group for ever, and its partitions with it. So the
// broker looks for members whose connections are gone, and takes them out as an operator would.

const (
	expiryInterval = time.Second
	// memberGrace is how long a member may be without the connection that it joined by. One that has merely
	// connected again joins anew.
	memberGrace = 8 * time.Second
	// youth is how long a client surely keeps the connection that it has joined by.
	youth = 15 * time.Second
)

// connections are those that clients hold open, by their own addresses.
type connections struct {
	mu   sync.Mutex
	open map[string]struct{}
}

func (c *connections) listen(network, address string) (net.Listener, error) {
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &countingListener{listener, c}, nil
}

func (c *connections) has(address string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.open[address]
	return ok
}

type countingListener struct {
	net.Listener
	connections *connections
}

// Accept notes the connection.
func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.connections.mu.Lock()
	defer l.connections.mu.Unlock()
	l.connections.open[conn.RemoteAddr().String()] = struct{}{}
	return &countedConn{conn, l.connections}, nil
}

type countedConn struct {
	net.Conn
	connections *connections
}

// Close forgets the connection.
func (c *countedConn) Close() error {
	c.connections.mu.Lock()
	delete(c.connections.open, c.RemoteAddr().String())
	c.connections.mu.Unlock()
	return c.Conn.Close()
}

// expireMembers takes members out of their groups whose connections have been gone for memberGrace.
func expireMembers(ctx context.Context, address string, connections *connections) {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		fmt.Fprintf(os.Stderr, "following consumer groups: %v\n", err)
		return
	}
	defer client.Close()
	gone := map[string]time.Time{} // when a member was first seen without its connection
	seen := map[string]time.Time{} // when a member was first seen
	ticker := time.NewTicker(expiryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		groups, err := kadm.NewClient(client).DescribeGroups(ctx)
		if err != nil {
			continue // the broker is busy, or ends
		}
		now, still, present := time.Now(), map[string]time.Time{}, map[string]time.Time{}
		for _, group := range groups {
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group = group.Group
			for _, member := range group.Members {
				first, met := seen[member.MemberID]
				if !met {
					first = now
				}
				present[member.MemberID] = first
				if connections.has(member.ClientHost) {
					continue
				}
				since, known := gone[member.MemberID]
				// A client closes the connection that it joined by once it is idle, and goes on over another. In a stable
				// group that is so of every member that has been there for a while, and the time of its session counts.
				if !known && group.State == "Stable" && now.Sub(first) > youth {
					continue
				}
				if !known {
					since = now
				}
				if now.Sub(since) < memberGrace {
					still[member.MemberID] = since
					continue
				}
				dead := kmsg.NewLeaveGroupRequestMember()
				dead.MemberID = member.MemberID
				leave.Members = append(leave.Members, dead)
			}
			if len(leave.Members) > 0 {
				_, _ = leave.RequestWith(ctx, client) // a failure is made good by the next round
			}
		}
		gone, seen = still, present
	}
}
