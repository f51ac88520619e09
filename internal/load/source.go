// Package load sends purchases to the shop through its real API, and keeps the books of what it
// sent, so that every layer behind the API can be held against a truth that none of them wrote.
//
// Rows come from a Source: the generator of a believable shop, or real sales read from files.
package load

// Source yields the rows of one load in the order they are sent. It knows which of them the shop
// must accept, because that is the truth which everything downstream is compared with.
//
// A Source belongs to one goroutine.
type Source interface {
	// Products is the catalog the purchases refer to, one JSON object each.
	Products() [][]byte
	// Append adds one purchase as a JSON object to dst and says whether the purchase contract
	// accepts it. It returns io.EOF, and dst as it was, once all rows are out.
	Append(dst []byte) (row []byte, valid bool, err error)
	// Rows is how many rows the source yields in all.
	Rows() int64
	// Truth is what must have become of the rows appended so far.
	Truth() Truth
}
