package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/internal/env"
)

// checks ask the servers that a request needs whether they are there. They keep a connection each.
type checks struct {
	postgres *pgxpool.Pool
	kafka    *kgo.Client
}

// newChecks does no I/O.
func newChecks(vars map[string]string) (*checks, error) {
	if err := env.Require(vars, env.PostgresDSN, env.KafkaBrokers); err != nil {
		return nil, err
	}
	config, err := pgxpool.ParseConfig(vars[env.PostgresDSN])
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", env.PostgresDSN, err)
	}
	config.MaxConns = 2
	postgres, postgresErr := pgxpool.NewWithConfig(context.Background(), config)
	kafka, kafkaErr := kgo.NewClient(kgo.SeedBrokers(strings.Split(vars[env.KafkaBrokers], ",")...))
	if err := errors.Join(postgresErr, kafkaErr); err != nil {
		return nil, fmt.Errorf("preparing health checks: %w", err)
	}
	return &checks{postgres: postgres, kafka: kafka}, nil
}

func (c *checks) byName() map[string]func(context.Context) error {
	return map[string]func(context.Context) error{"database": c.postgres.Ping, "kafka": c.kafka.Ping}
}

func (c *checks) close() {
	c.postgres.Close()
	c.kafka.Close()
}
