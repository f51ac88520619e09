package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shop-connect/shop-connect/internal/upproc"
)

// client is an integrator's: it sends requests one by one.
type client struct {
	url, token string
}

func newClient(t *testing.T, up *upproc.Process) *client {
	t.Helper()
	c := &client{url: apiURL(up) + "/api/v1"}
	status, answer := c.do("POST", "/token", `{"username":"admin","password":"admin"}`)
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(answer), &token); err != nil || status != http.StatusOK {
		t.Fatal(status, answer)
	}
	c.token = token.AccessToken
	return c
}

// do returns status 0 where there is no answer.
func (c *client) do(method, path, body string) (status int, answer string) {
	request, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+c.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func (c *client) want(t *testing.T, status int, method, path, body string) string {
	t.Helper()
	got, answer := c.do(method, path, body)
	if got != status {
		t.Fatalf("%s %s: answer is %d %s, want %d", method, path, got, answer, status)
	}
	return answer
}

// sellUntilKilled sells one piece after the other and returns the ids of the purchases that were
// acknowledged; enough is called once there are some.
func (c *client) sellUntilKilled(sellers int, enough func()) (acknowledged []string) {
	const some = 200
	var mu sync.Mutex
	var wg sync.WaitGroup
	for s := range sellers {
		wg.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("sale-%d-%d", s, n)
				status, _ := c.do("POST", "/purchases", fmt.Sprintf(`{"id":%q,"product_id":"lamp","customer_id":%d,"seller_id":1,"quantity":1}`, id, s+1))
				if status == 0 {
					return
				}
				if status != http.StatusCreated {
					continue
				}
				mu.Lock()
				acknowledged = append(acknowledged, id)
				reached := len(acknowledged) == some
				mu.Unlock()
				if reached {
					enough()
				}
			}
		})
	}
	wg.Wait()
	return acknowledged
}

func TestI1EveryAcknowledgedPurchaseIsThereOnceAfterAKill(t *testing.T) {
	data := t.TempDir()
	up := startUp(t, data, pipelinesDir)
	c := newClient(t, up)
	const pieces = 1_000_000
	c.want(t, 201, "POST", "/products", fmt.Sprintf(`{"id":"lamp","name":"Lamp","category":"light","price":19.99,"stock":%d}`, pieces))
	acknowledged := c.sellUntilKilled(4, up.Kill)

	up = startUp(t, data, pipelinesDir)
	defer up.Stop()
	c = newClient(t, up)
	for _, id := range acknowledged {
		c.want(t, 200, "GET", "/purchases/"+id, "")
	}
	c.want(t, 204, "DELETE", "/purchases/"+acknowledged[0], "")
	c.want(t, 404, "DELETE", "/purchases/"+acknowledged[0], "")
	acknowledged = acknowledged[1:]

	// one in flight at the kill may have been sold without an answer: stock, list and statistics agree on it
	var product struct {
		Stock int `json:"stock"`
	}
	if err := json.Unmarshal([]byte(c.want(t, 200, "GET", "/products/lamp", "")), &product); err != nil {
		t.Fatal(err)
	}
	sold := pieces - product.Stock
	if sold < len(acknowledged) || sold > len(acknowledged)+4 {
		t.Fatalf("%d pieces are sold, %d were acknowledged", sold, len(acknowledged))
	}
	// Kafka gives the partitions of a process that was killed to the next one after its session's end
	const sessionEnd = 90 * time.Second
	eventually(t, sessionEnd, "the list holds every purchase once", func() (bool, string) {
		var page []struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal([]byte(c.want(t, 200, "GET", "/purchases?limit=1000&product_id=lamp", "")), &page); err != nil {
			return false, err.Error()
		}
		var listed []string
		for _, p := range page {
			listed = append(listed, p.ID)
		}
		slices.Sort(listed)
		missing := slices.ContainsFunc(acknowledged, func(id string) bool { _, found := slices.BinarySearch(listed, id); return !found })
		return len(listed) == sold && len(slices.Compact(listed)) == sold && !missing, fmt.Sprintf("%d of %d", len(listed), sold)
	})
	conn := openClickHouse(t, up)
	eventually(t, 15*time.Second, "the statistics count every purchase once", func() (bool, string) {
		var total uint64
		err := conn.QueryRow(t.Context(), "SELECT toUInt64(sum(total_purchases)) FROM analytics.daily_purchase_stats").Scan(&total)
		return err == nil && total == uint64(sold), fmt.Sprint(total, " of ", sold, err)
	})
}
