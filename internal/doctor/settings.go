package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/shop-connect/shop-connect/internal/auth"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/env"
)

// required are the variables that every replica needs.
var required = []string{
	env.KafkaBrokers, env.S3Endpoint, env.S3Region, env.S3AccessKey, env.S3SecretKey,
	env.PostgresDSN, env.ClickHouseDSN, env.JWTSecret,
}

const (
	defaultContractsDir = "pipelines/contracts"
	minFree             = 1 << 30
)

// settings is what is wrong before any server is asked.
func (e *examination) settings() server {
	s := server{name: "Settings", checks: []check{
		{"variables", e.checkVariables}, {"secret", e.checkSecret}, {"timezone", e.checkTimezone}, {"contracts", e.checkContracts},
	}}
	if e.DataDir != "" {
		s.address = "data in " + e.DataDir
		s.checks = append(s.checks, check{"disk", e.checkDisk})
	}
	return s
}

func (e *examination) checkVariables(context.Context) []Finding {
	if err := env.Require(e.Vars, required...); err != nil {
		return []Finding{fault("set them, see README, On real servers; or start the servers of this machine with `shop-connect up`, and name their --data-dir", "%v", err)}
	}
	return []Finding{fine("all %d are set", len(required))}
}

func (e *examination) checkSecret(context.Context) []Finding {
	switch n := len(e.Vars[env.JWTSecret]); {
	case n == 0:
		return nil // said among the variables
	case n < auth.MinSecretBytes:
		return []Finding{fault("make one with `openssl rand -base64 48`", "%s has %d bytes, HS256 needs at least %d: the API does not start", env.JWTSecret, n, auth.MinSecretBytes)}
	}
	return []Finding{fine("%s is long enough", env.JWTSecret)}
}

func (e *examination) checkTimezone(context.Context) []Finding {
	name := cmp.Or(e.Vars[env.ShopTimezone], "UTC")
	if _, err := time.LoadLocation(name); err != nil || name == "Local" {
		return []Finding{fault("use a name such as Europe/Berlin, the same on every replica", "%s is %q, which is no time zone", env.ShopTimezone, name)}
	}
	return []Finding{fine("business days are those of %s", name)}
}

func (e *examination) contractsDir() string {
	return cmp.Or(e.Vars[env.ContractsDir], defaultContractsDir)
}

func (e *examination) checkContracts(context.Context) []Finding {
	contracts, err := contract.LoadDir(e.contractsDir())
	if err != nil {
		return []Finding{fault("start in the project's folder, or let "+env.ContractsDir+" name the folder; `shop-connect contract lint` reports every fault of a contract", "%v", err)}
	}
	var entities []string
	for _, entity := range slices.Sorted(maps.Keys(contracts)) {
		entities = append(entities, fmt.Sprintf("%s %d", entity, contracts[entity].Version))
	}
	return []Finding{fine("versions: %s", strings.Join(entities, ", "))}
}

func (e *examination) checkDisk(context.Context) []Finding {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(e.DataDir, &stat); err != nil {
		return []Finding{warning("see whether the folder is there and may be read", "asking for free space: %v", &os.PathError{Op: "statfs", Path: e.DataDir, Err: err})}
	}
	free := stat.Bavail * uint64(stat.Bsize)
	if free < minFree {
		return []Finding{warning("make room; `shop-connect run-batch retention` removes old objects, `make clean` everything", "%d MiB are free", free>>20)}
	}
	return []Finding{fine("%d GiB are free", free>>30)}
}
