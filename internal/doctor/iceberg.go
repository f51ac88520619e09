package doctor

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // driver pgx

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
	_ "github.com/shop-connect/shop-connect/internal/icebergio" // s3:// locations
	"github.com/shop-connect/shop-connect/plugins/icebergsink"
)

const (
	catalogName    = "shop"
	factsEntity    = "purchase_product_facts"
	undefinedTable = "42P01"
)

var factsTable = table.Identifier{"analytics", factsEntity}

func (e *examination) iceberg() server {
	return server{
		name: "Iceberg", address: "catalog " + catalogName + " in PostgreSQL, s3://analytics/",
		needs:  []string{env.PostgresDSN, env.S3Endpoint, env.S3Region, env.S3AccessKey, env.S3SecretKey},
		checks: []check{{"schema", e.checkFacts}},
	}
}

func (e *examination) checkFacts(ctx context.Context) (found []Finding) {
	db, err := sql.Open("pgx", e.Vars[env.PostgresDSN])
	if err != nil {
		return nil // said of PostgreSQL
	}
	defer db.Close()
	if err := db.PingContext(ctx); err != nil {
		return []Finding{fault("see PostgreSQL", "PostgreSQL, which has the catalog, does not answer")}
	}
	cat, err := sqlcatalog.NewCatalog(catalogName, db, sqlcatalog.Postgres, iceberg.Properties{
		"init_catalog_tables":   "false", // a look changes nothing
		iceio.S3EndpointURL:     e.Vars[env.S3Endpoint],
		iceio.S3Region:          e.Vars[env.S3Region],
		iceio.S3AccessKeyID:     e.Vars[env.S3AccessKey],
		iceio.S3SecretAccessKey: e.Vars[env.S3SecretKey],
	})
	var facts *table.Table
	if err == nil {
		facts, err = cat.LoadTable(ctx, factsTable)
	}
	name := strings.Join(factsTable, ".")
	if missing, ok := errors.AsType[*pgconn.PgError](err); ok && missing.Code == undefinedTable {
		return []Finding{fault(provisionDoes, "the catalog's own tables are missing")}
	}
	if errors.Is(err, catalog.ErrNoSuchTable) || errors.Is(err, catalog.ErrNoSuchNamespace) {
		return []Finding{warning("start the stream purchases_iceberg, which makes it", "there is no table %s", name)}
	}
	if err != nil {
		return []Finding{fault("see PostgreSQL and S3; where they are well, the table's metadata is gone: restore it from a backup", "loading table %s: %v", name, err)}
	}
	contracts, err := contract.LoadDir(e.contractsDir())
	if err != nil || contracts[factsEntity] == nil {
		return nil // said among the settings
	}
	gained, faults := icebergsink.Drift(facts, contracts[factsEntity])
	for _, err := range faults {
		found = append(found, fault("change the table or the contract as the message says; purchases_iceberg does not start before", "%v", err))
	}
	if len(gained) > 0 {
		found = append(found, warning("start purchases_iceberg again: it adds the columns, see its log where it does not", "table %s has no column for fields that its contract has gained: %s", name, strings.Join(gained, ", ")))
	}
	if len(found) == 0 {
		found = append(found, fine("table %s fits its contract", name))
	}
	return found
}
