package load

import (
	"bufio"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/money"
)

// saleColumns are the columns of the files, in their order.
var saleColumns = []string{"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"}

const (
	columnInvoice = iota
	columnStockCode
	columnDescription
	columnQuantity
	columnDate
	columnPrice
	columnCustomer
	columnCountry
)

// sale is one line of the files.
type sale struct {
	invoice, stockCode, description, country string
	date, clock                              string // the till's own time, without a zone
	quantity                                 int64
	price                                    int64 // ten-thousandths
	customer                                 int64
	hasCustomer                              bool
}

// saleFiles lists the files of a path in the order of their names.
func saleFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening Online Retail data: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	for _, pattern := range []string{"*.csv", "*.csv.gz"} {
		found, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil {
			return nil, fmt.Errorf("listing %q: %w", path, err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("listing %q: it holds no *.csv and no *.csv.gz; name the folder with the daily files", path)
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return files, nil
}

// saleReader reads the lines of several files as one sequence.
type saleReader struct {
	files   []string
	current string
	file    *os.File
	csv     *csv.Reader
}

func (r *saleReader) next() (sale, error) {
	for {
		if r.csv == nil {
			if len(r.files) == 0 {
				return sale{}, io.EOF
			}
			if err := r.open(); err != nil {
				return sale{}, err
			}
		}
		record, err := r.csv.Read()
		if errors.Is(err, io.EOF) {
			if err := r.close(); err != nil {
				return sale{}, err
			}
			continue
		}
		if err != nil {
			return sale{}, fmt.Errorf("reading %s: %w", r.current, err)
		}
		s, err := parseSale(record)
		if err != nil {
			line, _ := r.csv.FieldPos(0)
			return sale{}, fmt.Errorf("reading %s, line %d: %w", r.current, line, err)
		}
		return s, nil
	}
}

func (r *saleReader) open() error {
	r.current, r.files = r.files[0], r.files[1:]
	file, err := os.Open(r.current)
	if err != nil {
		return fmt.Errorf("opening Online Retail data: %w", err)
	}
	r.file = file
	var text io.Reader = bufio.NewReaderSize(file, 1<<18)
	if strings.HasSuffix(r.current, ".gz") {
		if text, err = gzip.NewReader(text); err != nil {
			return fmt.Errorf("unpacking %s: %w", r.current, err)
		}
	}
	r.csv = csv.NewReader(text)
	r.csv.ReuseRecord = true
	r.csv.FieldsPerRecord = len(saleColumns)
	header, err := r.csv.Read()
	if err != nil {
		return fmt.Errorf("reading the header of %s: %w", r.current, err)
	}
	if !slices.Equal(header, saleColumns) {
		return fmt.Errorf("reading the header of %s: it is %s, it must be %s", r.current, strings.Join(header, ","), strings.Join(saleColumns, ","))
	}
	return nil
}

func (r *saleReader) close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file, r.csv = nil, nil
	if err != nil {
		return fmt.Errorf("closing %s: %w", r.current, err)
	}
	return nil
}

func parseSale(record []string) (sale, error) {
	s := sale{
		invoice: record[columnInvoice], stockCode: record[columnStockCode],
		description: record[columnDescription], country: record[columnCountry],
	}
	var faults []error
	var err error
	if s.quantity, err = money.ParseInteger([]byte(record[columnQuantity])); err != nil {
		faults = append(faults, fmt.Errorf("column Quantity: %q %w", record[columnQuantity], err))
	}
	if s.price, err = money.Parse([]byte(record[columnPrice])); err != nil {
		faults = append(faults, fmt.Errorf("column UnitPrice: %q %w", record[columnPrice], err))
	}
	if text := record[columnCustomer]; text != "" {
		s.hasCustomer = true
		if s.customer, err = money.ParseInteger([]byte(text)); err != nil {
			faults = append(faults, fmt.Errorf("column CustomerID: %q %w", text, err))
		}
	}
	if _, err := time.Parse(time.DateTime, record[columnDate]); err != nil {
		faults = append(faults, fmt.Errorf("column InvoiceDate: %q must look like 2010-12-01 08:26:00", record[columnDate]))
	} else {
		s.date, s.clock, _ = strings.Cut(record[columnDate], " ")
	}
	return s, errors.Join(faults...)
}
