package kafkarows

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"

	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	fieldBrokers   = "seed_brokers"
	fieldTLS       = "tls"
	fieldSASL      = "sasl"
	fieldMechanism = "mechanism"
	fieldUsername  = "username"
	fieldPassword  = "password"
)

// The mechanisms of field sasl, by the names that Connect's own Kafka components give them.
const (
	mechanismPlain     = "PLAIN"
	mechanismSCRAM256  = "SCRAM-SHA-256"
	mechanismSCRAM512  = "SCRAM-SHA-512"
	clientSoftwareName = "shop-connect"
)

// connectionFields say where Kafka is and who asks, as Connect's own Kafka components have them, so that
// one can take the place of the other.
func connectionFields() []*service.ConfigField {
	return []*service.ConfigField{
		service.NewStringListField(fieldBrokers).
			Description("Kafka brokers, host:port each; an item may list several with commas.").
			Example([]string{"localhost:9092"}),
		service.NewTLSToggledField(fieldTLS),
		service.NewObjectListField(fieldSASL,
			service.NewStringEnumField(fieldMechanism, mechanismPlain, mechanismSCRAM256, mechanismSCRAM512).
				Description("How the client proves who it is."),
			service.NewStringField(fieldUsername).Default(""),
			service.NewStringField(fieldPassword).Default("").Secret(),
		).Description("Who the client is. Of several the first that the broker knows is used.").Optional().Advanced(),
	}
}

// connection is the parsed connectionFields.
type connection struct {
	brokers []string
	tls     *tls.Config // nil without TLS
	sasl    []sasl.Mechanism
}

// parseConnection reports every fault of the fields at once.
func parseConnection(conf *service.ParsedConfig) (c connection, err error) {
	var faults []error
	lists, err := conf.FieldStringList(fieldBrokers)
	faults = append(faults, err)
	for _, list := range lists {
		for broker := range strings.SplitSeq(list, ",") {
			if broker = strings.TrimSpace(broker); broker != "" {
				c.brokers = append(c.brokers, broker)
			}
		}
	}
	if err == nil && len(c.brokers) == 0 {
		faults = append(faults, fmt.Errorf("field %s: must name a broker, such as localhost:9092", fieldBrokers))
	}
	config, enabled, err := conf.FieldTLSToggled(fieldTLS)
	if faults = append(faults, err); enabled {
		c.tls = config
	}
	c.sasl, err = parseSASL(conf)
	return c, errors.Join(append(faults, err)...)
}

func parseSASL(conf *service.ParsedConfig) ([]sasl.Mechanism, error) {
	if !conf.Contains(fieldSASL) {
		return nil, nil
	}
	entries, err := conf.FieldObjectList(fieldSASL)
	if err != nil {
		return nil, fmt.Errorf("field %s: %w", fieldSASL, err)
	}
	var mechanisms []sasl.Mechanism
	for i, entry := range entries {
		name, err1 := entry.FieldString(fieldMechanism)
		user, err2 := entry.FieldString(fieldUsername)
		password, err3 := entry.FieldString(fieldPassword)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("field %s[%d]: %w", fieldSASL, i, err)
		}
		if user == "" {
			return nil, fmt.Errorf("field %s[%d].%s: is required", fieldSASL, i, fieldUsername)
		}
		switch name {
		case mechanismPlain:
			mechanisms = append(mechanisms, plain.Plain(func(context.Context) (plain.Auth, error) {
				return plain.Auth{User: user, Pass: password}, nil
			}))
		case mechanismSCRAM256:
			mechanisms = append(mechanisms, scram.Sha256(func(context.Context) (scram.Auth, error) {
				return scram.Auth{User: user, Pass: password}, nil
			}))
		case mechanismSCRAM512:
			mechanisms = append(mechanisms, scram.Sha512(func(context.Context) (scram.Auth, error) {
				return scram.Auth{User: user, Pass: password}, nil
			}))
		default:
			return nil, fmt.Errorf("field %s[%d].%s: %q is unknown; use %s, %s or %s",
				fieldSASL, i, fieldMechanism, name, mechanismPlain, mechanismSCRAM256, mechanismSCRAM512)
		}
	}
	return mechanisms, nil
}

// options are those of a client.
func (c *connection) options() []kgo.Opt {
	options := []kgo.Opt{kgo.SeedBrokers(c.brokers...), kgo.ClientID(clientSoftwareName)}
	if c.tls != nil {
		options = append(options, kgo.DialTLSConfig(c.tls))
	}
	if len(c.sasl) > 0 {
		options = append(options, kgo.SASL(c.sasl...))
	}
	return options
}
