package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
)

const anyOrigin = "*"

// What browsers are told of every answer: it is what it says it is, nothing may be loaded because of it,
// nobody may frame it, and no address is passed on. Values are shared by all answers.
var (
	nosniff       = []string{"nosniff"}
	noContent     = []string{"default-src 'none'; frame-ancestors 'none'"}
	noReferrer    = []string{"no-referrer"}
	varyOrigin    = []string{"Origin"}
	allowMethods  = []string{"GET, HEAD, POST, PUT, PATCH, DELETE"}
	allowHeaders  = []string{"Authorization, Content-Type, Content-Encoding, Idempotency-Key, X-Request-Id"}
	exposeHeaders = []string{"X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, Location, Link, X-Next-Cursor, Idempotent-Replayed"}
	preflightAge  = []string{"600"}
)

func secure(header http.Header) {
	header["X-Content-Type-Options"] = nosniff
	header["Content-Security-Policy"] = noContent
	header["Referrer-Policy"] = noReferrer
}

// checkOrigins finds origins that no browser would send.
func checkOrigins(origins []string) error {
	for _, origin := range origins {
		u, err := url.Parse(origin)
		if origin != anyOrigin && (err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin) {
			return fmt.Errorf("constructing API: cors.allowed_origins: %q must be an origin such as https://shop.example, or *", origin)
		}
	}
	return nil
}

// allowOrigin lets scripts of allowed origins read the answer. It answers what browsers ask before they
// send a request of another origin, and returns true then. Tokens travel in a header that browsers never
// add by themselves, so other origins need not be kept from sending.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	if len(s.config.AllowedOrigins) == 0 {
		return false
	}
	header := w.Header()
	header["Vary"] = varyOrigin
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(s.config.AllowedOrigins, origin) && !slices.Contains(s.config.AllowedOrigins, anyOrigin) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header["Access-Control-Expose-Headers"] = exposeHeaders
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header["Access-Control-Allow-Methods"] = allowMethods
	header["Access-Control-Allow-Headers"] = allowHeaders
	header["Access-Control-Max-Age"] = preflightAge
	w.WriteHeader(http.StatusNoContent)
	return true
}
