package auth_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/store"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func runUser(stdin string, args ...string) (string, error) {
	readEnv := func(string) (map[string]string, error) { return nil, errors.New("there is no data directory") }
	var out bytes.Buffer
	app := &cli.App{
		Reader: strings.NewReader(stdin), Writer: &out, ErrWriter: &out,
		Commands: []*cli.Command{auth.UserCommand(readEnv)}, ExitErrHandler: func(*cli.Context, error) {},
	}
	err := app.Run(append([]string{"shop-connect", "user"}, args...))
	return out.String(), err
}

func TestUserCommandsDecideWhoGetsIn(t *testing.T) {
	dsn := testservers.Postgres(t)
	t.Setenv(env.PostgresDSN, dsn)
	run := func(stdin string, args ...string) {
		t.Helper()
		if out, err := runUser(stdin, args...); err != nil || strings.Contains(out, password) {
			t.Fatalf("user %v: %v\n%s", args, err, out)
		}
	}
	run(password+"\n", "add", "--scope", "read", "ann")
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	logins := auth.NewLogins(s.User)
	want := func(password string, in bool) {
		t.Helper()
		scopes, err := logins.Scopes(t.Context(), "ann", password)
		if in && (err != nil || len(scopes) != 1 || scopes[0] != "read") || !in && !errors.Is(err, auth.ErrLogin) {
			t.Errorf("must be let in %v: %v, %v", in, scopes, err)
		}
	}
	want(password, true)
	run("another password\r\n", "passwd", "ann")
	want(password, false)
	want("another password", true)
	run("", "disable", "ann")
	want("another password", false)
	run("", "enable", "ann")
	want("another password", true)
	out, err := runUser("", "list")
	if err != nil || !strings.Contains(out, "ann") || !strings.Contains(out, "read") || strings.Contains(out, "argon2") {
		t.Errorf("the list is %q, %v", out, err)
	}
}

func TestUserCommandsSayWhatIsWrong(t *testing.T) {
	t.Setenv(env.PostgresDSN, testservers.Postgres(t))
	for _, tc := range []struct {
		stdin  string
		args   []string
		wanted string
	}{
		{"", []string{"add", "ann", password}, "never"}, // not in the list of processes
		{"", []string{"add"}, "NAME"},
		{"", []string{"list", "ann"}, "no arguments"},
		{password, []string{"add", "--scope", "root", "ann"}, "root"},
		{password, []string{"add", " ann"}, "user name"},
		{"short\n", []string{"add", "ann"}, "must have from 8"},
		{"", []string{"add", "ann"}, "password"},
		{strings.Repeat("x", 5000), []string{"add", "ann"}, "1024"},
		{"warehouse", []string{"add", "warehouse"}, "must not be the user's name"},
		{password, []string{"passwd", "eve"}, "no such user"},
		{"", []string{"disable", "eve"}, "no such user"},
	} {
		if _, err := runUser(tc.stdin, tc.args...); err == nil || !strings.Contains(err.Error(), tc.wanted) {
			t.Errorf("user %v: error is %v, must have %q", tc.args, err, tc.wanted)
		}
	}
}
