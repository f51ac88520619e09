package app

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
)

func contractCommand() *cli.Command {
	return &cli.Command{
		Name:  "contract",
		Usage: "Check, describe and document the contracts that say what a valid row is",
		Subcommands: []*cli.Command{{
			Name: "lint", Usage: "Report every fault of the contracts in a folder", ArgsUsage: "[DIR]",
			Action: func(c *cli.Context) error {
				contracts, err := readContracts(c)
				if err != nil {
					return err
				}
				faults := checkReferences(contracts)
				if faults == nil {
					_, err = fmt.Fprintf(c.App.Writer, "%d contracts are good\n", len(contracts))
				}
				return errors.Join(faults, err)
			},
		}, {
			Name: "schema", Usage: "Print the JSON Schema that editors check contracts with",
			Action: func(c *cli.Context) error {
				schema, err := contract.JSONSchema()
				if err != nil {
					return err
				}
				_, err = c.App.Writer.Write(schema)
				return err
			},
		}, {
			Name: "reference", Usage: "Print the contracts in a folder as Markdown, for those who send rows", ArgsUsage: "[DIR]",
			Action: func(c *cli.Context) error {
				contracts, err := readContracts(c)
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(c.App.Writer, contract.Reference(contracts))
				return err
			},
		}},
	}
}

// readContracts reads the folder that is named, else that of the environment, in the order of entities.
func readContracts(c *cli.Context) ([]*contract.Contract, error) {
	byEntity, err := contract.LoadDir(cmp.Or(c.Args().First(), os.Getenv(env.ContractsDir), defaultContractsDir))
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(byEntity), func(a, b *contract.Contract) int {
		return strings.Compare(a.Entity, b.Entity)
	}), nil
}

// checkReferences reports fields that refer to an entity without a contract, or to a key of another type.
func checkReferences(contracts []*contract.Contract) error {
	var faults []error
	for _, c := range contracts {
		for i := range c.Fields {
			field := &c.Fields[i]
			if field.References == "" {
				continue
			}
			at := slices.IndexFunc(contracts, func(other *contract.Contract) bool { return other.Entity == field.References })
			if at < 0 {
				faults = append(faults, fmt.Errorf("contract %q: field %q: there is no contract of %q that it could refer to", c.Entity, field.Name, field.References))
				continue
			}
			if key := contracts[at].Fields[contracts[at].Key]; key.Type != field.Type {
				faults = append(faults, fmt.Errorf("contract %q: field %q: is %s, the key of %s is %s", c.Entity, field.Name, field.Type, field.References, key.Type))
			}
		}
	}
	return errors.Join(faults...)
}
