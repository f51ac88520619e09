// Package batchrun is the input `batch_run`: it wraps another input and makes of its stream a run that
// one can trust, with an end, a result and a row in the ledger.
//
// Connect alone cannot tell a stream that finished from one that gave up, replays a rejected message for
// ever, and waits for ever for a store that does not answer. A scheduler needs the opposite of each.
package batchrun

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/runparam"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldName       = "name"
	fieldID         = "id"
	fieldParameters = "parameters"
	fieldAccepts    = "accepts"
	fieldPostgres   = "postgres_dsn"
	fieldAttempts   = "attempts"
	fieldNoProgress = "no_progress_timeout"
	fieldOnBusy     = "on_busy"
	fieldCountedBy  = "counted_by"
	fieldInput      = "input"
)

const (
	onBusyRefuse = "refuse"
	onBusyQueue  = "queue"

	countedByMessages  = "messages"
	countedByProcessor = "processor"
)

func init() { service.MustRegisterBatchInput("batch_run", Spec(), fromParsed) }

// Spec documents the component.
func Spec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Utility").
		Summary("Runs another input to its end as one batch run, recorded in PostgreSQL.").
		Description(`Every message carries the run's id as metadata `+"`"+store.MetaRunID+"`"+`. The run succeeds when the input has ended, every message is acknowledged, and rows in = rows out + refused + skipped. It fails when a message is rejected `+"`attempts`"+` times, when nothing moves for `+"`no_progress_timeout`"+`, when the input cannot connect, and when the ledger is lost. It is cancelled when its stream is removed before the end. However it ends, the stream ends too, and the table `+"`batch_runs`"+` says how and why.

A processor's error does not reject a message by itself: put the output into `+"`reject_errored`"+`.`).
		Fields(
			service.NewStringField(fieldName).Description("Name of the run. Only one run of a name is at work at a time, on all machines that share the ledger."),
			service.NewStringField(fieldID).Description("Id of the run, a UUID, so that whoever posts the stream can find it. Empty makes a new one.").Default("").Advanced(),
			service.NewStringMapField(fieldParameters).Description("What the run was asked to do, for the ledger.").Default(map[string]any{}),
			service.NewStringMapField(fieldAccepts).Description("What the values of parameters may be: `date` (2026-01-31), `bool`, `text`, or a list of values such as `customers|sellers`; with `?` behind it the value may be empty. Whatever the rule, a value holds only letters, digits and `._:/=+@-`.").Default(map[string]any{}).
				Example(map[string]any{"date": "date?", "full": "bool"}),
			service.NewStringField(fieldPostgres).Description("Connection string of the PostgreSQL database that holds the ledger.").Secret().
				Example("${POSTGRES_DSN}"),
			service.NewIntField(fieldAttempts).Description("How often a message is delivered before its rejection fails the run.").Default(3).LintRule(`root = if this < 1 { "must be 1 or more" }`),
			service.NewDurationField(fieldNoProgress).Description("How long the run may go without a message read, acknowledged or rejected.").Default("10m"),
			service.NewStringAnnotatedEnumField(fieldOnBusy, map[string]string{
				onBusyRefuse: "The second start of a name is entered in the ledger as failed.",
				onBusyQueue:  "The second start of a name waits for the first to end.",
			}).Description("What happens when a run of the same name is at work.").Default(onBusyRefuse),
			service.NewStringAnnotatedEnumField(fieldCountedBy, map[string]string{
				countedByMessages:  "Every message is a row.",
				countedByProcessor: "A message is an object; a processor such as `stage_validate` enters its rows. A message that is acknowledged without having been counted fails the run.",
			}).Description("Who counts the run's rows.").Default(countedByMessages),
			service.NewInputField(fieldInput).Description("The input to run. It must end by itself."),
		)
}

type config struct {
	name, id   string
	parameters map[string]string
	dsn        string
	attempts   int
	noProgress time.Duration
	queue      bool
	// byMessage says that this input counts rows itself.
	byMessage bool
}

func parse(conf *service.ParsedConfig) (config, error) {
	var c config
	var faults []error
	note := func(field string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("field %q: %w", field, err))
		}
	}
	text := func(field string) string {
		v, err := conf.FieldString(field)
		note(field, err)
		return v
	}
	var err error
	if c.name = text(fieldName); c.name == "" {
		note(fieldName, errors.New("must not be empty"))
	}
	if c.id = text(fieldID); c.id != "" {
		note(fieldID, uuid.Validate(c.id))
	}
	c.parameters, err = conf.FieldStringMap(fieldParameters)
	note(fieldParameters, err)
	note(fieldAccepts, c.checkParameters(conf))
	c.dsn = text(fieldPostgres)
	note(fieldPostgres, store.CheckDSN(c.dsn))
	c.attempts, err = conf.FieldInt(fieldAttempts)
	note(fieldAttempts, err)
	if c.attempts < 1 {
		note(fieldAttempts, fmt.Errorf("must be 1 or more, is %d", c.attempts))
	}
	c.noProgress, err = conf.FieldDuration(fieldNoProgress)
	note(fieldNoProgress, err)
	if c.noProgress <= 0 {
		note(fieldNoProgress, errors.New("must be more than 0"))
	}
	c.queue = text(fieldOnBusy) == onBusyQueue
	c.byMessage = text(fieldCountedBy) == countedByMessages
	return c, errors.Join(faults...)
}

// checkParameters holds the parameters against their rules, for whoever posts the stream without asking
// the API.
func (c *config) checkParameters(conf *service.ParsedConfig) error {
	rules, err := conf.FieldStringMap(fieldAccepts)
	faults := []error{err}
	for name, rule := range rules {
		if _, known := c.parameters[name]; !known {
			faults = append(faults, fmt.Errorf("there is no parameter %q", name))
		}
		if err := runparam.CheckRule(rule); err != nil {
			faults = append(faults, fmt.Errorf("parameter %q: %w", name, err))
		}
	}
	for name, value := range c.parameters {
		if err := runparam.Check(rules[name], value); err != nil {
			faults = append(faults, fmt.Errorf("parameter %q: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

func fromParsed(conf *service.ParsedConfig, mgr *service.Resources) (service.BatchInput, error) {
	cfg, err := parse(conf)
	if err != nil {
		return nil, err
	}
	reports := newReports(mgr)
	child, err := conf.FieldInput(fieldInput)
	if err != nil {
		return nil, fmt.Errorf("field %q: %w", fieldInput, err)
	}
	return &input{cfg: cfg, child: child, reports: reports, log: mgr.Logger()}, nil
}
