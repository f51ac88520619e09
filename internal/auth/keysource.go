package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// keysRefresh is how often the key set is read anew, so that a key that was withdrawn ends.
	keysRefresh = 5 * time.Minute

	// keysRefreshMin is how soon a token with an unknown kid makes the set be read again: anybody can
	// send one.
	keysRefreshMin = 10 * time.Second

	// keysTimeout bounds one reading, and with it the request that caused it.
	keysTimeout = 5 * time.Second

	// keysMaxAge is how long the keys of a source that is away are still trusted.
	keysMaxAge = 24 * time.Hour

	maxKeysBytes = 1 << 20
)

// keySource is where an identity provider publishes its keys: a file, or a URL.
type keySource struct {
	location string
	client   *http.Client
}

func isURL(location string) bool { return strings.Contains(location, "://") }

// checkKeySource wants keys from where nobody on the way can put their own.
func checkKeySource(location string) error {
	if !isURL(location) {
		return nil
	}
	u, err := url.Parse(location)
	if err != nil {
		return errors.New("jwt jwks: is no URL") // its error would show a password
	}
	if u.User != nil {
		return errors.New("jwt jwks: must have no user and password: keys are public")
	}
	if u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf("jwt jwks: must be a file or a https:// URL (http:// to this machine alone), is %s", location)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newKeySource(location string) *keySource {
	return &keySource{location: location, client: &http.Client{
		Timeout: keysTimeout,
		// a redirect could lead away from https
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// read returns the key set's text. Its errors name the source.
func (s *keySource) read(ctx context.Context) ([]byte, error) {
	open := s.openFile
	if isURL(s.location) {
		open = s.openURL
	}
	body, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, maxKeysBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	if len(text) > maxKeysBytes {
		return nil, fmt.Errorf("reading keys from %s: it is larger than %d bytes", s.location, maxKeysBytes)
	}
	return text, nil
}

func (s *keySource) openFile(context.Context) (io.ReadCloser, error) {
	info, err := os.Stat(s.location)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("is not a file") // opening a pipe would wait for its writer
	}
	if err != nil {
		return nil, fmt.Errorf("reading keys from %s: %w", s.location, err)
	}
	file, err := os.Open(s.location)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	return file, nil
}

func (s *keySource) openURL(ctx context.Context) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.location, nil)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading keys: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("reading keys from %s: it answers %s, not 200; jwt.jwks must be the final address", s.location, response.Status)
	}
	return response.Body, nil
}
