package clickhouse

import "strings"

// scanner walks over the tokens of ClickHouse's SQL.
type scanner struct {
	text  string
	start int // of the current token
	end   int
	depth int // of brackets, after the current token
}

// next moves to the next token that is neither space nor comment; false at the end.
func (s *scanner) next() bool {
	for s.start = s.end; s.start < len(s.text); s.start = s.end {
		rest := s.text[s.start:]
		switch c := rest[0]; {
		case strings.IndexByte(" \t\n\r\f\v\x00", c) >= 0:
			s.end = s.start + 1
			continue
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "# "), strings.HasPrefix(rest, "#!"):
			s.end = s.start + until(rest, "\n")
			continue
		case strings.HasPrefix(rest, "/*"):
			s.end = s.start + 2 + until(rest[2:], "*/")
			continue
		case c == '\'' || c == '"' || c == '`':
			s.end = s.start + quoted(rest)
		case c == '$':
			s.end = s.start + heredoc(rest)
		case word(rest) > 0:
			s.end = s.start + word(rest)
		default:
			s.end = s.start + 1
			if strings.IndexByte("([{", c) >= 0 {
				s.depth++
			} else if strings.IndexByte(")]}", c) >= 0 {
				s.depth--
			}
		}
		return true
	}
	return false
}

func (s *scanner) token() string { return s.text[s.start:s.end] }

// is says whether the current token is one of the keywords, in whatever case.
func (s *scanner) is(keywords ...string) bool {
	for _, keyword := range keywords {
		if strings.EqualFold(s.token(), keyword) {
			return true
		}
	}
	return false
}

// peek is the scanner after the next token.
func (s *scanner) peek() (ahead scanner, ok bool) {
	ahead = *s
	return ahead, ahead.next()
}

func (s *scanner) followedBy(keyword string) bool {
	ahead, ok := s.peek()
	return ok && ahead.is(keyword)
}

// until is the length of text up to and including the first end, or all of it.
func until(text, end string) int {
	if i := strings.Index(text, end); i >= 0 {
		return i + len(end)
	}
	return len(text)
}

// word is the length of the keyword, name or number that text begins with.
func word(text string) int {
	for i := range len(text) {
		if c := text[i]; c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return i
		}
	}
	return len(text)
}

// quoted is the length of the quoted token that text begins with; a doubled quote just begins another one.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i + 1
		}
	}
	return len(text)
}

// heredoc is the length of the $tag$…$tag$ that text begins with, or 1 for a lone dollar.
func heredoc(text string) int {
	tag := 1 + word(text[1:])
	if tag == len(text) || text[tag] != '$' {
		return 1
	}
	tag++
	return tag + until(text[tag:], text[:tag])
}
