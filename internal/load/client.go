package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-faster/jx"
)

const (
	pathToken     = "/api/v1/token"
	pathProducts  = "/api/v1/products/bulk-s3"
	pathPurchases = "/api/v1/purchases/bulk-kafka"

	requestTimeout = 60 * time.Second
	maxAnswer      = 8 << 20

	// A server that is away or says it is behind is asked this often, waiting up to maxWait between
	// two attempts unless it names its own time; a longer Retry-After than maxRetryAfter is not obeyed.
	maxAttempts   = 12
	firstWait     = 100 * time.Millisecond
	maxWait       = 5 * time.Second
	maxRetryAfter = 60 * time.Second
)

// ClientConfig says how to reach the API.
type ClientConfig struct {
	URL string
	// User and Password get tokens, and get new ones when they expire. A Token is used as it is.
	User, Password string
	Token          string
	Connections    int
}

// Client posts bulk bodies to the shop's API. It is safe for use by several goroutines.
type Client struct {
	config ClientConfig
	http   *http.Client
	sleep  func(context.Context, time.Duration) error

	mu    sync.Mutex
	token string
}

// NewClient does no I/O; the token is fetched with the first request.
func NewClient(c ClientConfig) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = max(c.Connections, 1)
	transport.DisableCompression = true
	transport.WriteBufferSize = 256 << 10
	c.URL = strings.TrimRight(c.URL, "/")
	return &Client{
		config: c, token: c.Token, sleep: sleep,
		http: &http.Client{Transport: transport, Timeout: requestTimeout},
	}
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is what the API says about one bulk body.
type Answer struct {
	Accepted, Refused int64
	// FirstError is the first refused row's entry as the server wrote it, empty if there is none.
	FirstError string
}

// PostProducts sends catalog entries, already wrapped in one bulk body.
func (c *Client) PostProducts(ctx context.Context, body []byte) (Answer, error) {
	return c.bulk(ctx, pathProducts, body)
}

// PostPurchases sends purchases, already wrapped in one bulk body. Sending a body again is safe,
// because the ids in it are the client's and count once (I3).
func (c *Client) PostPurchases(ctx context.Context, body []byte) (Answer, error) {
	return c.bulk(ctx, pathPurchases, body)
}

func (c *Client) bulk(ctx context.Context, path string, body []byte) (Answer, error) {
	renewed := false
	for {
		token, err := c.bearer(ctx)
		if err != nil {
			return Answer{}, err
		}
		text, err := c.post(ctx, path, token, body)
		var refused *statusError
		if errors.As(err, &refused) && refused.status == http.StatusUnauthorized && !renewed && c.config.Token == "" {
			renewed = true // the token has expired during a long load
			c.forget(token)
			continue
		}
		if err != nil {
			return Answer{}, err
		}
		answer, err := parseAnswer(text)
		if err != nil {
			return Answer{}, fmt.Errorf("reading the answer of POST %s: %w; is %s a shop-connect API?", path, err, c.config.URL)
		}
		return answer, nil
	}
}

// bearer returns the current token, fetching one if there is none.
func (c *Client) bearer(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" {
		return c.token, nil
	}
	login, err := json.Marshal(map[string]string{"username": c.config.User, "password": c.config.Password})
	if err != nil {
		return "", fmt.Errorf("encoding credentials: %w", err)
	}
	text, err := c.post(ctx, pathToken, "", login)
	if err != nil {
		return "", fmt.Errorf("getting a token for user %q: %w", c.config.User, err)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Token == "" {
		return "", fmt.Errorf("getting a token for user %q: the answer holds no access_token; is %s a shop-connect API?", c.config.User, c.config.URL)
	}
	c.token = answer.Token
	return c.token, nil
}

// forget drops a token that was refused, unless another connection has renewed it already.
func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// post sends one body until it is answered for good or the attempts are used up.
func (c *Client) post(ctx context.Context, path, token string, body []byte) ([]byte, error) {
	wait := firstWait
	for attempt := 1; ; attempt++ {
		text, err := c.attempt(ctx, path, token, body)
		if err == nil {
			return text, nil
		}
		var status *statusError
		if errors.As(err, &status) && !status.temporary() {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("posting to %s%s: %w", c.config.URL, path, context.Cause(ctx))
		}
		if attempt == maxAttempts {
			return nil, fmt.Errorf("giving up after %d attempts: %w", attempt, err)
		}
		pause := wait
		if status != nil && status.retryAfter > 0 {
			pause = min(status.retryAfter, maxRetryAfter)
		}
		if err := c.sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("posting to %s%s: %w", c.config.URL, path, err)
		}
		wait = min(2*wait, maxWait)
	}
}

func (c *Client) attempt(ctx context.Context, path, token string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.config.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("posting to %s%s: %w", c.config.URL, path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reaching the API: %w; is it running (`shop-connect up`), and is --%s right?", err, flagURL)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of POST %s: %w", path, err)
	}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return text, nil
	}
	return nil, newStatusError(path, resp, text)
}

// statusError is an answer other than 2xx.
type statusError struct {
	path       string
	status     int
	detail     string
	retryAfter time.Duration
}

func newStatusError(path string, resp *http.Response, body []byte) *statusError {
	e := &statusError{path: path, status: resp.StatusCode, retryAfter: retryAfter(resp.Header.Get("Retry-After"))}
	var problem struct{ Title, Detail string } // RFC 9457
	if json.Unmarshal(body, &problem) == nil && problem.Title+problem.Detail != "" {
		e.detail = strings.Trim(problem.Title+": "+problem.Detail, ": ")
	} else {
		e.detail = strings.TrimSpace(string(body[:min(len(body), 200)]))
	}
	return e
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("POST %s answered %d %s", e.path, e.status, http.StatusText(e.status))
	if e.detail != "" {
		text += " (" + e.detail + ")"
	}
	if e.status == http.StatusUnauthorized {
		text += fmt.Sprintf("; check --%s and --%s, or --%s", flagUser, flagPassword, flagToken)
	}
	return text
}

// temporary says whether the same request may succeed later.
func (e *statusError) temporary() bool {
	return e.status == http.StatusTooManyRequests || e.status >= 500
}

// retryAfter reads the header's two forms: seconds, or a date.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.Atoi(header); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return time.Until(at)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// parseAnswer reads {"success_count","error_count","errors":[…]|null}.
func parseAnswer(text []byte) (Answer, error) {
	a := Answer{Accepted: -1, Refused: -1}
	err := jx.DecodeBytes(text).ObjBytes(func(d *jx.Decoder, key []byte) (err error) {
		switch string(key) {
		case "success_count":
			a.Accepted, err = d.Int64()
		case "error_count":
			a.Refused, err = d.Int64()
		case "errors":
			if d.Next() != jx.Array {
				return d.Skip()
			}
			err = d.Arr(func(d *jx.Decoder) error {
				if a.FirstError != "" {
					return d.Skip()
				}
				raw, err := d.Raw()
				a.FirstError = string(raw)
				return err
			})
		default:
			err = d.Skip()
		}
		return err
	})
	if err == nil && (a.Accepted < 0 || a.Refused < 0) {
		err = errors.New("it holds no success_count and error_count")
	}
	return a, err
}
