package vitals

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheReferenceOfMetricsIsWhatIsCommitted(t *testing.T) {
	committed, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var now strings.Builder
	if err := WriteReference(&now); err != nil {
		t.Fatal(err)
	}
	if string(committed) != now.String() {
		t.Error("docs/metrics.md differs from what `make generate` writes")
	}
}

// metric is a name with the suffixes of histograms cut off, as it stands in an expression.
var metric = regexp.MustCompile(`\b((?:shop_connect|api|kafka_rows|clickhouse|iceberg|input|output|processor)_[a-z0-9_]+?)(?:_bucket|_sum|_count)?\b`)

func TestAlertsAndDashboardsAskForDocumentedMetrics(t *testing.T) {
	known := Names()
	for _, file := range []string{"../../compose/prometheus/alerts.yaml", "../../compose/grafana/dashboards/shop-connect.json"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := metric.FindAllSubmatch(text, -1)
		if len(found) < 10 {
			t.Errorf("%s asks for %d metrics: the test does not read it", file, len(found))
		}
		for _, name := range found {
			if !slices.Contains(known, string(name[1])) {
				t.Errorf("%s asks for %s, which is not documented", file, name[1])
			}
		}
	}
}

// An alert's link leads to a heading of the runbook.
func TestEveryAlertHasAChapterOfTheRunbook(t *testing.T) {
	alerts, err := os.ReadFile("../../compose/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllStringSubmatch(string(alerts), -1)
	links := regexp.MustCompile(`(?m)runbook_url: docs/runbook.md#(\w+)$`).FindAllStringSubmatch(string(alerts), -1)
	if len(names) == 0 || len(names) != len(links) {
		t.Fatalf("%d alerts have %d links to the runbook", len(names), len(links))
	}
	for i, name := range names {
		if !strings.EqualFold(name[1], links[i][1]) {
			t.Errorf("alert %s links to %s", name[1], links[i][1])
		}
		if !strings.Contains(string(runbook), "## "+name[1]+"\n") {
			t.Errorf("the runbook has no chapter on %s", name[1])
		}
	}
}
