package s3parquet

import (
	"context"
	"fmt"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/store"
)

const fieldPostgres = "postgres_dsn"

// registerTimeout is how long a database may keep a batch waiting. What holds it up becomes an error that
// people see, and the batch comes again.
const registerTimeout = 15 * time.Second

// ledger is the database that knows what of RAW waits for STAGE. Without a connection string there is
// none.
type ledger struct {
	dsn   string
	store *store.Store
}

// ledgerFromParsed reads fieldPostgres, which may be empty where the spec says so.
func ledgerFromParsed(conf *service.ParsedConfig, required bool) (ledger, error) {
	dsn, err := conf.FieldString(fieldPostgres)
	if err == nil && (dsn != "" || required) {
		err = store.CheckDSN(dsn)
	}
	if err != nil {
		return ledger{}, fmt.Errorf("field %q: %w", fieldPostgres, err)
	}
	return ledger{dsn: dsn}, nil
}

func (l *ledger) connect(ctx context.Context) error {
	if l.dsn == "" || l.store != nil {
		return nil
	}
	opened, err := store.Open(ctx, l.dsn)
	if err != nil {
		return fmt.Errorf("opening the ledger of objects: %w", err)
	}
	l.store = opened
	return nil
}

// adopt refuses a contract that rows stored so far do not fit.
func (l *ledger) adopt(ctx context.Context, c *contract.Contract) error {
	if l.dsn == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return l.store.AdoptContracts(ctx, c)
}

// register says which objects are in the bucket that readers of RAW may not know yet.
func (l *ledger) register(ctx context.Context, bucket, entity string, objects []store.RawObject) error {
	if l.dsn == "" || len(objects) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return l.store.RegisterRaw(ctx, bucket, entity, objects)
}

// erased returns those of some customers who asked to be forgotten.
func (l *ledger) erased(ctx context.Context, ids []int64) (map[int64]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return l.store.ErasedAmong(ctx, ids)
}

func (l *ledger) close() {
	l.store.Close()
	l.store = nil
}
