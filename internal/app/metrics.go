package app

import (
	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/vitals"
)

func metricsCommand() *cli.Command {
	return &cli.Command{
		Name:   "metrics",
		Usage:  "Write the reference of the metrics whose names are stable",
		Action: func(c *cli.Context) error { return vitals.WriteReference(c.App.Writer) },
	}
}
