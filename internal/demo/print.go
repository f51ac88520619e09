package demo

import (
	"fmt"
	"io"
	"math/big"
	"strings"

	"github.com/shop-connect/shop-connect/internal/load"
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
			progress.Thousands(d.Purchases), progress.Thousands(d.Items), d.Revenue, bar(d.Revenue.Units(), most))
	}
	return text.String()
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
		"  make up                                       the same shop on data of its own, in .shop\n"
	if dataDir != "" {
		text += fmt.Sprintf("  bin/shop-connect up --data-dir %-15s the shop with the purchases above\n", dataDir)
	}
	return text + "\nThree things to try next, while it runs\n" +
		"  1. bin/shop-connect load --generate 1000000   a million purchases more\n" +
		"  2. edit a file in pipelines/ and save it      the stream restarts with it, nothing else does\n" +
		"  3. open http://127.0.0.1:8000/docs            post a purchase with a mistake in it, read the answer\n"
}
