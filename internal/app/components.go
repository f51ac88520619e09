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

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	// Our own.
	_ "github.com/shop-connect/shop-connect/plugins/backlog"
	_ "github.com/shop-connect/shop-connect/plugins/batchrun"
	_ "github.com/shop-connect/shop-connect/plugins/clickhousesink"
	_ "github.com/shop-connect/shop-connect/plugins/contractcheck"
	_ "github.com/shop-connect/shop-connect/plugins/erasure"
	_ "github.com/shop-connect/shop-connect/plugins/icebergrepair"
	_ "github.com/shop-connect/shop-connect/plugins/icebergsink"
	_ "github.com/shop-connect/shop-connect/plugins/icebergupkeep"
	_ "github.com/shop-connect/shop-connect/plugins/jwthttp"
	_ "github.com/shop-connect/shop-connect/plugins/kafkarows"
	_ "github.com/shop-connect/shop-connect/plugins/lakeupkeep"
	_ "github.com/shop-connect/shop-connect/plugins/otlptracer"
	_ "github.com/shop-connect/shop-connect/plugins/outbox"
	_ "github.com/shop-connect/shop-connect/plugins/postgresexport"
	_ "github.com/shop-connect/shop-connect/plugins/s3parquet"
	_ "github.com/shop-connect/shop-connect/plugins/stagevalidate"
	_ "github.com/shop-connect/shop-connect/plugins/topiclookup"
)

// unsafe lists the components that run programs, end this one, or reach files of this machine. Whoever
// may post a stream would own the machine through them.
var unsafe = []string{
	"awk", "command", "crash", "csv", "dynamic", "file", "parquet", "socket", "socket_server", "subprocess",
}

// unsafeFunctions lists what mappings could read files and secrets with.
var unsafeFunctions = []string{"file", "file_rel", "env"}

// Environment holds the components and functions that streams may use.
func Environment() *service.Environment {
	environment := service.GlobalEnvironment().Without(unsafe...)
	environment.UseBloblangEnvironment(bloblang.GlobalEnvironment().WithoutFunctions(unsafeFunctions...))
	return environment
}
