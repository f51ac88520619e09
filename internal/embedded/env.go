package embedded

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	envFile            = "env"
	loopback           = "127.0.0.1"
	s3Region           = "us-east-1"
	databaseUser       = "shop"
	postgresDatabase   = "shop"
	clickhouseDatabase = "analytics"
)

func environment(addresses addresses, creds Credentials) map[string]string {
	return map[string]string{
		env.KafkaBrokers:    addresses.Kafka,
		env.S3Endpoint:      "http://" + addresses.S3,
		env.S3Region:        s3Region,
		env.S3AccessKey:     creds.S3AccessKey,
		env.S3SecretKey:     creds.S3SecretKey,
		env.PostgresDSN:     postgresDSN(addresses.Postgres, creds, postgresDatabase),
		env.ClickHouseDSN:   clickhouseDSN(addresses.ClickHouse, creds),
		env.JWTSecret:       creds.JWTSecret,
		env.StreamsPassword: creds.StreamsPassword,
	}
}

func postgresDSN(address string, creds Credentials, database string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(databaseUser, creds.PostgresPassword),
		Host: address, Path: database, RawQuery: "sslmode=disable", // no TLS on loopback
	}
	return dsn.String()
}

func clickhouseDSN(address string, creds Credentials) string {
	dsn := url.URL{
		Scheme: "http", User: url.UserPassword(databaseUser, creds.ClickHousePassword),
		Host: address, Path: clickhouseDatabase,
	}
	return dsn.String()
}

// writeEnvFile lets other programs reach the servers: `set -a; . <data>/env`, or --env-file.
func writeEnvFile(dataDir string, vars map[string]string) error {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&text, "%s=%s\n", name, vars[name]) // values are URLs and base32: nothing to quote
	}
	path := filepath.Join(dataDir, envFile)
	if err := writeFileAtomic(path, []byte(text.String())); err != nil {
		return fmt.Errorf("writing environment %s: %w", path, err)
	}
	return nil
}

// ReadEnv returns the variables of the servers that were last started on a data directory, for commands
// that run beside them.
func ReadEnv(dataDir string) (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(dataDir, envFile))
	if err != nil {
		return nil, fmt.Errorf("reading the environment of the embedded servers: %w; start them with `shop-connect up`", err)
	}
	vars := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), "="); ok {
			vars[name] = value
		}
	}
	return vars, nil
}
