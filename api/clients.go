package api

import (
	"net/http"
	"sync"
)

const (
	// shareOfClient is which part of all requests in hand one client may have, as a divisor.
	shareOfClient = 4
	// leastShare is what a client may have where that part is too little to work with.
	leastShare = 16
)

// shares bounds the requests in hand of each client, so that none can take the place of all others.
type shares struct {
	most int

	mu     sync.Mutex
	inHand map[string]int
}

func newShares(all int) *shares {
	return &shares{most: max(all/shareOfClient, leastShare), inHand: map[string]int{}}
}

func (s *shares) enter(client string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inHand[client] >= s.most {
		return false
	}
	s.inHand[client]++
	return true
}

func (s *shares) leave(client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inHand[client]--; s.inHand[client] == 0 {
		delete(s.inHand, client)
	}
}

// share answers a request of a client that has its share of those in hand, and returns false. How the API is
// may be asked at any time.
func (s *Server) share(w *response, r *http.Request) (leave func(), ok bool) {
	if r.URL.Path == healthPath || r.URL.Path == healthDetailPath {
		return func() {}, true
	}
	client := s.client(w, r)
	if !s.clients.enter(client) {
		WriteProblem(w, Unavailable("too many requests of this client are in hand; send it again once others are answered"))
		return nil, false
	}
	return func() { s.clients.leave(client) }, true
}
