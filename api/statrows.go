package api

import (
	"time"

	"github.com/shop-connect/shop-connect/internal/analytics"
)

// Figures are what every statistic of sales has.
type Figures struct {
	TotalPurchases int64 `json:"total_purchases" doc:"Purchases."`
	TotalItems     int64 `json:"total_items" doc:"Pieces."`
	TotalRevenue   total `json:"total_revenue" doc:"The sum of price_at_time times quantity."`
	AvgPrice       total `json:"avg_price" doc:"The mean of price_at_time over purchases."`
}

func figuresOf(f analytics.Figures) Figures {
	return Figures{f.Purchases, f.Items, exact(f.Revenue), exact(f.AvgPrice)}
}

func exact(amount string) total { return total(analytics.Exact(amount)) }

type dailyRow struct {
	PurchaseDate string `json:"purchase_date" format:"date" doc:"The business day."`
	Figures
}

func dailyOf(_ int, s analytics.Sales) dailyRow { return dailyRow{s.Period, figuresOf(s.Figures)} }

type monthlyRow struct {
	PurchaseMonth string `json:"purchase_month" example:"2026-01" doc:"The month."`
	Figures
}

func monthlyOf(_ int, s analytics.Sales) monthlyRow {
	return monthlyRow{s.Period, figuresOf(s.Figures)}
}

type hourlyRow struct {
	PurchaseDate string `json:"purchase_date" format:"date" doc:"The business day."`
	PurchaseHour int64  `json:"purchase_hour" doc:"The hour of the business day, 0 to 23."`
	Category     string `json:"category"`
	Figures
}

func hourlyOf(_ int, s analytics.Sales) hourlyRow {
	return hourlyRow{s.Period, s.Hour, s.Category, figuresOf(s.Figures)}
}

type categoryRow struct {
	Period   string `json:"period,omitempty" example:"2026-01" doc:"The month or day, where categories are added up by it."`
	Category string `json:"category"`
	Figures
}

func categoryOf(_ int, s analytics.Sales) categoryRow {
	return categoryRow{s.Period, s.Category, figuresOf(s.Figures)}
}

type topProductRow struct {
	Rank        int    `json:"rank" doc:"1 for the product with most revenue of those asked for."`
	ProductID   string `json:"product_id"`
	ProductName string `json:"product_name" doc:"Empty while nobody has told of the product."`
	Category    string `json:"category"`
	Figures
}

func topProductOf(rank int, s analytics.Sales) topProductRow {
	return topProductRow{rank, s.ProductID, s.ProductName, s.Category, figuresOf(s.Figures)}
}

type hourOfDayRow struct {
	PurchaseHour int64 `json:"purchase_hour" doc:"The hour of the business day, 0 to 23."`
	Days         int64 `json:"days" doc:"On how many days this hour had purchases."`
	Figures
}

func hourOfDayOf(_ int, s analytics.Sales) hourOfDayRow {
	return hourOfDayRow{s.Hour, s.Days, figuresOf(s.Figures)}
}

type weekdayRow struct {
	Weekday int64 `json:"weekday" doc:"1 is Monday, 7 is Sunday."`
	Days    int64 `json:"days" doc:"How many such days had purchases."`
	Figures
}

func weekdayOf(_ int, s analytics.Sales) weekdayRow {
	return weekdayRow{s.Weekday, s.Days, figuresOf(s.Figures)}
}

type trendRow struct {
	PurchaseMonth string `json:"purchase_month" example:"2026-01" doc:"The month."`
	Figures
	PreviousRevenue total  `json:"previous_revenue" doc:"Revenue of the calendar month before."`
	RevenueChange   total  `json:"revenue_change" doc:"What revenue grew by."`
	RevenueGrowth   *total `json:"revenue_growth,omitempty" doc:"The change as a share of the month before, 0.25 for a quarter; absent where that had no revenue."`
}

func trendOf(t analytics.Trend) trendRow {
	row := trendRow{t.Month, figuresOf(t.Figures), exact(t.PreviousRevenue), exact(t.RevenueChange), nil}
	if t.RevenueGrowth.Valid {
		growth := exact(t.RevenueGrowth.String)
		row.RevenueGrowth = &growth
	}
	return row
}

type habitsRow struct {
	CustomerID     int64     `json:"customer_id"`
	LastPurchaseAt time.Time `json:"last_purchase_at"`
	RecencyDays    int64     `json:"recency_days" doc:"Business days from the customer's last one to the last that anybody bought on."`
	Frequency      int64     `json:"frequency" doc:"Purchases."`
	Monetary       total     `json:"monetary" doc:"Revenue."`
	RecencyScore   int64     `json:"recency_score"`
	FrequencyScore int64     `json:"frequency_score"`
	MonetaryScore  int64     `json:"monetary_score"`
	Segment        string    `json:"segment" enum:"champions,loyal,new,needs_attention,at_risk,lost"`
}

func habitsOf(h analytics.Habits) habitsRow {
	return habitsRow{
		h.CustomerID, h.LastPurchaseAt, h.RecencyDays, h.Frequency, exact(h.Monetary),
		h.RecencyScore, h.FrequencyScore, h.MonetaryScore, h.Segment,
	}
}
