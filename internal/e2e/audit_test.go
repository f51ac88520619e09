package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/upproc"
)

// Triggers write down every change of purchases and products in the transaction that makes it, while it
// holds the row: for each key that is what was committed, in the order of the commits. A sale lowers a
// stock without changing the product, which is why updated_at stays.
const auditSchema = `
CREATE TABLE audit (n bigserial PRIMARY KEY, topic text, key text, content jsonb, pieces bigint);
CREATE FUNCTION audit_purchase() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF TG_OP = 'DELETE' THEN
		INSERT INTO audit (topic, key, content, pieces) VALUES ('purchases', OLD.id, to_jsonb(OLD) || '{"deleted":true}', 0);
	ELSE
		INSERT INTO audit (topic, key, content, pieces) VALUES ('purchases', NEW.id, to_jsonb(NEW), 0);
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION audit_product() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	INSERT INTO audit (topic, key, content, pieces) VALUES ('products', NEW.id, to_jsonb(NEW),
		NEW.stock - CASE TG_OP WHEN 'UPDATE' THEN OLD.stock ELSE 0 END);
	RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON purchases FOR EACH ROW EXECUTE FUNCTION audit_purchase();
CREATE TRIGGER audit_new AFTER INSERT ON products FOR EACH ROW EXECUTE FUNCTION audit_product();
CREATE TRIGGER audit_changed AFTER UPDATE ON products FOR EACH ROW WHEN (NEW.updated_at <> OLD.updated_at) EXECUTE FUNCTION audit_product();`

// told is what an event, an answer of the API or a row says of a purchase or a product.
type told struct {
	ID          string       `json:"id"`
	Deleted     bool         `json:"deleted"`
	ProductID   string       `json:"product_id"`
	Quantity    int64        `json:"quantity"`
	PriceAtTime money.Amount `json:"price_at_time"`
	PurchasedAt time.Time    `json:"purchased_at"`

	Name      string       `json:"name"`
	Price     money.Amount `json:"price"`
	Stock     int64        `json:"stock"`
	UpdatedAt time.Time    `json:"updated_at"`
}

func tell(text []byte) (t told, err error) {
	if err := json.Unmarshal(text, &t); err != nil {
		return t, fmt.Errorf("reading %q: %w", text, err)
	}
	if t.Deleted { // the event says no more than when it was
		t = told{ID: t.ID, Deleted: true, PurchasedAt: t.PurchasedAt}
	}
	t.PurchasedAt, t.UpdatedAt = t.PurchasedAt.UTC(), t.UpdatedAt.UTC()
	return t, nil
}

// history is what was told of each key of each topic, in order.
type history map[string][]told

func historyKey(topic, key string) string { return topic + "/" + key }

func (h history) add(topic, key string, text []byte) error {
	t, err := tell(text)
	if err != nil {
		return err
	}
	h[historyKey(topic, key)] = append(h[historyKey(topic, key)], t)
	return nil
}

// audit watches what is committed and what is published.
type audit struct {
	pool      *pgxpool.Pool
	consumer  *kgo.Client
	admin     *kadm.Client
	read      map[string]map[int32]int64
	published history
}

func newAudit(t *testing.T, up *upproc.Process) *audit {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), up.Env[env.PostgresDSN])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(t.Context(), auditSchema); err != nil {
		t.Fatal(err)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(up.Env[env.KafkaBrokers], ",")...),
		kgo.ConsumeTopics("purchases", "products"), kgo.FetchMaxWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(consumer.Close)
	return &audit{
		pool: pool, consumer: consumer, admin: kadm.NewClient(consumer), published: history{},
		read: map[string]map[int32]int64{"purchases": {}, "products": {}},
	}
}

// committed returns the changes of all keys with a prefix.
func (a *audit) committed(ctx context.Context, prefix string) (history, error) {
	rows, err := a.pool.Query(ctx, `SELECT topic, key, content::text FROM audit WHERE starts_with(key, $1) ORDER BY n`, prefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	h := history{}
	for rows.Next() {
		var topic, key string
		var content []byte
		if err := rows.Scan(&topic, &key, &content); err != nil {
			return nil, err
		}
		if err := h.add(topic, key, content); err != nil {
			return nil, err
		}
	}
	return h, rows.Err()
}

// waiting is how many committed events are not known to be in Kafka.
func (a *audit) waiting(ctx context.Context) (n int, err error) {
	err = a.pool.QueryRow(ctx, `SELECT count(*) FROM outbox`).Scan(&n)
	return n, err
}

// follow reads both topics to their ends.
func (a *audit) follow(ctx context.Context) error {
	ends, err := a.admin.ListEndOffsets(ctx, "purchases", "products")
	if err != nil {
		return err
	}
	behind := func() (yes bool) {
		ends.Each(func(o kadm.ListedOffset) { yes = yes || a.read[o.Topic][o.Partition] < o.Offset })
		return yes
	}
	for behind() {
		fetches := a.consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			a.read[record.Topic][record.Partition] = record.Offset + 1
			if err := a.published.add(record.Topic, string(record.Key), record.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// tells reports whether a log of events tells of all changes in their order. After a crash it may begin
// again from an earlier change, and must then tell of those behind it again: it never skips one, never
// tells of one that was not committed, and ends with the last.
func tells(log, changes []told) bool {
	at := []int{-1} // where in the changes the log may be: some look alike
	for _, event := range log {
		farthest := slices.Max(at)
		at = at[:0:0]
		for i := 0; i <= farthest+1 && i < len(changes); i++ {
			if changes[i] == event {
				at = append(at, i)
			}
		}
		if len(at) == 0 {
			return false
		}
	}
	return slices.Contains(at, len(changes)-1)
}
