package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
)

// Report is everything that was found.
type Report struct {
	CheckedAt time.Time `json:"checked_at"`
	// Level is the worst of all findings.
	Level   Level          `json:"level"`
	Summary string         `json:"summary"`
	Servers []ServerReport `json:"servers"`
}

// ServerReport is what was found of one server.
type ServerReport struct {
	Name     string    `json:"name"`
	Address  string    `json:"address,omitempty"`
	Findings []Finding `json:"findings"`
}

// Findings are those of all servers.
func (r *Report) Findings() (all []Finding) {
	for _, s := range r.Servers {
		all = append(all, s.Findings...)
	}
	return all
}

// conclude sums up, and takes out what nobody must see.
func (r *Report) conclude(secrets *strings.Replacer) {
	counts, first := map[Level]int{}, map[Level]*Finding{}
	total := 0
	for i := range r.Servers {
		r.Servers[i].Address = secrets.Replace(r.Servers[i].Address)
		for j := range r.Servers[i].Findings {
			f := &r.Servers[i].Findings[j]
			f.Found, f.Do = secrets.Replace(f.Found), secrets.Replace(f.Do)
			counts[f.Level]++
			total++
			if first[f.Level] == nil {
				first[f.Level] = f
			}
		}
	}
	for _, level := range []Level{Fault, Warning} {
		if f := first[level]; f != nil {
			r.Level = level
			r.Summary = fmt.Sprintf("%s, %s; begin with %s, %s: %s", count(counts[Fault], "fault"), count(counts[Warning], "warning"), f.Server, f.Check, f.Found)
			return
		}
	}
	r.Level, r.Summary = OK, fmt.Sprintf("all is well, %d checks", total)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// minSecret is the length from which on a secret is taken out of texts: a shorter one may be part of any word.
const minSecret = 8

// newRedactor takes the values of secrets out of texts: some errors hold more than they should.
func newRedactor(vars map[string]string) *strings.Replacer {
	values := []string{vars[env.S3SecretKey], vars[env.JWTSecret], vars[env.StreamsPassword]}
	for _, dsn := range []string{vars[env.PostgresDSN], vars[env.ClickHouseDSN]} {
		if u, err := url.Parse(dsn); err == nil && u.User != nil {
			password, _ := u.User.Password()
			values = append(values, password, url.QueryEscape(password), url.PathEscape(password))
			continue
		}
		// where in it the password is cannot be told, and messages have it in pieces
		values = append(values, strings.FieldsFunc(dsn, func(r rune) bool { return strings.ContainsRune(":@/?&='", r) || r == ' ' })...)
	}
	var pairs []string
	for _, value := range values {
		if len(value) >= minSecret {
			pairs = append(pairs, value, "***")
		}
	}
	return strings.NewReplacer(pairs...)
}

// WriteJSON writes the report for machines.
func (r *Report) WriteJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

var colours = map[Level]string{OK: "\x1b[32m", Warning: "\x1b[33m", Fault: "\x1b[31m"}

// WriteText writes the report for people, in colours where they see them.
func (r *Report) WriteText(out io.Writer, coloured bool) error {
	paint := func(level Level, text string) string {
		if !coloured {
			return text
		}
		return colours[level] + text + "\x1b[0m"
	}
	width := 0
	for _, f := range r.Findings() {
		width = max(width, len(f.Check))
	}
	var text strings.Builder
	for _, s := range r.Servers {
		fmt.Fprintln(&text, strings.TrimSpace(s.Name+"  "+s.Address))
		for _, f := range s.Findings {
			fmt.Fprintf(&text, "  %s  %-*s  %s\n", paint(f.Level, fmt.Sprintf("%-7s", f.Level)), width, f.Check, f.Found)
			if f.Do != "" {
				fmt.Fprintf(&text, "  %*s    -> %s\n", 7+width, "", f.Do)
			}
		}
		fmt.Fprintln(&text)
	}
	fmt.Fprintln(&text, paint(r.Level, r.Summary))
	_, err := io.WriteString(out, text.String())
	return err
}
