package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/shop-connect/shop-connect/internal/env"
)

const healthTimeout = 4 * time.Second

func healthCommand() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "Ask a running shop-connect on this machine whether it is healthy; exits with 1 where it is not",
		Description: "Asks GET /health at the port of API_ADDRESS. For health checks of containers, which have no curl;\n" +
			"`shop-connect doctor` says what is wrong and what to do.",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return fmt.Errorf("health takes no arguments: %q", c.Args().First())
			}
			url, err := healthURL(os.Getenv(env.APIAddress))
			if err != nil {
				return err
			}
			return askHealth(c.Context, url, c.App.Writer)
		},
	}
}

// healthURL leads to the API on this machine, whatever addresses it listens on.
func healthURL(address string) (string, error) {
	if address == "" {
		return "", fmt.Errorf("%s is not set: it says where the API listens, such as 0.0.0.0:8000", env.APIAddress)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", env.APIAddress, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/health", nil
}

func askHealth(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil) //nolint:gosec // whoever runs the program says where its API listens
	if err != nil {
		return fmt.Errorf("asking %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	defer response.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&answer); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d: %v", url, response.StatusCode, answer)
	}
	_, err = fmt.Fprintln(out, "healthy")
	return err
}
