package app

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "Print the version of this program",
		Action: func(c *cli.Context) error {
			number, date := Version()
			if date != "" {
				number += " of " + date
			}
			_, err := fmt.Fprintln(c.App.Writer, name, number)
			return err
		},
	}
}
