package load

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-faster/jx"

	"github.com/shop-connect/shop-connect/internal/money"
)

// The dataset names no categories; the shop it comes from sells gifts.
const onlineRetailCategory = "Giftware"

// OnlineRetail reads the "Online Retail" sales of the UCI repository: real, and as dirty as they
// were recorded. Nothing is cleaned on the way, because cleaning is what the shop is there for.
type OnlineRetail struct {
	csv     *saleReader
	catalog [][]byte
	rows    int64

	ledger *ledger
	// lines counts the lines of each invoice so far: a purchase is named by invoice and line.
	lines map[string]int
}

var _ Source = (*OnlineRetail)(nil)

// OpenOnlineRetail reads the files once for the catalog: a file, or a folder of *.csv and *.csv.gz
// in the order of their names.
func OpenOnlineRetail(path string) (*OnlineRetail, error) {
	files, err := saleFiles(path)
	if err != nil {
		return nil, err
	}
	s := &OnlineRetail{csv: &saleReader{files: files}, ledger: newLedger(), lines: map[string]int{}}
	articles := map[string]*article{}
	first := &saleReader{files: files}
	defer func() { _ = first.close() }()
	for {
		sale, err := first.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		s.rows++
		a := articles[sale.stockCode]
		if a == nil {
			a = &article{descriptions: map[string]int{}}
			articles[sale.stockCode] = a
		}
		a.add(sale)
	}
	for _, code := range slices.Sorted(maps.Keys(articles)) {
		// An article that was never sold at a price is no product of the shop.
		if len(articles[code].prices) == 0 {
			continue
		}
		row, err := json.Marshal(articles[code].catalogEntry(code))
		if err != nil {
			return nil, fmt.Errorf("rendering product %s: %w", code, err)
		}
		s.catalog = append(s.catalog, row)
	}
	return s, nil
}

// Products are the articles that were sold at a price.
func (s *OnlineRetail) Products() [][]byte { return s.catalog }

// Rows is the number of lines in the files.
func (s *OnlineRetail) Rows() int64 { return s.rows }

// Truth is what must have become of the lines so far.
func (s *OnlineRetail) Truth() Truth { return s.ledger.truth() }

// Append writes the next line as the till recorded it: a return keeps its negative quantity, and a
// customer nobody wrote down is absent.
func (s *OnlineRetail) Append(dst []byte) ([]byte, bool, error) {
	sale, err := s.csv.next()
	if err != nil {
		return dst, false, err
	}
	s.lines[sale.invoice]++

	w := jx.Writer{Buf: append(dst, `{"id":`...)}
	w.Str(sale.invoice + "-" + strconv.Itoa(s.lines[sale.invoice]))
	w.RawStr(`,"product_id":`)
	w.Str(sale.stockCode)
	if sale.hasCustomer {
		w.RawStr(`,"customer_id":`)
		w.Int64(sale.customer)
	}
	w.RawStr(`,"seller_id":`)
	w.Int64(SellerOf(sale.country))
	w.RawStr(`,"quantity":`)
	w.Int64(sale.quantity)
	w.RawStr(`,"price_at_time":`)
	w.Buf = money.Append(w.Buf, sale.price)
	w.RawStr(`,"purchased_at":`)
	w.Str(sale.date + "T" + sale.clock)
	w.RawStr(`}`)

	valid := sale.hasCustomer && sale.quantity >= 1 && sale.price > 0
	if valid {
		s.ledger.accept(s.ledger.day(sale.date), sale.price, sale.quantity)
	} else {
		s.ledger.refuse()
	}
	return w.Buf, valid, nil
}

// SellerOf numbers a country: the same one always gets the same number, whichever files are read.
func SellerOf(country string) int64 {
	h := fnv.New32a()
	_, _ = io.WriteString(h, country)
	return int64(h.Sum32()%1_000_000) + 1
}

// article gathers what the lines say about one stock code.
type article struct {
	descriptions map[string]int
	prices       []int64
	sold         int64
}

func (a *article) add(s sale) {
	if name := strings.TrimSpace(s.description); name != "" {
		a.descriptions[name]++
	}
	if s.price > 0 {
		a.prices = append(a.prices, s.price)
	}
	a.sold += max(s.quantity, 0)
}

// catalogEntry takes the most frequent description and the median price.
func (a *article) catalogEntry(code string) catalogEntry {
	name := code
	if len(a.descriptions) > 0 {
		name = slices.MaxFunc(slices.Collect(maps.Keys(a.descriptions)), func(x, y string) int {
			return cmp.Or(cmp.Compare(a.descriptions[x], a.descriptions[y]), cmp.Compare(y, x))
		})
	}
	slices.Sort(a.prices)
	middle := len(a.prices) / 2
	median := a.prices[middle]
	if len(a.prices)%2 == 0 {
		median = (a.prices[middle-1] + median) / 2
	}
	return catalogEntry{
		ID: code, Name: name, Description: name, Category: onlineRetailCategory,
		Price: json.Number(money.String(median)), Stock: a.sold,
	}
}
