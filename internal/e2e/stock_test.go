package e2e

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	// stockChecks take about 20 seconds; -rapid.checks asks for more.
	stockChecks = "4"

	buyers        = 6
	soldProducts  = 2
	purchaseIDs   = 12
	initialStock  = 40
	answerTimeout = 30 * time.Second
)

// Buyers buy, buy again under the same id, delete, and change products, all at once and through two
// replicas, while replicas are killed and the database cuts off who relays. Whatever the order:
//
//   - no stock is negative, and stock and sales are together what was put on the shelf;
//   - Kafka tells of every committed change of a key in the order of the commits, again after a crash at most;
//   - it tells of nothing that was not committed;
//   - what was acknowledged is among what was committed;
//   - who believes the latest event of each key believes what PostgreSQL holds.
//
// Run it with -rapid.seed to draw the same steps again.
func TestI1I3StockAndEventsAgreeWithEveryCommitWhateverIsKilled(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		if err := checks.Value.Set(stockChecks); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = checks.Value.Set(checks.DefValue) })
	}
	// the stack brings the servers alone: nothing else may relay the outbox
	up := startUp(t, t.TempDir(), somePipelines(t, "rejected_quarantine"))
	t.Cleanup(func() { _ = up.Stop() })
	relaying := somePipelines(t, "outbox_kafka")
	shop := &shopUnderTest{
		audit: newAudit(t, up), token: newClient(t, up).token,
		replicas: []*replica{startReplica(t, up, relaying), startReplica(t, up, relaying)},
	}
	rapid.Check(t, shop.trade)
	t.Logf("%d events were committed and not yet published when all replicas were killed", shop.caught)
}

