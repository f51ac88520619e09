package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/api"
)

// load is what clients saw that sold lamps, each one after the other, for a while.
type load struct {
	sold, refused atomic.Int64
	mu            sync.Mutex
	longest       time.Duration
	others        map[int]string
}

func (l *load) perSecond(d time.Duration) float64 { return float64(l.sold.Load()) / d.Seconds() }

// selling lets so many clients sell. One that is refused waits a little, and not for as long as it is told.
func (s *shop) selling(clients int, during time.Duration, header http.Header) *load {
	l := &load{others: map[int]string{}}
	until := time.Now().Add(during)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := 0; time.Now().Before(until); n++ {
				asked := http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/json"}}
				for name := range header {
					asked.Set(name, fmt.Sprintf("%d-%d-%d", clients, c, n))
				}
				begun := time.Now()
				w := do(s, "POST", "/api/v1/purchases", oneLamp, asked)
				took := time.Since(begun)
				l.mu.Lock()
				l.longest = max(l.longest, took)
				if w.Code != http.StatusCreated && (w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "") {
					l.others[w.Code] = w.Body.String()
				}
				l.mu.Unlock()
				if w.Code == http.StatusCreated {
					l.sold.Add(1)
					continue
				}
				l.refused.Add(1)
				time.Sleep(50 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return l
}

const oneLamp = `{"product_id":"lamp","customer_id":1,"seller_id":2,"quantity":1}`

// What PostgreSQL serves at its best is served under overload too, by bounding who waits for it.
func TestOverloadOfPostgreSQLCostsNoGoodAnswers(t *testing.T) {
	s := newPurchaseShop(t, away)
	s.Server = newServer(t, func(c *api.Config) { c.Shop, c.Idempotency = &s.config, s.store })
	if _, err := s.store.Pool().Exec(t.Context(), `UPDATE products SET stock = 1000000`); err != nil {
		t.Fatal(err)
	}
	const during = 1500 * time.Millisecond
	var sold int64
	for _, header := range []http.Header{nil, {"Idempotency-Key": {""}}} {
		var best, over *load
		// other tests share this machine, so one of three rounds is enough; where all are let in and time out, next
		// to nothing is left in any
		for range 3 {
			best, over = s.selling(32, during, header), s.selling(600, during, header)
			sold += best.sold.Load() + over.sold.Load()
			t.Logf("with %v: at its best %.0f/s; of 600 clients %.0f/s and %d refused, the longest %v",
				header, best.perSecond(during), over.perSecond(during), over.refused.Load(), over.longest)
			if over.perSecond(during) >= 0.3*best.perSecond(during) {
				break
			}
		}
		if over.refused.Load() == 0 {
			t.Error("nobody is refused, so nothing is tested")
		}
		if over.perSecond(during) < 0.3*best.perSecond(during) {
			t.Errorf("goodput falls from %.0f/s to %.0f/s", best.perSecond(during), over.perSecond(during))
		}
		if over.longest > 4*time.Second {
			t.Errorf("an answer took %v", over.longest)
		}
		if len(over.others) > 0 {
			t.Errorf("other answers: %v", over.others)
		}
	}
	var entered int64
	if err := s.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM purchases`).Scan(&entered); err != nil || entered != sold {
		t.Errorf("%d purchases are acknowledged, and %d are there (%v)", sold, entered, err)
	}
}

// A client that sends slowly takes nobody's place at PostgreSQL.
func TestASlowBodyTakesUpNoTurn(t *testing.T) {
	s := newPurchaseShop(t, away)
	s.Server = newServer(t, func(c *api.Config) { c.Shop, c.MaxDatabaseRequests = &s.config, 1 })
	body, sender := io.Pipe()
	slow := httptest.NewRequest(http.MethodPost, "/api/v1/purchases", body)
	slow.Header = http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/json"}}
	answered := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, slow)
		answered <- w.Code
	}()
	if _, err := io.WriteString(sender, oneLamp[:10]); err != nil { // returns once it is read
		t.Fatal(err)
	}
	s.want(201, "POST", "/purchases", oneLamp)
	if _, err := io.WriteString(sender, oneLamp[10:]); err != nil {
		t.Fatal(err)
	}
	_ = sender.Close()
	if code := <-answered; code != 201 {
		t.Errorf("the slow one is answered %d", code)
	}
}
