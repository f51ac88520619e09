package api

import (
	"bytes"
	"embed"
	"net/http"
	"path"
	"strings"
	"time"
)

const docsPath = "/docs"

// docsFiles are the page that shows the OpenAPI document and sends requests. They are ours and small;
// nothing is loaded from elsewhere.
//
//go:embed docs
var docsFiles embed.FS

// docsContent is what the page may load: its own files and the API. No script stands in the markup.
var docsContent = []string{"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}

func (s *Server) registerDocs() {
	s.mux.HandleFunc("GET "+docsPath, serveDocs("index.html"))
	for _, name := range []string{"docs.js", "docs.css"} {
		s.mux.HandleFunc("GET "+docsPath+"/"+name, serveDocs(name))
	}
}

func serveDocs(name string) http.HandlerFunc {
	content, err := docsFiles.ReadFile(path.Join(strings.TrimPrefix(docsPath, "/"), name))
	if err != nil {
		panic(err) // it is embedded
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Security-Policy"] = docsContent
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	}
}
