package app

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
)

func provisionCommand() *cli.Command {
	return &cli.Command{
		Name:  "provision",
		Usage: "Create the topics, buckets and tables that the pipelines need, on the servers that the environment names",
		Description: "Reads KAFKA_BROKERS, S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY, POSTGRES_DSN and CLICKHOUSE_DSN.\n" +
			"Safe to run again, and in several replicas at once.",
		Action: func(c *cli.Context) error {
			if err := provision.All(c.Context, env.FromProcess()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.App.Writer, "topics, buckets and tables are in place")
			return err
		},
	}
}
