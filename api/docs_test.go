package api_test

import (
	"regexp"
	"strings"
	"testing"
)

func TestDocsPageLoadsNothingFromElsewhere(t *testing.T) {
	s := newServer(t, nil)
	page := do(s, "GET", "/docs/", "", nil)
	if page.Code != 200 || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("answer is %d %s", page.Code, page.Header().Get("Content-Type"))
	}
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy is %q", policy)
	}
	html := page.Body.String()
	if regexp.MustCompile(`<script[^>]*>[^<]*\S[^<]*</script>|\son\w+=|style=|<style`).MatchString(html) {
		t.Error("the page has script or style of its own, which its policy forbids")
	}
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if strings.HasPrefix(link[1], "data:") {
			continue
		}
		if w := do(s, "GET", link[1], "", nil); w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s is answered %d", link[1], w.Code)
		}
	}
	for _, file := range []string{"/docs", "/docs/docs.js", "/docs/docs.css"} {
		if text := do(s, "GET", file, "", nil).Body.String(); strings.Contains(text, "://") && !strings.Contains(text, `"://"`) {
			t.Errorf("%s names another host", file)
		}
	}
	if kind := do(s, "GET", "/docs/docs.js", "", nil).Header().Get("Content-Type"); !strings.HasPrefix(kind, "text/javascript") {
		t.Errorf("the script is %s, which browsers do not run", kind)
	}
	wantProblem(t, do(s, "GET", "/docs/other.js", "", nil), 404)
}
