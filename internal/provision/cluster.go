package provision

import (
	"fmt"
	"regexp"
	"strings"
)

// cluster is the name of a ClickHouse cluster whose servers all get the tables, as replicas of each other. Without a
// name there is one server, and a statement is what is written.
type cluster string

// clusterName admits names, and macros of the servers such as {cluster}.
var clusterName = regexp.MustCompile(`^(\{[A-Za-z0-9_]+\}|[A-Za-z0-9_.-]+)$`)

func parseCluster(name string) (cluster, error) {
	if name != "" && !clusterName.MatchString(name) {
		return "", fmt.Errorf("%q is not the name of a cluster, such as shop or {cluster}", name)
	}
	return cluster(name), nil
}

var (
	comments = regexp.MustCompile(`(?m)^\s*--.*\n`)
	// ddl is a statement about one table or view, whose name the cluster stands behind.
	ddl = regexp.MustCompile("(?i)^(CREATE (?:OR REPLACE )?(?:TABLE|VIEW|DATABASE) (?:IF NOT EXISTS )?[`\\w]+|ALTER TABLE \\w+)")
	// listed is a statement about several, which the cluster stands behind.
	listed = regexp.MustCompile(`(?i)^(RENAME|DROP) TABLE`)
	// engine is one that has a replicated twin. Without arguments of its own, the twin keeps what the replicas share
	// under a path of the table's UUID, which renaming does not change.
	engine = regexp.MustCompile(`(?m)^(ENGINE = )(\w*MergeTree)`)
)

// render makes a statement one about the whole cluster. Rows replicate by themselves, so an INSERT runs on one server.
func (c cluster) render(statement string) string {
	if c == "" {
		return statement
	}
	on := " ON CLUSTER '" + string(c) + "'"
	statement = strings.TrimSpace(comments.ReplaceAllString(statement, ""))
	switch {
	case ddl.MatchString(statement):
		statement = ddl.ReplaceAllString(statement, "${1}"+on)
	case listed.MatchString(statement):
		statement += on
	}
	return engine.ReplaceAllString(statement, "${1}Replicated${2}")
}
