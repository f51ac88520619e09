// Package jwthttp is an input that takes rows over HTTP, on the API's listener and behind its check of
// tokens, so that an ingestion endpoint is a YAML file.
//
// Rows stay the bytes they came as: a body is walked once, each row is held against its contract, and
// all good ones become one message. The client is answered when the stream's output has acknowledged (I1).
package jwthttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/record"
)

const (
	fieldPath            = "path"
	fieldMethod          = "method"
	fieldScopes          = "scopes"
	fieldContract        = "contract"
	fieldTimezone        = "timezone"
	fieldRowsAt          = "rows_at"
	fieldTimeout         = "timeout"
	fieldMaxBodyBytes    = "max_body_bytes"
	fieldMaxRowBytes     = "max_row_bytes"
	fieldMaxRows         = "max_rows"
	fieldMaxPendingBytes = "max_pending_bytes"
)

type config struct {
	path, method    string
	scopes          []string
	contract        *contract.Contract
	timezone        *time.Location
	rowsAt          string
	timeout         time.Duration
	maxBodyBytes    int
	maxRowBytes     int
	maxRows         int
	maxPendingBytes int
}

// Spec documents the input.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Takes rows over HTTP, on the API's listener and behind its check of tokens.").
		Description(`
The rows of a body that its contract accepts become one message, a block: output `+"`kafka_rows`"+` takes it as it is, and
processor `+"`split_rows`"+` makes it a message a row, each with the row's business key in the metadata `+"`"+record.MetaEntityID+"`"+`. To
components that know no blocks it is the JSON array of its rows. Each row that the contract refuses becomes a message of its bytes as they
came, behind the block in the same batch, with the metadata `+"`refused_reasons`, `refused_by`, `refused_entity`, `refused_contract_version`"+`
and `+"`refused_source`"+` (request id and index). Requests that come together share a batch.

The answer is given once the batch is acknowledged: `+"`200`"+` with the counts and each refused row by
index and reasons, or `+"`202`"+` with its id where a body is one row. A batch that is rejected, or not acknowledged in time, is answered `+"`503`"+` with
`+"`Retry-After`"+`. Rows that carry ids of the client's can be sent again without counting twice.

It needs the API that the root config's section `+"`api`"+` starts, in streams mode.`).
		Fields(
			service.NewStringField(fieldPath).
				Description("Path of the endpoint, as a Go net/http pattern without host.").
				Example("/api/v1/purchases/bulk-kafka"),
			service.NewStringEnumField(fieldMethod, http.MethodPost, http.MethodPut).
				Description("Method of the endpoint.").Default(http.MethodPost).Advanced(),
			service.NewStringListField(fieldScopes).
				Description("The scopes that a token must have, all of them.").
				Default([]any{auth.ScopeWrite}),
			service.NewStringField(fieldContract).
				Description("The contract that rows are held against. Where it says `missing: generated` or `missing: now`, what the client leaves out is added to the row.").
				Example("${CONTRACTS_DIR:pipelines/contracts}/purchases.yaml"),
			service.NewStringField(fieldTimezone).
				Description("The zone of times that name none.").Default("UTC"),
			service.NewStringField(fieldRowsAt).
				Description("The member of the body that holds the array of rows. Empty: the body is one row; it is answered with 202 and its id, or with 422 and the reasons.").
				Default("").Example("purchases"),
			service.NewDurationField(fieldTimeout).
				Description("How long a request waits to be acknowledged before it is answered 503. Let the output give up sooner.").
				Default("15s"),
			service.NewIntField(fieldMaxBodyBytes).
				Description("The largest body; a larger one is answered 413.").
				Default(16<<20).Advanced(),
			service.NewIntField(fieldMaxRowBytes).
				Description("The longest row; a body with a longer one is answered 413. Keep it below what Kafka takes as one record.").
				Default(512<<10).Advanced(),
			service.NewIntField(fieldMaxRows).
				Description("The most rows of a body; one with more is answered 413.").
				Default(50_000).Advanced(),
			service.NewIntField(fieldMaxPendingBytes).
				Description("How many bytes of bodies are held at once, read or being read. Requests beyond wait their turn, for `"+fieldTimeout+"` at most.").
				Default(64<<20).Advanced(),
		).
		Example("Bulk purchases into Kafka", "Good rows go to one topic, refused ones to another, both before the client is answered.", `
input:
  label: purchases_bulk
  jwt_http:
    path: /api/v1/purchases/bulk-kafka
    rows_at: purchases
    contract: ${CONTRACTS_DIR:pipelines/contracts}/purchases.yaml

output:
  kafka_rows:
    seed_brokers: ["${KAFKA_BROKERS}"]
    topic: purchases
    refused_topic: purchases.rejected
`)
}

func init() { service.MustRegisterBatchInput("jwt_http", Spec(), New) }

// New is the input's constructor; it reads the contract and does no other I/O.
func New(conf *service.ParsedConfig, res *service.Resources) (service.BatchInput, error) {
	c, err := parseConfig(conf)
	if err != nil {
		return nil, err
	}
	return newInput(c, res), nil
}

// parseConfig reports every fault of the config at once.
func parseConfig(conf *service.ParsedConfig) (config, error) {
	var faults []error
	check := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	str := func(field string) string {
		v, err := conf.FieldString(field)
		check(err)
		return v
	}
	positive := func(field string) int {
		v, err := conf.FieldInt(field)
		check(err)
		if err == nil && v <= 0 {
			check(fmt.Errorf("field %s: must be above 0, is %d", field, v))
		}
		return v
	}
	c := config{
		path: str(fieldPath), method: str(fieldMethod), rowsAt: str(fieldRowsAt),
		maxBodyBytes: positive(fieldMaxBodyBytes), maxRowBytes: positive(fieldMaxRowBytes),
		maxRows: positive(fieldMaxRows), maxPendingBytes: positive(fieldMaxPendingBytes),
	}
	if !strings.HasPrefix(c.path, "/") || len(c.path) > 1 && strings.HasSuffix(c.path, "/") {
		check(fmt.Errorf("field %s: must begin with / and not end with it (a trailing slash is taken anyway), is %q", fieldPath, c.path))
	}
	if c.maxPendingBytes < c.maxBodyBytes {
		check(fmt.Errorf("field %s: must be at least %s, %d, or the largest body could never be read", fieldMaxPendingBytes, fieldMaxBodyBytes, c.maxBodyBytes))
	}
	var err error
	c.scopes, err = conf.FieldStringList(fieldScopes)
	check(err)
	known := []string{auth.ScopeRead, auth.ScopeWrite, auth.ScopeAdmin}
	for _, scope := range c.scopes {
		if !slices.Contains(known, scope) {
			check(fmt.Errorf("field %s: %q is unknown; use %s", fieldScopes, scope, strings.Join(known, ", ")))
		}
	}
	c.timeout, err = conf.FieldDuration(fieldTimeout)
	check(err)
	if c.timeout <= 0 || c.timeout > time.Minute {
		check(fmt.Errorf("field %s: must be above 0s and at most 1m, is %v", fieldTimeout, c.timeout))
	}
	if c.timezone, err = time.LoadLocation(str(fieldTimezone)); err != nil {
		check(fmt.Errorf("field %s: %w; use a name such as Europe/Berlin", fieldTimezone, err))
	}
	c.contract, err = contract.Load(str(fieldContract))
	check(err)
	return c, errors.Join(faults...)
}
