// Package env names the environment variables by which everything here (pipelines, API, commands) finds
// its servers. They are the only difference between a laptop and production.
package env

import (
	"fmt"
	"os"
	"strings"
)

// The variables.
const (
	KafkaBrokers    = "KAFKA_BROKERS"    // host:port, comma-separated
	S3Endpoint      = "S3_ENDPOINT"      // http://host:port or https://host
	S3Region        = "S3_REGION"        //
	S3AccessKey     = "S3_ACCESS_KEY"    //
	S3SecretKey     = "S3_SECRET_KEY"    //
	PostgresDSN     = "POSTGRES_DSN"     // postgres://user:password@host:port/database
	ClickHouseDSN   = "CLICKHOUSE_DSN"   // http://user:password@host:port/analytics
	JWTSecret       = "JWT_SECRET"       // HS256 key of the API's tokens
	APIAddress      = "API_ADDRESS"      // host:port that the HTTP API listens on
	StreamsAddress  = "STREAMS_ADDRESS"  // host:port of the streams REST API
	StreamsURL      = "STREAMS_URL"      // of the streams REST API that runs batch streams, where it is another replica's
	StreamsDir      = "STREAMS_DIR"      // folder of the batch streams; streams where it is not set
	StreamsUser     = "STREAMS_USER"     // of the streams REST API
	StreamsPassword = "STREAMS_PASSWORD" // of the streams REST API
	ContractsDir    = "CONTRACTS_DIR"    // folder of the contracts; pipelines/contracts where it is not set
	ShopTimezone    = "SHOP_TIMEZONE"    // zone of times that name none, and of business days; UTC where it is not set

	// ClickHouseCluster names the servers that replicate each other; there is one server where it is not set.
	ClickHouseCluster = "CLICKHOUSE_CLUSTER"
)

var names = []string{
	KafkaBrokers, S3Endpoint, S3Region, S3AccessKey, S3SecretKey, PostgresDSN, ClickHouseDSN, JWTSecret,
	APIAddress, StreamsAddress, StreamsURL, StreamsDir, StreamsUser, StreamsPassword, ContractsDir, ShopTimezone,
	ClickHouseCluster,
}

// FromProcess returns the variables that this process was started with.
func FromProcess() map[string]string {
	vars := make(map[string]string, len(names))
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			vars[name] = value
		}
	}
	return vars
}

// Require names every one of the variables that is missing or empty.
func Require(vars map[string]string, wanted ...string) error {
	var missing []string
	for _, name := range wanted {
		if vars[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("environment variables are not set: %s", strings.Join(missing, ", "))
	}
	return nil
}
