package jwthttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/plugins/jwthttp"
)

// I1: durable before acknowledged.
func TestI1AnswerComesOnlyAfterTheAcknowledgement(t *testing.T) {
	shop := newShop(t)
	taken, release := make(chan struct{}), make(chan struct{})
	shop.run(t, input(purchases), func(context.Context, service.MessageBatch) error {
		close(taken)
		<-release
		return nil
	})
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() { answered <- shop.post(t, bulk(goodRow)) }()
	<-taken
	select {
	case w := <-answered:
		t.Fatalf("answered before the acknowledgement: %d", w.Code)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if w := <-answered; w.Code != 200 {
		t.Errorf("answer is %d %s", w.Code, w.Body)
	}
}

func TestRejectedBatchIsAnswered503(t *testing.T) {
	shop := newShop(t)
	var calls atomic.Int32
	shop.run(t, input(purchases), func(context.Context, service.MessageBatch) error {
		calls.Add(1)
		return errors.New("broker 10.0.0.7 is away")
	})
	w := shop.post(t, bulk(goodRow))
	if text := w.Body.String(); strings.Contains(text, "10.0.0.7") {
		t.Errorf("the answer tells of the inside: %s", text)
	}
	wantProblem(t, w, http.StatusServiceUnavailable)
	if n := calls.Load(); n != 1 {
		t.Errorf("the batch was tried %d times: the client decides about a second time", n)
	}
}

func TestUnansweredBatchIsAnswered503InTime(t *testing.T) {
	shop := newShop(t)
	release := make(chan struct{})
	shop.run(t, input(purchases+"\ntimeout: 100ms"), func(context.Context, service.MessageBatch) error {
		<-release
		return nil
	})
	for range 3 { // the first is in a batch, the others are not taken
		wantProblem(t, shop.post(t, bulk(goodRow)), http.StatusServiceUnavailable)
	}
	close(release)
	for deadline := time.Now().Add(5 * time.Second); ; {
		if w := shop.post(t, bulk(goodRow)); w.Code == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the endpoint does not come back")
		}
	}
}

func TestRequestsBeyondTheMemoryWaitTheirTurn(t *testing.T) {
	shop := newShop(t)
	taken, release := make(chan struct{}, 16), make(chan struct{})
	shop.run(t, input(purchases+"\ntimeout: 200ms\nmax_body_bytes: 1000\nmax_pending_bytes: 1000"), func(context.Context, service.MessageBatch) error {
		taken <- struct{}{}
		<-release
		return nil
	})
	body := bulk(goodRow, goodRow, goodRow, goodRow, goodRow)
	first := make(chan int, 1)
	go func() { first <- shop.post(t, body).Code }()
	<-taken
	p := wantProblem(t, shop.post(t, body), http.StatusServiceUnavailable)
	if !strings.Contains(p.Detail, "waiting") {
		t.Errorf("problem is %+v", p)
	}
	<-first
	close(release)
	for deadline := time.Now().Add(5 * time.Second); shop.post(t, body).Code != 200; {
		if time.Now().After(deadline) {
			t.Fatal("the memory of answered requests is not given back")
		}
	}
}

func TestRowsAreStoredThoughTheClientLeaves(t *testing.T) {
	shop, got := newShop(t), &collector{}
	taken, release := make(chan struct{}), make(chan struct{})
	shop.run(t, input(purchases), func(ctx context.Context, batch service.MessageBatch) error {
		close(taken)
		<-release
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return got.take(ctx, batch)
	})
	shop.listen(t)
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, shop.url+bulkPath, strings.NewReader(bulk(goodRow)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = shop.header(t)
	left := make(chan struct{})
	go func() {
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
		}
		close(left)
	}()
	<-taken
	leave()
	<-left
	close(release)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		got.mu.Lock()
		n := len(got.messages)
		got.mu.Unlock()
		if n == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the row is lost")
		}
	}
}

func TestRouteAnswers503WhileItsStreamIsAwayAnd404IfThereNeverWasOne(t *testing.T) {
	shop, got := newShop(t), &collector{}
	wantProblem(t, shop.post(t, bulk(goodRow)), http.StatusNotFound)
	stop := shop.run(t, input(purchases), got.take)
	stop()
	wantProblem(t, shop.post(t, bulk(goodRow)), http.StatusServiceUnavailable)
	shop.run(t, input(purchases), got.take)
	for _, path := range []string{bulkPath, bulkPath + "/"} {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(bulk(goodRow)))
		r.Header = shop.header(t)
		w := httptest.NewRecorder()
		shop.server.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestStreamEditLosesNoAcknowledgedRow(t *testing.T) {
	shop, got := newShop(t), &collector{}
	stop := shop.run(t, input(purchases), got.take)
	done, acknowledged := make(chan struct{}), make(chan int, 4)
	for range 4 {
		go func() {
			n := 0
			defer func() { acknowledged <- n }()
			for {
				select {
				case <-done:
					return
				default:
				}
				switch w := shop.post(t, bulk(goodRow)); w.Code {
				case 200:
					n++
				case 503:
				default:
					t.Errorf("answer is %d %s", w.Code, w.Body)
					return
				}
			}
		}()
	}
	for range 5 {
		stop()
		stop = shop.run(t, input(purchases), got.take)
	}
	close(done)
	sum := 0
	for range 4 {
		sum += <-acknowledged
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	if sum == 0 || len(got.messages) < sum {
		t.Errorf("%d rows acknowledged, %d stored", sum, len(got.messages))
	}
}

func TestEndpointNeedsATokenWithItsScopes(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	reader, err := shop.issuer.Issue("reader", []string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	for status, header := range map[int]http.Header{401: {"Content-Type": {"application/json"}}, 403: {"Authorization": {"Bearer " + reader}}} {
		r := httptest.NewRequest(http.MethodPost, bulkPath, strings.NewReader(bulk(goodRow)))
		r.Header = header
		w := httptest.NewRecorder()
		shop.server.ServeHTTP(w, r)
		if w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%d without WWW-Authenticate", status)
		}
		wantProblem(t, w, status)
	}
	if len(got.messages) != 0 {
		t.Error("rows of nobody are taken")
	}
}

func construct(t testing.TB, fields string) (service.BatchInput, error) {
	t.Helper()
	conf, err := jwthttp.Spec().ParseYAML(fields, nil)
	if err != nil {
		return nil, err
	}
	return jwthttp.New(conf, service.MockResources())
}

func TestConfigFaultsAreReportedAllAtOnce(t *testing.T) {
	_, err := construct(t, `
path: rows/
contract: nowhere.yaml
timezone: Mars/Olympus
timeout: 5m
scopes: [wrte]
max_rows: 0
max_pending_bytes: 5`)
	if err == nil {
		t.Fatal("it is constructed")
	}
	for _, field := range []string{"path", "nowhere.yaml", "timezone", "timeout", "scopes", "max_rows", "max_pending_bytes"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not in %q", field, err)
		}
	}
}

func TestWithoutAPITheErrorSaysHowToRunIt(t *testing.T) {
	in, err := construct(t, purchases)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "-o pipelines/resources/service.yaml") {
		t.Errorf("error is %v", err)
	}
	for range 2 {
		if err := in.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
