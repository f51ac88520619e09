package app

import (
	// The database drivers of the sql components.
	_ "github.com/ClickHouse/clickhouse-go/v2"
	_ "github.com/jackc/pgx/v5/stdlib"
	// The components that come with Connect. Never components/aws: it links code under another licence.
	_ "github.com/redpanda-data/connect/v4/public/components/io"
	_ "github.com/redpanda-data/connect/v4/public/components/kafka"
	_ "github.com/redpanda-data/connect/v4/public/components/prometheus"
	_ "github.com/redpanda-data/connect/v4/public/components/pure"
	_ "github.com/redpanda-data/connect/v4/public/components/pure/extended"
	_ "github.com/redpanda-data/connect/v4/public/components/sql/base"

	"github.com/redpanda-data/benthos/v4/public/service"

	// Our own.
	_ "github.com/shop-connect/shop-connect/plugins/batchrun"
	_ "github.com/shop-connect/shop-connect/plugins/clickhousesink"
	_ "github.com/shop-connect/shop-connect/plugins/icebergsink"
	_ "github.com/shop-connect/shop-connect/plugins/jwthttp"
	_ "github.com/shop-connect/shop-connect/plugins/outbox"
	_ "github.com/shop-connect/shop-connect/plugins/s3parquet"
	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"
	_ "github.com/shop-connect/shop-connect/plugins/topiclookup"
)

// executing lists the components that run programs, or write files from which programs run. Whoever
// may post a stream would own the machine through them.
var executing = []string{"command", "subprocess", "file", "socket_server", "dynamic"}

// Environment holds the components that streams may use.
func Environment() *service.Environment {
	return service.GlobalEnvironment().Without(executing...)
}
