package api

import "github.com/shop-connect/shop-connect/internal/contract"

// BulkAnswer is what a client learns of a body of rows.
type BulkAnswer struct {
	SuccessCount int       `json:"success_count" doc:"Rows that are stored."`
	ErrorCount   int       `json:"error_count" doc:"Rows that are refused and set aside."`
	Errors       []Refusal `json:"errors" nullable:"true" doc:"Each refused row."`
}

// Refusal is one refused row, as the client is told of it.
type Refusal struct {
	Index   int               `json:"index" doc:"Which row of the body, from 0."`
	ID      string            `json:"id,omitempty" doc:"The row's id, where it has one."`
	Reasons []contract.Reason `json:"reasons" doc:"Everything that is wrong with it."`
}
