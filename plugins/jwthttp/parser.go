package jwthttp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-faster/jx"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/api"
	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/contract"
	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// maxReasons bounds what is said about one row: a row can repeat a wrong member as often as it likes.
const maxReasons = 16

// rows are what one body holds, in its order.
type rows struct {
	messages service.MessageBatch
	accepted int
	refused  []api.Refusal
	// key is that of the last row accepted.
	key string
}

// parser turns bodies into messages. It is not safe for concurrent use.
type parser struct {
	*config
	row      *columns.Decoder
	filler   filler
	json     jx.Decoder
	onMember func(d *jx.Decoder, key []byte) error
	onRow    func(d *jx.Decoder) error

	// of the body in hand
	rows      rows
	lines     bool
	requestID string
	index     int
	seen      bool
	problem   *api.Problem
}

func newParser(c *config) *parser {
	p := &parser{config: c, row: columns.NewDecoder(c.contract, columns.Valid, c.timezone), filler: newFiller(c.contract)}
	p.onMember, p.onRow = p.member, p.element
	return p
}

// errStop ends the walk where problem says why.
var errStop = errors.New("the body is refused")

// parse walks a body of a media type. The messages point into it.
func (p *parser) parse(body []byte, mediaType, requestID string, now time.Time) (rows, *api.Problem) {
	p.rows, p.requestID, p.index, p.seen, p.problem = rows{}, requestID, 0, false, nil
	p.row.SetNow(now)
	p.filler.begin(now)
	p.json.ResetBytes(body)
	p.lines = mediaType == mimeNDJSON
	var err error
	if p.lines {
		err = p.walkLines(body)
	} else {
		err = p.walk(body)
	}
	found := p.rows
	p.rows = rows{}
	p.json.ResetBytes(nil)
	if p.problem != nil {
		return rows{}, p.problem
	}
	if err != nil {
		return rows{}, malformed(body, err)
	}
	return found, nil
}

func (p *parser) walk(body []byte) error {
	if kind := p.json.Next(); p.rowsAt == "" {
		if err := p.element(&p.json); err != nil {
			return err
		}
	} else if kind == jx.Object {
		p.expect(body)
		if err := p.json.ObjBytes(p.onMember); err != nil {
			return err
		}
	} else if err := p.wrongType(&p.json, "body", "an object"); err != nil {
		return err
	}
	if err := p.json.Skip(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the end of the body")
	}
	if p.rowsAt != "" && !p.seen && p.problem == nil {
		p.refuse("body."+p.rowsAt, "is required")
	}
	return nil
}

// walkLines takes a body of one row a line. A line that is not JSON is a refused row like others: where
// the next one begins is known.
func (p *parser) walkLines(body []byte) error {
	p.expect(body)
	for line := range bytes.Lines(body) {
		row := bytes.Trim(line, " \t\r\n")
		if len(row) == 0 {
			continue
		}
		if err := p.take(row); err != nil {
			return err
		}
	}
	return nil
}

// expect makes room for as many rows as a body is likely to have.
func (p *parser) expect(body []byte) {
	p.rows.messages = make(service.MessageBatch, 0, min(len(body)/128+1, p.maxRows))
}

// member takes the rows out of the body's object; other members are none of this endpoint's business.
func (p *parser) member(d *jx.Decoder, key []byte) error {
	if string(key) != p.rowsAt {
		return d.Skip()
	}
	if p.seen {
		p.refuse("body."+p.rowsAt, "is there twice")
		return errStop
	}
	p.seen = true
	if d.Next() != jx.Array {
		return p.wrongType(d, "body."+p.rowsAt, "an array")
	}
	return d.Arr(p.onRow)
}

func (p *parser) element(d *jx.Decoder) error {
	row, err := d.Raw()
	if err != nil {
		return err
	}
	return p.take(row)
}

// take makes one row a message.
func (p *parser) take(row []byte) error {
	if p.index == p.maxRows || len(row) > p.maxRowBytes {
		return p.tooMuch(len(row))
	}
	row = slices.Clip(row)
	reasons := p.filler.excuse(p.row, p.row.Decode(row))
	if len(reasons) == 0 {
		p.accept(row)
	} else {
		p.setAside(row, reasons)
	}
	p.index++
	return nil
}

func (p *parser) accept(row []byte) {
	whole, id := p.filler.complete(p.row, row)
	msg := service.NewMessage(whole)
	msg.MetaSetMut(MetaEntityID, id)
	p.rows.messages = append(p.rows.messages, msg)
	p.rows.accepted++
	p.rows.key = id
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
	p.rows.messages = append(p.rows.messages, msg)
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

func (p *parser) wrongType(d *jx.Decoder, location, wanted string) error {
	raw, err := d.Raw()
	if err != nil {
		return err
	}
	p.refuse(location, "must be "+wanted+", is "+contract.Quote(bytes.TrimSpace(raw)))
	return nil
}

func (p *parser) refuse(location, message string) {
	wanted := `the body must be {"` + p.rowsAt + `": [row, …]}`
	p.problem = api.NewProblem(http.StatusUnprocessableEntity, wanted, api.Fault{Location: location, Message: message})
}
