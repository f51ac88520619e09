package app

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/provision"
)

const flagRoles = "roles"

func provisionCommand() *cli.Command {
	return &cli.Command{
		Name:  "provision",
		Usage: "Create the topics, buckets and tables that the pipelines need, on the servers that the environment names",
		Description: "Reads KAFKA_BROKERS, S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY, S3_SECRET_KEY, POSTGRES_DSN and CLICKHOUSE_DSN.\n" +
			"With --roles it makes users and their rights as well, as roles.yaml of that folder says; it reads\n" +
			"POSTGRES_ADMIN_DSN, CLICKHOUSE_ADMIN_DSN and a variable for each password too.\n" +
			"Safe to run again, and in several replicas at once.",
		Flags: []cli.Flag{&cli.PathFlag{Name: flagRoles, Usage: "folder with a roles.yaml, such as compose/provision"}},
		Action: func(c *cli.Context) error {
			if dir := c.Path(flagRoles); dir != "" {
				roles, err := provision.LoadRoles(dir, os.LookupEnv)
				if err != nil {
					return err
				}
				if err := provision.WithRoles(c.Context, roles, env.FromProcess()); err != nil {
					return err
				}
				_, err = fmt.Fprintln(c.App.Writer, "users, topics, buckets and tables are in place")
				return err
			}
			if err := provision.All(c.Context, env.FromProcess()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(c.App.Writer, "topics, buckets and tables are in place")
			return err
		},
	}
}
