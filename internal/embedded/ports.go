package embedded

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// addresses are host:port of each server.
type addresses struct{ Kafka, S3, Postgres, ClickHouse string }

// reservePorts binds every port and lets go of it again, so that a taken one is named before anything
// starts, and ports chosen by the system differ from each other.
func reservePorts(ports Ports) (addresses, error) {
	var found addresses
	var faults []error
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for _, want := range []struct {
		name, flag string
		port       int
		address    *string
	}{
		{nameKafka, "--port-kafka", ports.Kafka, &found.Kafka},
		{nameS3, "--port-s3", ports.S3, &found.S3},
		{namePostgres, "--port-postgres", ports.Postgres, &found.Postgres},
		{nameClickHouse, "--port-clickhouse", ports.ClickHouse, &found.ClickHouse},
	} {
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(want.port)))
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			faults = append(faults, fmt.Errorf("port %d for %s is taken: stop what uses it, or choose another with %s", want.port, want.name, want.flag))
		case err != nil:
			faults = append(faults, fmt.Errorf("opening port %d for %s: %w; choose another with %s", want.port, want.name, err, want.flag))
		default:
			held = append(held, l)
			*want.address = l.Addr().String()
		}
	}
	return found, errors.Join(faults...)
}
