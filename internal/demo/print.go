package demo

import (
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/shop-connect/shop-connect/internal/load"
	"github.com/shop-connect/shop-connect/internal/money"
	"github.com/shop-connect/shop-connect/internal/progress"
	"github.com/shop-connect/shop-connect/internal/reconcile"
)

const (
	daysShown = 10
	barWidth  = 32
)

func printResult(out io.Writer, lines []reconcile.Line, days []load.Day) error {
	if _, err := io.WriteString(out, "\nRECONCILIATION\n"); err != nil {
		return fmt.Errorf("printing the reconciliation: %w", err)
	}
	if err := reconcile.Print(out, lines); err != nil {
		return err
	}
	if _, err := io.WriteString(out, chart(days)); err != nil {
		return fmt.Errorf("printing the statistics: %w", err)
	}
	return nil
}

// chart shows the newest days of daily_purchase_stats and their revenue as bars.
func chart(days []load.Day) string {
	days = days[max(len(days)-daysShown, 0):]
	most := new(big.Int)
	for _, d := range days {
		if units := d.Revenue.Units(); units.Cmp(most) > 0 {
			most = units
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nanalytics.daily_purchase_stats, newest %d days\n", len(days))
	fmt.Fprintf(&text, "  %-10s  %9s  %9s  %16s\n", "day", "purchases", "items", "revenue")
	for _, d := range days {
		fmt.Fprintf(&text, "  %-10s  %9s  %9s  %16s  %s\n", d.Date,
			progress.Thousands(d.Purchases), progress.Thousands(d.Items), fourDecimals(d.Revenue), bar(d.Revenue.Units(), most))
	}
	return text.String()
}

// fourDecimals lets the points of a column stand below each other.
func fourDecimals(a load.Amount) string {
	text := a.String()
	_, decimals, _ := strings.Cut(text, ".")
	return text + strings.Repeat("0", money.Scale-len(decimals))
}

func bar(units, most *big.Int) string {
	if most.Sign() == 0 {
		return ""
	}
	length := new(big.Int).Mul(units, big.NewInt(barWidth))
	return strings.Repeat("█", int(length.Div(length, most).Int64()))
}

// nextSteps says how to go on; dataDir is where this run's data still is, if it is.
func nextSteps(dataDir string) string {
	text := "\nKeep it running\n" +
		"  make up\n" +
		"      the same shop on data of its own, in .shop\n"
	if dataDir != "" {
		text += "  bin/shop-connect up --data-dir " + dataDir + "\n" +
			"      the shop with the purchases above\n"
	}
	return text + "\nThree things to try next, while it runs\n" +
		"  1. bin/shop-connect load --generate 1000000\n" +
		"      a million purchases more, and what the API accepted of them\n" +
		"  2. bin/shop-connect load --generate 1000000, once more\n" +
		"      the same ids again: every statistic stays as it is\n" +
		"  3. edit a file in pipelines/ and save it\n" +
		"      its stream restarts with the change, nothing else does\n"
}
