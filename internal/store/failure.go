package store

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Failure says what to do about an error of PostgreSQL.
type Failure int

const (
	// Outage passes: to try again is right. It is also what is not known better.
	Outage Failure = iota
	// Unstorable is a value that PostgreSQL has no room for, or will not have.
	Unstorable
	// Defect is a fault of this program or its schema, which trying again does not mend.
	Defect
)

// failures are the classes of SQLSTATE in which trying again is of no use.
var failures = map[string]Failure{
	"22": Unstorable, // data exceptions
	"23": Unstorable, // integrity
	"0A": Defect, "21": Defect, "24": Defect, "26": Defect, "34": Defect, "42": Defect, "P0": Defect, "XX": Defect,
}

// Kind tells an outage from what will fail again.
func Kind(err error) Failure {
	if _, scanned := errors.AsType[pgx.ScanArgError](err); scanned {
		return Defect
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && len(refused.Code) == 5 {
		return failures[refused.Code[:2]]
	}
	return Outage
}
