package replay

import (
	"errors"
	"fmt"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
	"github.com/shop-connect/shop-connect/internal/quarantine/catalog"
)

// RuleMapping is the rule of a reason that the mapping is to blame for, and not the row.
const RuleMapping = "mapping"

// unstable lists the functions whose result is not the same each time: a replay that is repeated must repair
// a row in the same way (I3). Those that reach this machine go as well, whether marked as impure or not.
var unstable = []string{
	"now", "timestamp_unix", "timestamp_unix_milli", "timestamp_unix_micro", "timestamp_unix_nano",
	"uuid_v4", "uuid_v7", "ulid", "ksuid", "nanoid", "snowflake_id", "random_int", "fake", "count", "counter",
	"env", "file", "file_rel", "hostname",
}

// Mapping repairs rows.
type Mapping struct{ executor *bloblang.Executor }

// ParseMapping reads a Bloblang mapping. It may use nothing but the row: no files, network, environment,
// clock or chance.
func ParseMapping(text string) (*Mapping, error) {
	environment := bloblang.GlobalEnvironment().OnlyPure().WithDisabledImports().WithoutFunctions(unstable...)
	executor, err := environment.Parse(text)
	if fault, ok := errors.AsType[*bloblang.ParseError](err); ok {
		return nil, fmt.Errorf("reading the mapping:\n%s", fault.ErrorMultiline())
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mapping: %w", err)
	}
	return &Mapping{executor: executor}, nil
}

// repair returns the bytes of a repaired row; keep is false for one that the mapping deletes, which leaves
// it in quarantine.
func (m *Mapping) repair(item *catalog.Item) (value []byte, keep bool, fault *contract.Reason) {
	if m == nil {
		return item.Value, true, nil
	}
	defer func() {
		if cause := recover(); cause != nil {
			fault = &contract.Reason{Rule: RuleMapping, Message: fmt.Sprint(cause)}
		}
	}()
	msg := service.NewMessage(item.Value)
	msg.MetaSetMut(quarantine.MetaReasons, item.Reasons)
	msg.MetaSetMut(quarantine.MetaBy, item.Layer)
	msg.MetaSetMut(quarantine.MetaSource, item.Source)
	repaired, err := msg.BloblangQuery(m.executor)
	if err == nil && repaired == nil {
		return nil, false, nil
	}
	if err == nil {
		value, err = repaired.AsBytes()
	}
	if err != nil {
		return nil, false, &contract.Reason{Rule: RuleMapping, Message: err.Error()}
	}
	return value, true, nil
}
