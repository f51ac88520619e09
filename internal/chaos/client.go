package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	requestTimeout = 8 * time.Second
	// patience is how long a client tries to have a request answered before it gives it up.
	patience   = 45 * time.Second
	retryPause = 150 * time.Millisecond
)

// shopClient sends requests to whichever replica answers, and the same request again until one has.
type shopClient struct {
	urls           []string
	user, password string
	http           *http.Client
	turn           atomic.Uint64

	mu    sync.Mutex
	token string

	requests, retries atomic.Int64
}

func newShopClient(urls []string, user, password string, connections int) *shopClient {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = connections
	return &shopClient{urls: urls, user: user, password: password, http: &http.Client{Transport: transport, Timeout: requestTimeout}}
}

// reply is a final answer. Status 0 says that there was none within the client's patience.
type reply struct {
	status int
	body   []byte
	// attempts are how often the request was sent.
	attempts int
}

// send returns with the first answer that is not about trouble. A client that is hasty sends once.
func (c *shopClient) send(ctx context.Context, hasty bool, method, path string, body []byte) reply {
	deadline := time.Now().Add(patience)
	var r reply
	at := c.turn.Add(1)
	for time.Now().Before(deadline) && ctx.Err() == nil && (!hasty || r.attempts == 0) {
		token, ok := c.bearer(ctx, c.urls[at%uint64(len(c.urls))])
		if ok {
			r.attempts++
			c.requests.Add(1)
			status, text, err := c.try(ctx, c.urls[at%uint64(len(c.urls))], method, path, token, body)
			switch {
			case err == nil && status == http.StatusUnauthorized:
				c.forget(token)
			case err == nil && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout:
				r.status, r.body = status, text
				return r
			}
		}
		c.retries.Add(1)
		at++ // the other replica, as behind a load balancer
		pause(ctx, retryPause)
	}
	return r
}

func (c *shopClient) try(ctx context.Context, base, method, path, token string, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<20))
	return response.StatusCode, text, err
}

func (c *shopClient) bearer(ctx context.Context, base string) (string, bool) {
	c.mu.Lock()
	token := c.token
	c.mu.Unlock()
	if token != "" {
		return token, true
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/v1/token",
		bytes.NewReader([]byte(url.Values{"username": {c.user}, "password": {c.password}}.Encode())))
	if err != nil {
		return "", false
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := c.http.Do(request)
	if err != nil {
		return "", false
	}
	defer response.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.NewDecoder(response.Body).Decode(&answer) != nil || answer.Token == "" {
		return "", false
	}
	c.mu.Lock()
	c.token = answer.Token
	c.mu.Unlock()
	return answer.Token, true
}

func (c *shopClient) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// refusedIndexes reads the answer to a bulk body.
func refusedIndexes(body []byte) (accepted int, refused []int, err error) {
	var answer struct {
		Success *int `json:"success_count"`
		Errors  []struct {
			Index int `json:"index"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Success == nil {
		return 0, nil, fmt.Errorf("reading the answer to a bulk body: %q", body)
	}
	for _, e := range answer.Errors {
		refused = append(refused, e.Index)
	}
	slices.Sort(refused)
	return *answer.Success, slices.Compact(refused), nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
