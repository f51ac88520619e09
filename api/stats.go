package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/shop-connect/shop-connect/internal/analytics"
	"github.com/shop-connect/shop-connect/internal/auth"
)

const pathStats = "/api/v1/stats"

// stats answers what ClickHouse has added up: the figures of its views in internal/provision/clickhouse.
type stats struct{ server *Server }

// DaysQuery is which business days are added up. Its name is exported because huma passes over embedded fields of
// unexported types.
type DaysQuery struct {
	From optionalDay `query:"from" doc:"The first business day; from the beginning without it."`
	To   optionalDay `query:"to" doc:"The last business day; to the end without it."`
}

// GoodsQuery is which products are added up.
type GoodsQuery struct {
	Category  string `query:"category" maxLength:"200" doc:"Only products that are of this category now; unknown for those that nobody has told of."`
	ProductID string `query:"product_id" maxLength:"200" doc:"Only this product."`
}

// LimitQuery bounds an answer.
type LimitQuery struct {
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"1000" doc:"How many rows to answer at most."`
}

type salesQuery struct {
	DaysQuery
	GoodsQuery
	LimitQuery
}

type categoriesQuery struct {
	DaysQuery
	GoodsQuery
	LimitQuery
	Granularity string `query:"granularity" enum:"total,month,day" default:"total" doc:"Add up each category in all, by month or by day."`
}

type trendsQuery struct {
	DaysQuery
	LimitQuery
}

type habitsQuery struct {
	CustomerID int64  `query:"customer_id" minimum:"1" doc:"Only this customer."`
	Segment    string `query:"segment" enum:",champions,loyal,new,needs_attention,at_risk,lost" doc:"Only customers of this segment."`
	LimitQuery
}

// statRows is what statistics answer.
type statRows[T any] struct{ Body []T }

func (s *Server) registerStats() {
	r := stats{s}
	const late = "Some seconds after purchases were made, exact whatever was repeated, corrected or deleted."
	registerStat(r, "daily", "daily", "Sales by business day, the newest first", late, sales(r, analytics.ByDay, dailyOf))
	registerStat(r, "monthly", "monthly", "Sales by month, the newest first", "Of the days asked for. "+late, sales(r, analytics.ByMonth, monthlyOf))
	registerStat(r, "hourly", "hourly", "Sales by hour of each business day and by category, the newest first", late, sales(r, analytics.ByHour, hourlyOf))
	registerStat(r, "categories", "categories", "Sales by category, the one with most revenue first",
		"A product counts in the category that it has now. "+late, r.categories)
	registerStat(r, "products", "products", "Sales by product, the one with most revenue first", late, sales(r, analytics.ByProduct, topProductOf))
	registerStat(r, "hourly-patterns", "patterns/hourly", "Sales by hour of the day", late, sales(r, analytics.ByHourOfDay, hourOfDayOf))
	registerStat(r, "weekly-patterns", "patterns/weekly", "Sales by day of the week", late, sales(r, analytics.ByWeekday, weekdayOf))
	registerStat(r, "monthly-trends", "trends/monthly", "Sales by month beside the month before, the newest first", "Whole months. "+late, r.trends)
	registerStat(r, "rfm", "customers/rfm", "Recency, frequency and money of customers, the one who spent most first",
		"Scores go from 1 to 5 and compare with all customers; 5 is best, and equals have equal scores. "+late, r.habits)
}

func registerStat[I, O any](r stats, id, path, summary, description string, handler func(context.Context, *I) (*statRows[O], error)) {
	op := huma.Operation{
		OperationID: "stats-" + id, Method: http.MethodGet, Path: pathStats + "/" + path, Tags: []string{"stats"}, Summary: summary, Description: description,
		Responses: r.server.ProblemResponses(map[string]string{"422": "A parameter is not valid.", "503": "ClickHouse is away or slow; send the request again."}),
	}
	huma.Register(r.server.huma, answeredInTime(r.server.secured(op, auth.ScopeRead)), inTurn(r.server.analytics, handler))
}

// sales is the handler of a statistic of sales that shows each row its own way.
func sales[O any](r stats, by analytics.By, show func(rank int, s analytics.Sales) O) func(context.Context, *salesQuery) (*statRows[O], error) {
	return func(ctx context.Context, q *salesQuery) (*statRows[O], error) {
		return addUp(ctx, r, analytics.SalesWanted{By: by, Category: q.Category, ProductID: q.ProductID, Limit: q.Limit}, q.DaysQuery, show)
	}
}

func addUp[O any](ctx context.Context, r stats, wanted analytics.SalesWanted, days DaysQuery, show func(rank int, s analytics.Sales) O) (*statRows[O], error) {
	var err error
	if wanted.From, wanted.To, err = days.parse(); err != nil {
		return nil, err
	}
	found, err := r.server.config.Shop.Analytics.Sales(ctx, wanted)
	if err != nil {
		return nil, r.problem(err)
	}
	rows := make([]O, len(found))
	for i, s := range found {
		rows[i] = show(i+1, s)
	}
	return &statRows[O]{rows}, nil
}

func (r stats) categories(ctx context.Context, q *categoriesQuery) (*statRows[categoryRow], error) {
	by := map[string]analytics.By{"total": analytics.ByCategory, "month": analytics.ByCategoryAndMonth, "day": analytics.ByCategoryAndDay}[q.Granularity]
	return addUp(ctx, r, analytics.SalesWanted{By: by, Category: q.Category, ProductID: q.ProductID, Limit: q.Limit}, q.DaysQuery, categoryOf)
}

func (r stats) trends(ctx context.Context, q *trendsQuery) (*statRows[trendRow], error) {
	from, to, err := q.parse()
	if err != nil {
		return nil, err
	}
	found, err := r.server.config.Shop.Analytics.Trends(ctx, from, to, q.Limit)
	if err != nil {
		return nil, r.problem(err)
	}
	rows := make([]trendRow, len(found))
	for i, t := range found {
		rows[i] = trendOf(t)
	}
	return &statRows[trendRow]{rows}, nil
}

func (r stats) habits(ctx context.Context, q *habitsQuery) (*statRows[habitsRow], error) {
	found, err := r.server.config.Shop.Analytics.Habits(ctx, analytics.HabitsWanted{CustomerID: q.CustomerID, Segment: q.Segment, Limit: q.Limit})
	if err != nil {
		return nil, r.problem(err)
	}
	rows := make([]habitsRow, len(found))
	for i, h := range found {
		rows[i] = habitsOf(h)
	}
	return &statRows[habitsRow]{rows}, nil
}

// parse reads the days, which huma has found to be dates.
func (q DaysQuery) parse() (from, to time.Time, err error) {
	var faults []Fault
	for _, day := range []struct {
		location string
		text     optionalDay
		into     *time.Time
	}{{"query.from", q.From, &from}, {"query.to", q.To, &to}} {
		if day.text == "" {
			continue
		}
		if *day.into, err = time.Parse(time.DateOnly, string(day.text)); err != nil {
			faults = append(faults, Fault{day.location, "must be a date such as 2026-01-31"})
		}
	}
	if len(faults) > 0 {
		return from, to, NewProblem(http.StatusUnprocessableEntity, "a day is not valid", faults...)
	}
	return from, to, nil
}

// problem is that ClickHouse does not answer: nothing that a client asks for is its fault.
func (r stats) problem(err error) error {
	r.server.log.Error("answering 503", "path", pathStats, "cause", err)
	return Unavailable("the statistics cannot be reached; send the request again")
}