// somePipelines returns a folder with a few of the shipped pipelines and all that they need.
func somePipelines(t *testing.T, names ...string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "pipelines")
	for _, part := range []string{"contracts", "resources"} {
		if err := os.CopyFS(filepath.Join(folder, part), os.DirFS(filepath.Join(pipelinesDir, part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(pipelinesDir, name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name+".yaml"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

type shopUnderTest struct {
	audit    *audit
	token    string
	replicas []*replica
	rounds   int
	caught   int
}

// order is one request of a buyer's.
type order struct {
	Method, Path, Body string
	// Replica is asked first; the next one where it does not answer.
	Replica int

	answered chan struct{}
}

func (o order) String() string {
	return fmt.Sprintf("%s %s %s at %d", o.Method, o.Path, o.Body, o.Replica)
}

// place sends an order until there is an answer, as a client does that must know.
func (s *shopUnderTest) place(o order) (status int, answer string) {
	deadline := time.Now().Add(answerTimeout)
	for n := o.Replica; time.Now().Before(deadline); n++ {
		c := client{url: "http://" + s.replicas[n%len(s.replicas)].address + "/api/v1", token: s.token}
		status, answer = c.do(o.Method, o.Path, o.Body)
		if status != 0 && status != http.StatusServiceUnavailable {
			return status, answer
		}
		time.Sleep(5 * time.Millisecond) // a refused connection costs nothing, and would be asked for thousands of times
	}
	return status, answer
}

// round is one run of the property, on keys of its own.
type round struct {
	*shopUnderTest
	prefix string
	work   chan order

	mu       sync.Mutex
	answered []answeredOrder
}

type answeredOrder struct {
	order
	status int
	answer string
}

func (s *shopUnderTest) trade(t *rapid.T) {
	s.rounds++
	r := &round{shopUnderTest: s, prefix: fmt.Sprintf("round-%d-", s.rounds), work: make(chan order, 10_000)}
	for p := range soldProducts {
		o := order{Method: "POST", Path: "/products", Body: fmt.Sprintf(`{"id":%q,"name":"new","category":"c","price":1,"stock":%d}`, r.product(p), initialStock)}
		if status, answer := s.place(o); status != http.StatusCreated {
			t.Fatal(status, answer)
		}
	}
	var buying sync.WaitGroup
	for range buyers {
		buying.Go(func() {
			for o := range r.work {
				status, answer := s.place(o)
				r.mu.Lock()
				r.answered = append(r.answered, answeredOrder{o, status, answer})
				r.mu.Unlock()
				if o.answered != nil {
					close(o.answered)
				}
			}
		})
	}
	finish := sync.OnceFunc(func() {
		close(r.work)
		buying.Wait()
	})
	defer finish() // where an action fails, too
	t.Repeat(map[string]func(*rapid.T){
		"":                 r.shelvesAreRight,
		"orders":           r.order,
		"a rush":           r.rush,
		"a replica dies":   r.killOne,
		"all replicas die": r.killAll,
		"the relay is cut": r.cutRelay,
	})
	finish()
	r.shelvesAreRight(t)
	r.drain(t)
	r.agree(t)
}

func (r *round) product(n int) string { return fmt.Sprint(r.prefix, "product-", n) }

func (r *round) drawOrder(t *rapid.T) order {
	o := order{Replica: rapid.IntRange(0, len(r.replicas)-1).Draw(t, "replica")}
	product := r.product(rapid.IntRange(0, soldProducts-1).Draw(t, "product"))
	purchase := fmt.Sprint(r.prefix, rapid.IntRange(1, purchaseIDs).Draw(t, "purchase"))
	switch rapid.SampledFrom([]string{"sell", "sell", "sell", "delete", "delete", "change"}).Draw(t, "what") {
	case "sell":
		o.Method, o.Path = "POST", "/purchases"
		o.Body = fmt.Sprintf(`{"id":%q,"product_id":%q,"customer_id":1,"seller_id":1,"quantity":%d}`, purchase, product, rapid.IntRange(1, 12).Draw(t, "quantity"))
	case "delete":
		o.Method, o.Path = "DELETE", "/purchases/"+purchase
	case "change":
		o.Method, o.Path = "PUT", "/products/"+product
		o.Body = fmt.Sprintf(`{"name":"changed","category":"c","price":%d.5,"stock":%d}`,
			rapid.IntRange(1, 3).Draw(t, "price"), rapid.IntRange(0, initialStock).Draw(t, "stock"))
	}
	return o
}

// order hands orders to whichever buyers are free, and returns when one of them is answered: what comes
// next happens amid the others, and soon after that one's commit.
func (r *round) order(t *rapid.T) {
	orders := rapid.SliceOfN(rapid.Custom(r.drawOrder), 1, 40).Draw(t, "orders")
	answered := make(chan struct{})
	orders[rapid.IntRange(0, len(orders)-1).Draw(t, "witness")].answered = answered
	for _, o := range orders {
		r.work <- o
	}
	<-answered
}

// rush has all buyers want one purchase of one product at the same time.
func (r *round) rush(t *rapid.T) {
	o := r.drawOrder(t)
	for n := range 2 * buyers {
		o.Replica = n
		r.work <- o
	}
}

func (r *round) killOne(t *rapid.T) {
	r.order(t)
	one := rapid.SampledFrom(r.replicas).Draw(t, "replica")
	one.kill()
	if err := one.start(); err != nil {
		t.Fatal(err)
	}
}

func (r *round) killAll(t *rapid.T) {
	r.order(t)
	var dying sync.WaitGroup
	for _, one := range r.replicas {
		dying.Go(one.kill)
	}
	dying.Wait()
	waiting, err := r.audit.waiting(t.Context())
	if err != nil {
		t.Error(err)
	}
	r.caught += waiting
	for _, one := range r.replicas {
		if err := one.start(); err != nil {
			t.Fatal(err)
		}
	}
}

// cutRelay ends the database connection of the replica whose turn it is.
func (r *round) cutRelay(t *rapid.T) {
	r.order(t)
	const lockOutbox = 0x6f7574
	_, err := r.audit.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = $1`, lockOutbox)
	if err != nil {
		t.Fatal(err)
	}
}

// shelvesAreRight holds at every moment, amid all sales.
func (r *round) shelvesAreRight(t *rapid.T) {
	var wrong string
	err := r.audit.pool.QueryRow(t.Context(), `
		SELECT coalesce(string_agg(format('%s has %s, sold %s of %s', id, stock, sold, put), '; '), '') FROM (
			SELECT id, stock,
				(SELECT coalesce(sum(quantity), 0) FROM purchases WHERE product_id = p.id) AS sold,
				(SELECT sum(pieces) FROM audit WHERE topic = 'products' AND key = p.id) AS put
			FROM products AS p WHERE starts_with(id, $1)) AS shelf
		WHERE stock < 0 OR stock + sold <> put`, r.prefix).Scan(&wrong)
	if err != nil {
		t.Fatal(err)
	}
	if wrong != "" {
		t.Fatal(wrong)
	}
}

// drain waits until everything that was committed is published.
func (r *round) drain(t *rapid.T) {
	deadline := time.Now().Add(answerTimeout)
	for {
		waiting, err := r.audit.waiting(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d committed events are not published within %s", waiting, answerTimeout)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := r.audit.follow(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// agree compares what was acknowledged, what was committed and what was published.
func (r *round) agree(t *rapid.T) {
	committed, err := r.audit.committed(t.Context(), r.prefix)
	if err != nil {
		t.Fatal(err)
	}
	for key, changes := range committed {
		if log := r.audit.published[key]; !tells(log, changes) {
			t.Errorf("%s: Kafka tells\n%v, committed was\n%v", key, log, changes)
		}
	}
	for key := range r.audit.published {
		if _, known := committed[key]; !known && strings.Contains(key, "/"+r.prefix) {
			t.Errorf("%s was published and never committed", key)
		}
	}
	deletions := map[string]int{}
	for _, a := range r.answered {
		r.acknowledged(t, a, committed, deletions)
	}
	for key, acknowledged := range deletions {
		entered := 0
		for _, change := range committed[key] {
			if change.Deleted {
				entered++
			}
		}
		if entered < acknowledged {
			t.Errorf("%s: %d deletions are acknowledged, %d committed", key, acknowledged, entered)
		}
	}
	r.latestIsTrue(t)
}

// acknowledged checks that an answer tells of what was committed; deletions look alike and are counted.
func (r *round) acknowledged(t *rapid.T, a answeredOrder, committed history, deletions map[string]int) {
	entity, id, _ := strings.Cut(strings.TrimPrefix(a.Path, "/"), "/")
	switch a.status {
	case http.StatusNoContent:
		deletions[historyKey(entity, id)]++
	case http.StatusOK, http.StatusCreated:
		said, err := tell([]byte(a.answer))
		if err != nil {
			t.Fatal(err)
		}
		// sales lower the stock that a change of the product which changes nothing shows
		if !slices.ContainsFunc(committed[historyKey(entity, said.ID)], func(change told) bool {
			return change == said || entity == "products" && change.UpdatedAt.Equal(said.UpdatedAt)
		}) {
			t.Errorf("acknowledged and not committed: %s: %s", a.order, a.answer)
		}
	case http.StatusConflict:
	case http.StatusNotFound:
		if a.Method != http.MethodDelete {
			t.Errorf("%s: %d %s", a.order, a.status, a.answer)
		}
	default:
		t.Errorf("%s: %d %s", a.order, a.status, a.answer)
	}
}

// latestIsTrue compares PostgreSQL with what a reader knows who keeps the latest event of each key.
func (r *round) latestIsTrue(t *rapid.T) {
	rows, err := r.audit.pool.Query(t.Context(), `
		SELECT 'purchases', id, to_jsonb(p)::text FROM purchases AS p WHERE starts_with(id, $1)
		UNION ALL SELECT 'products', id, to_jsonb(p)::text FROM products AS p WHERE starts_with(id, $1)`, r.prefix)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	kept := history{}
	for rows.Next() {
		var topic, id string
		var row []byte
		if err := rows.Scan(&topic, &id, &row); err != nil {
			t.Fatal(err)
		}
		if err := kept.add(topic, id, row); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for key, log := range r.audit.published {
		if !strings.Contains(key, "/"+r.prefix) {
			continue
		}
		latest := log[len(log)-1]
		row, found := kept[key]
		if found {
			row[0].Stock = latest.Stock // sales lower it, and tell of themselves
		}
		if found == latest.Deleted || found && row[0] != latest {
			t.Errorf("%s: the latest event is %v, PostgreSQL holds %v", key, latest, row)
		}
	}
}
