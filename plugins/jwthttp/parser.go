package jwthttp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-faster/jx"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// maxReasons bounds what is said about one row: a row can repeat a wrong member as often as it likes.
const maxReasons = 16

// rows are what one body holds, the good ones and the refused ones in its order.
type rows struct {
	accepted []*kgo.Record
	refused  []api.Refusal
	// setAside are the messages of refused.
	setAside service.MessageBatch
}

func (r *rows) count() int { return len(r.accepted) + len(r.setAside) }

// parser turns bodies into rows. It is not safe for concurrent use.
type parser struct {
	*config
	row    *columns.Decoder
	filler filler
	json   jx.Decoder

	// of the body in hand
	body      []byte
	at        int // how far it is read
	rows      rows
	slab      slab
	lines     bool
	requestID string
	index     int
	seen      bool
	problem   *api.Problem
}

func newParser(c *config) *parser {
	return &parser{config: c, row: columns.NewDecoder(c.contract, columns.Valid, c.timezone), filler: newFiller(c.contract)}
}

// errStop ends the walk where problem says why.
var errStop = errors.New("the body is refused")

// parse walks a body of a media type. The rows point into it.
func (p *parser) parse(body []byte, mediaType, requestID string, now time.Time) (rows, *api.Problem) {
	p.body, p.at, p.requestID, p.lines = body, 0, requestID, mediaType == mimeNDJSON
	defer p.forget()
	p.row.SetNow(now)
	p.filler.begin(now)
	var err error
	if p.lines {
		err = p.walkLines()
	} else {
		err = p.walk()
	}
	if p.problem != nil {
		return rows{}, p.problem
	}
	if err != nil {
		return rows{}, malformed(body, err)
	}
	return p.rows, nil
}

// forget lets go of a body, so that a parser which waits for the next one holds nothing of it.
func (p *parser) forget() {
	p.body, p.rows, p.slab, p.index, p.seen, p.problem = nil, rows{}, slab{}, 0, false, nil
	p.json.ResetBytes(nil)
	p.row.Decode(nil)
	p.filler.arena = nil
}

// take makes a row of the body a record, or sets it aside.
func (p *parser) take(row []byte, reasons []contract.Reason) error {
	if p.index == p.maxRows || len(row) > p.maxRowBytes {
		return p.tooMuch(len(row))
	}
	row = slices.Clip(row)
	if reasons = p.filler.excuse(p.row, reasons); len(reasons) == 0 {
		p.accept(row)
	} else {
		p.setAside(row, reasons)
	}
	p.index++
	return nil
}

func (p *parser) accept(row []byte) {
	whole, key := p.filler.complete(p.row, row)
	p.rows.accepted = append(p.rows.accepted, p.slab.record(key, whole, len(p.body)-p.at))
}

// setAside keeps a refused row on its way, with its bytes (I4).
func (p *parser) setAside(row []byte, reasons []contract.Reason) {
	if more := len(reasons) - maxReasons; more > 0 {
		reasons = append(slices.Clone(reasons[:maxReasons]), contract.Reason{
			Rule: contract.RuleJSON, Message: fmt.Sprintf("has %d more faults", more),
		})
	} else {
		reasons = slices.Clone(reasons)
	}
	refused := api.Refusal{Index: p.index, Reasons: reasons}
	if p.row.Has(p.contract.Key) {
		refused.ID = string(p.row.Text(p.contract.Key))
	}
	msg := service.NewMessage(row)
	quarantine.Mark(msg, quarantine.LayerAPI, p.contract, p.requestID+"#"+strconv.Itoa(p.index), reasons)
	p.rows.setAside = append(p.rows.setAside, msg)
	p.rows.refused = append(p.rows.refused, refused)
}

func (p *parser) tooMuch(rowBytes int) error {
	p.problem = api.NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("a body may have %d rows; send them in several requests", p.maxRows))
	if rowBytes > p.maxRowBytes {
		p.problem = api.NewProblem(http.StatusRequestEntityTooLarge, "a row is too long",
			api.Fault{Location: p.location(), Message: fmt.Sprintf("may have %d bytes, has %d", p.maxRowBytes, rowBytes)})
	}
	return errStop
}

func (p *parser) location() string {
	switch {
	case p.rowsAt == "":
		return "body"
	case p.lines:
		return "body[" + strconv.Itoa(p.index) + "]"
	}
	return "body." + p.rowsAt + "[" + strconv.Itoa(p.index) + "]"
}

func (p *parser) wrongType(location, wanted string) error {
	raw, err := p.value()
	if err != nil {
		return err
	}
	p.refuse(location, "must be "+wanted+", is "+contract.Quote(raw))
	return errStop
}

func (p *parser) refuse(location, message string) {
	wanted := `the body must be {"` + p.rowsAt + `": [row, …]}`
	p.problem = api.NewProblem(http.StatusUnprocessableEntity, wanted, api.Fault{Location: location, Message: message})
}
