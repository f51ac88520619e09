package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
)

// UserCommand is `shop-connect user`. readEnv returns the variables of the servers that were started on a
// data directory, for when POSTGRES_DSN is not set.
func UserCommand(readEnv func(dataDir string) (map[string]string, error)) *cli.Command {
	dataDir := &cli.StringFlag{Name: flagDataDir, Value: ".shop", Usage: "data directory of a running `up`"}
	scopes := &cli.StringSliceFlag{Name: flagScopes, Value: cli.NewStringSlice(ScopeRead, ScopeWrite), Usage: "what the user's tokens allow: read, write, admin"}
	command := func(name, usage, args string, act func(*cli.Context, *store.Store, string) error, flags ...cli.Flag) *cli.Command {
		return &cli.Command{Name: name, Usage: usage, ArgsUsage: args, Flags: append(flags, dataDir), Action: func(c *cli.Context) error {
			return withUser(c, args != "", readEnv, act)
		}}
	}
	change := func(f func(*store.Store, context.Context, string) error) func(*cli.Context, *store.Store, string) error {
		return func(c *cli.Context, s *store.Store, name string) error { return f(s, c.Context, name) }
	}
	return &cli.Command{
		Name:  "user",
		Usage: "Say who gets a token of the API by password",
		Description: "Users are in PostgreSQL: at POSTGRES_DSN, else of the servers that `shop-connect up` started on the\n" +
			"data directory. Passwords are asked for, or read as one line from stdin. Flags go before NAME.\n\n" +
			"  openssl rand -base64 24 | tee password | shop-connect user add --scope read --scope write warehouse",
		Subcommands: []*cli.Command{
			command("add", "Add a user", "NAME", addUser, scopes),
			command("list", "List the users", "", listUsers),
			command("passwd", "Change a user's password; the tokens it has are void", "NAME", changePassword),
			command("disable", "Let a user in no more; the tokens it has are void", "NAME", change((*store.Store).DisableUser)),
			command("enable", "Let a disabled user in again", "NAME", change((*store.Store).EnableUser)),
		},
	}
}

// withUser checks the arguments before it connects.
func withUser(c *cli.Context, named bool, readEnv func(string) (map[string]string, error), act func(*cli.Context, *store.Store, string) error) error {
	name, command := c.Args().First(), "user "+c.Command.Name
	switch n := c.NArg(); {
	case !named && n > 0:
		return fmt.Errorf("%s takes no arguments: %q", command, name)
	case named && n != 1:
		return fmt.Errorf("%s takes one NAME, behind all flags, and has %d arguments; a password is never one: it is asked for, or read from stdin", command, n)
	case named:
		if err := checkName(name); err != nil {
			return err
		}
	}
	dsn, err := commandVariable(env.PostgresDSN, c.String(flagDataDir), readEnv)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, time.Minute)
	defer cancel()
	users, err := store.Open(ctx, dsn)
	if err != nil {
		return err
	}
	defer users.Close()
	return act(c, users, name)
}

func addUser(c *cli.Context, users *store.Store, name string) error {
	scopes := c.StringSlice(flagScopes)
	if err := checkScopes(scopes); err != nil {
		return err
	}
	hash, err := newPassword(c, name)
	if err != nil {
		return err
	}
	return users.AddUser(c.Context, name, hash, scopes)
}

func checkScopes(scopes []string) error {
	var faults []error
	for _, scope := range scopes {
		if !slices.Contains([]string{ScopeRead, ScopeWrite, ScopeAdmin}, scope) {
			faults = append(faults, fmt.Errorf("scope %q: must be %s, %s or %s", scope, ScopeRead, ScopeWrite, ScopeAdmin))
		}
	}
	return errors.Join(faults...)
}

func changePassword(c *cli.Context, users *store.Store, name string) error {
	if _, err := users.User(c.Context, name); err != nil { // before it is asked for
		return err
	}
	hash, err := newPassword(c, name)
	if err != nil {
		return err
	}
	return users.SetPassword(c.Context, name, hash)
}

func newPassword(c *cli.Context, name string) (hash string, err error) {
	password, err := askPassword(c.App.Reader, c.App.ErrWriter)
	if err != nil {
		return "", err
	}
	if err := checkPassword(name, password); err != nil {
		return "", err
	}
	return HashPassword(password), nil
}

func listUsers(c *cli.Context, users *store.Store, _ string) error {
	all, err := users.Users(c.Context)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(c.App.Writer, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAME\tSCOPES\tCREATED\tDISABLED")
	for _, u := range all {
		disabled := ""
		if u.DisabledAt != nil {
			disabled = u.DisabledAt.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", u.Name, strings.Join(u.Scopes, " "), u.CreatedAt.UTC().Format(time.RFC3339), disabled)
	}
	return table.Flush()
}
