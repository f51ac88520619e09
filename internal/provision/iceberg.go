package provision

import (
	"context"
	"database/sql"
	"fmt"

	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx

	"github.com/shop-connect/shop-connect/internal/env"
)

// createCatalog makes the two tables of Iceberg's SQL catalog, so that rights on them can be given before the
// first stream or Spark job writes to it. The catalog's name is of no matter here: it is a column.
func createCatalog(ctx context.Context, vars map[string]string) error {
	db, err := sql.Open("pgx", vars[env.PostgresDSN])
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.PostgresDSN, err)
	}
	defer db.Close()
	catalog, err := sqlcatalog.NewCatalog("shop", db, sqlcatalog.Postgres, nil)
	if err != nil {
		return err
	}
	return catalog.CreateSQLTables(ctx)
}
