package reconcile

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/progress"
)

// Line is one claim about the layers, with the figures it is about.
type Line struct {
	Claim   string
	Figures string
	Holds   bool
}

// Compare holds the layers against the truth about what was sent to them, and nothing but it.
func Compare(truth load.Truth, layers Layers) []Line {
	daily, quarantined := layers.Daily(), layers.Quarantined
	days := 0
	for _, d := range layers.Days {
		if truth.Day(d.Date) == d {
			days++
		}
	}
	return []Line{
		counts("sent = accepted + refused",
			[]int64{truth.Sent}, []int64{truth.Accepted, truth.Refused}),
		counts("accepted = RAW + refused on the way = STAGE + quarantined",
			[]int64{truth.Accepted},
			[]int64{layers.Raw.Distinct, quarantined["raw"]},
			[]int64{layers.Stage.Rows, quarantined["raw"] + quarantined["stage"]}),
		counts("STAGE rows = STAGE records, each once",
			[]int64{layers.Stage.Rows}, []int64{layers.Stage.Distinct}),
		counts("refused at the edge = quarantined there",
			[]int64{truth.Refused}, []int64{quarantined["api"]}),
		counts("distinct accepted = ClickHouse = daily statistics = Iceberg",
			[]int64{truth.Distinct}, []int64{layers.ClickHouse.Rows}, []int64{daily.Rows}, []int64{layers.Iceberg.Rows}),
		counts("distinct accepted = sold by category = bought by customer",
			[]int64{truth.Distinct}, []int64{layers.ByCategory.Rows}, []int64{layers.ByCustomer.Rows}),
		counts("distinct ids = ClickHouse = Iceberg",
			[]int64{truth.Distinct}, []int64{layers.ClickHouse.IDs}, []int64{layers.Iceberg.IDs}),
		counts("items = ClickHouse = daily statistics = Iceberg",
			[]int64{truth.Items}, []int64{layers.ClickHouse.Items}, []int64{daily.Items}, []int64{layers.Iceberg.Items}),
		amounts("revenue = ClickHouse = daily statistics = Iceberg",
			truth.Revenue, layers.ClickHouse.Revenue, daily.Revenue, layers.Iceberg.Revenue),
		amounts("revenue = by category = by customer",
			truth.Revenue, layers.ByCategory.Revenue, layers.ByCustomer.Revenue),
		counts("days sold on = days in the statistics = days that agree",
			[]int64{int64(len(truth.Days))}, []int64{int64(len(layers.Days))}, []int64{int64(days)}),
	}
}

// Hold says whether every line holds.
func Hold(lines []Line) bool {
	for _, l := range lines {
		if !l.Holds {
			return false
		}
	}
	return true
}

// Print writes the lines as a table and marks those that do not hold.
func Print(out io.Writer, lines []Line) error {
	width := 0
	for _, l := range lines {
		width = max(width, utf8.RuneCountInString(l.Claim))
	}
	var text strings.Builder
	for _, l := range lines {
		mark, verdict := "✓", ""
		if !l.Holds {
			mark, verdict = "✗", "   DIFFERS"
		}
		fmt.Fprintf(&text, "  %s %-*s  %s%s\n", mark, width, l.Claim, l.Figures, verdict)
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("printing the reconciliation: %w", err)
	}
	return nil
}

// counts claims that several sums are equal.
func counts(claim string, sides ...[]int64) Line {
	line := Line{Claim: claim, Holds: true}
	var first int64
	var texts []string
	for i, side := range sides {
		var sum int64
		var terms []string
		for _, n := range side {
			sum += n
			terms = append(terms, progress.Thousands(n))
		}
		if i == 0 {
			first = sum
		}
		line.Holds = line.Holds && sum == first
		texts = append(texts, strings.Join(terms, " + "))
	}
	line.Figures = strings.Join(texts, " = ")
	return line
}

// amounts claims that several amounts of money are equal, to the last decimal (I5).
func amounts(claim string, sides ...load.Amount) Line {
	line := Line{Claim: claim, Holds: true}
	var texts []string
	for _, a := range sides {
		line.Holds = line.Holds && a == sides[0]
		texts = append(texts, a.String())
	}
	line.Figures = strings.Join(texts, " = ")
	return line
}
