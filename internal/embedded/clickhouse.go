package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/shop-connect/shop-connect/internal/embedded/clickhouse"
)

const dirClickHouse = "clickhouse"

func newClickHouse(l layout, address string, creds secrets) (*server, error) {
	s := &server{
		name: nameClickHouse, address: address,
		data: l.data(dirClickHouse), log: l.log(dirClickHouse), stopSignal: syscall.SIGTERM,
		probe: func(ctx context.Context) error { return probeClickHouse(ctx, address, creds) },
	}
	if binary, ok := clickhouse.FindServer(); ok {
		s.engine = binary
		s.command = func() (*exec.Cmd, error) {
			cmd, err := clickhouse.ServerCommand(clickhouse.Config{
				Addr: address, DataDir: s.data, User: databaseUser, Password: creds.ClickHousePassword, Database: clickhouseDatabase,
			})
			if err == nil {
				// A watchdog process between us and the server would take the signals meant for it.
				cmd.Env = append(os.Environ(), "CLICKHOUSE_WATCHDOG_ENABLE=0")
			}
			return cmd, err
		}
		return s, nil
	}
	library, err := clickhouse.FindLibrary(l.cacheDir)
	if errors.Is(err, clickhouse.ErrNoLibrary) {
		return nil, fmt.Errorf("%w: run `shop-connect install`, or install ClickHouse so that `clickhouse` is on PATH", err)
	}
	if err != nil {
		return nil, err
	}
	s.engine = "libchdb"
	child := childCmd(childClickHouse, childConfig{
		Address: address, DataDir: s.data, User: databaseUser, Password: creds.ClickHousePassword,
		Database: clickhouseDatabase, LibPath: library,
	})
	s.command = func() (*exec.Cmd, error) {
		cmd, err := child()
		if err == nil {
			cmd.Dir = l.dataDir // the engine's file functions read below the working directory only
		}
		return cmd, err
	}
	return s, nil
}

func probeClickHouse(ctx context.Context, address string, creds secrets) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/", strings.NewReader("SELECT 1"))
	if err != nil {
		return err
	}
	req.SetBasicAuth(databaseUser, creds.ClickHousePassword)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return err
	}
	if answer := strings.TrimSpace(string(body)); resp.StatusCode != http.StatusOK || answer != "1" {
		return fmt.Errorf("SELECT 1 answered %s: %s", resp.Status, answer)
	}
	return nil
}
