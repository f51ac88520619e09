package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shop-connect/shop-connect/internal/progress"
)

// rowsPerBody is what the API takes at its best: large enough to spread the cost of a request, small
// enough to be answered in milliseconds.
const rowsPerBody = 1_000

// Report is what a load did, by the server's own counts, beside the truth.
type Report struct {
	Truth             Truth
	Accepted, Refused int64
	Took              time.Duration

	// mismatches counts the bodies about which server and truth disagree; firstMismatch tells one.
	mismatches    int64
	firstMismatch string
}

// ErrMismatch says that the API's answers and the truth about the rows differ.
var ErrMismatch = errors.New("the API's counts differ from the truth about the rows sent")

// Check compares the server's counts with the truth, body by body.
func (r Report) Check() error {
	if r.mismatches == 0 && r.Accepted == r.Truth.Accepted && r.Refused == r.Truth.Refused {
		return nil
	}
	return fmt.Errorf("%w: accepted %d, should be %d; refused %d, should be %d; %d bodies differ; %s",
		ErrMismatch, r.Accepted, r.Truth.Accepted, r.Refused, r.Truth.Refused, r.mismatches, r.firstMismatch)
}

func (r Report) String() string {
	rate := float64(r.Truth.Sent) / max(r.Took.Seconds(), 0.001)
	return fmt.Sprintf("sent %s, accepted %s, refused %s, %s rows/s",
		progress.Thousands(r.Truth.Sent), progress.Thousands(r.Accepted), progress.Thousands(r.Refused), progress.Thousands(int64(rate)))
}

// body is one request: rows, and how many of them must be accepted.
type body struct {
	number int64
	data   []byte
	rows   int64
	valid  int64
}

// Run posts the catalog and then every purchase of the source, over so many connections at once, and
// returns once all of them are answered.
func Run(ctx context.Context, client *Client, source Source, connections int, out io.Writer) (Report, error) {
	if err := postProducts(ctx, client, source.Products()); err != nil {
		return Report{}, err
	}
	meter := progress.Start(out, "posting purchases", source.Rows())
	defer meter.Stop()

	var report Report
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	bodies := make(chan *body, connections)
	free := make(chan *body, 3*connections)
	for range cap(free) {
		free <- &body{}
	}
	group.Go(func() error {
		defer close(bodies)
		return fill(ctx, source, free, bodies)
	})
	for range connections {
		group.Go(func() error {
			for b := range bodies {
				answer, err := client.PostPurchases(ctx, b.data)
				if err != nil {
					return fmt.Errorf("posting body %d: %w", b.number, err)
				}
				mu.Lock()
				report.add(b, answer)
				mu.Unlock()
				meter.Add(b.rows)
				free <- b
			}
			return nil
		})
	}
	err := group.Wait()
	report.Truth, report.Took = source.Truth(), meter.Elapsed()
	return report, err
}

func (r *Report) add(b *body, a Answer) {
	r.Accepted += a.Accepted
	r.Refused += a.Refused
	if a.Accepted == b.valid && a.Refused == b.rows-b.valid {
		return
	}
	if r.mismatches++; r.mismatches == 1 {
		r.firstMismatch = fmt.Sprintf("body %d: accepted %d of %d, should be %d", b.number, a.Accepted, b.rows, b.valid)
		if a.FirstError != "" {
			r.firstMismatch += ", first error " + a.FirstError
		}
	}
}

// fill renders bodies while the connections send the ones before.
func fill(ctx context.Context, source Source, free <-chan *body, bodies chan<- *body) error {
	for number := int64(0); ; number++ {
		var b *body
		select {
		case b = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		b.number = number
		if err := b.fill(source); err != nil {
			return err
		}
		if b.rows == 0 {
			return nil
		}
		select {
		case bodies <- b:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fill takes up to rowsPerBody rows; none are left once it takes none.
func (b *body) fill(source Source) error {
	b.data = append(b.data[:0], `{"purchases":[`...)
	b.rows, b.valid = 0, 0
	for b.rows < rowsPerBody {
		row, valid, err := source.Append(b.data)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		b.data = row
		b.data = append(b.data, ',')
		b.rows++
		if valid {
			b.valid++
		}
	}
	if b.rows > 0 {
		b.data = b.data[:len(b.data)-1]
	}
	b.data = append(b.data, `]}`...)
	return nil
}

// postProducts sends the catalog first, so that every purchase finds its product.
func postProducts(ctx context.Context, client *Client, products [][]byte) error {
	for len(products) > 0 {
		n := min(len(products), rowsPerBody)
		data := []byte(`{"products":[`)
		for _, row := range products[:n] {
			data = append(append(data, row...), ',')
		}
		products = products[n:]
		data = append(data[:len(data)-1], `]}`...)
		answer, err := client.PostProducts(ctx, data)
		if err != nil {
			return fmt.Errorf("posting products: %w", err)
		}
		if answer.Refused > 0 {
			return fmt.Errorf("posting products: the API refused %d of %d, the first: %s", answer.Refused, n, answer.FirstError)
		}
	}
	return nil
}
