package embedded

import (
	"net/url"

	"github.com/shop-connect/shop-connect/internal/env"
)

const (
	loopback           = "127.0.0.1"
	s3Region           = "us-east-1"
	databaseUser       = "shop"
	postgresDatabase   = "shop"
	clickhouseDatabase = "analytics"
)

func environment(addresses addresses, creds secrets) map[string]string {
	return map[string]string{
		env.KafkaBrokers:    addresses.Kafka,
		env.S3Endpoint:      "http://" + addresses.S3,
		env.S3Region:        s3Region,
		env.S3AccessKey:     creds.S3AccessKey,
		env.S3SecretKey:     creds.S3SecretKey,
		env.PostgresDSN:     postgresDSN(addresses.Postgres, databaseUser, creds.PostgresPassword, postgresDatabase),
		env.ClickHouseDSN:   clickhouseDSN(addresses.ClickHouse, creds),
		env.JWTSecret:       creds.JWTSecret,
		env.StreamsPassword: creds.StreamsPassword,
	}
}

func postgresDSN(address, user, password, database string) string {
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password),
		Host: address, Path: database, RawQuery: "sslmode=disable", // no TLS on loopback
	}
	return dsn.String()
}

func clickhouseDSN(address string, creds secrets) string {
	dsn := url.URL{
		Scheme: "http", User: url.UserPassword(databaseUser, creds.ClickHousePassword),
		Host: address, Path: clickhouseDatabase,
	}
	return dsn.String()
}
