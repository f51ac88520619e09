package jwthttp

import (
	"bytes"
	"errors"
)

var (
	errBehind = errors.New("something follows the end of the body")
	errSyntax = errors.New("a comma, colon or closing bracket is missing")
)

// walk takes the rows out of a body of JSON. Rows are decoded where they stand, in one pass; what is
// around them is read here, and values that are none of this endpoint's business by the JSON library.
func (p *parser) walk() error {
	p.blank()
	var err error
	switch {
	case p.rowsAt == "":
		err = p.element()
	case p.next() == '{':
		err = p.object()
	default:
		err = p.wrongType("body", "an object")
	}
	if err != nil {
		return err
	}
	if p.blank(); p.at < len(p.body) {
		return errBehind
	}
	if p.rowsAt != "" && !p.seen {
		p.refuse("body."+p.rowsAt, "is required")
	}
	return nil
}

// walkLines takes a body of one row a line. A line that is not JSON is a refused row like others: where
// the next one begins is known.
func (p *parser) walkLines() error {
	for line := range bytes.Lines(p.body) {
		p.at += len(line)
		row := bytes.Trim(line, " \t\r\n")
		if len(row) == 0 {
			continue
		}
		if err := p.take(row, p.row.Decode(row)); err != nil {
			return err
		}
	}
	return nil
}

// object finds the rows among the members of the body.
func (p *parser) object() error {
	return p.list('}', func() error {
		name, err := p.name()
		if err != nil {
			return err
		}
		if p.blank(); p.next() != ':' {
			return errSyntax
		}
		p.at++
		p.blank()
		if name != p.rowsAt {
			_, err := p.value()
			return err
		}
		if p.seen {
			p.refuse("body."+p.rowsAt, "is there twice")
			return errStop
		}
		p.seen = true
		if p.next() != '[' {
			return p.wrongType("body."+p.rowsAt, "an array")
		}
		return p.list(']', p.element)
	})
}

// list reads what is between two brackets, with commas in between.
func (p *parser) list(end byte, item func() error) error {
	p.at++
	if p.blank(); p.next() == end {
		p.at++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		p.blank()
		switch p.next() {
		case ',':
			p.at++
			p.blank()
		case end:
			p.at++
			return nil
		default:
			return errSyntax
		}
	}
}

func (p *parser) element() error {
	if n, reasons := p.row.DecodeFirst(p.body[p.at:]); n > 0 {
		row := p.body[p.at : p.at+n]
		p.at += n
		return p.take(row, reasons)
	}
	row, err := p.value()
	if err != nil {
		return err
	}
	return p.take(row, p.row.Decode(row))
}

// name reads the name of a member.
func (p *parser) name() (string, error) {
	if p.next() != '"' {
		return "", errSyntax
	}
	raw, err := p.value()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	p.json.ResetBytes(raw)
	return p.json.Str()
}

// value reads a value of any kind.
func (p *parser) value() ([]byte, error) {
	p.json.ResetBytes(p.body[p.at:])
	raw, err := p.json.Raw()
	p.at += len(raw)
	return raw, err
}

// next is the byte that comes next, 0 at the end.
func (p *parser) next() byte {
	if p.at == len(p.body) {
		return 0
	}
	return p.body[p.at]
}

// blank passes over white space.
func (p *parser) blank() {
	for p.at < len(p.body) {
		switch p.body[p.at] {
		case ' ', '\n', '\r', '\t':
			p.at++
		default:
			return
		}
	}
}
