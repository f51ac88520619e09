package chaos

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/shop-connect/shop-connect/internal/env"
)

// rivalStreams are the sinks that may be there twice: they promise to count each record once whoever else writes.
var rivalStreams = []string{"purchases_iceberg", "purchases_clickhouse", "purchases_raw"}

// keepRivals has a replica run its sinks a second time under other consumer groups, also after it was killed.
func (w *world) keepRivals(ctx context.Context, r *replica) {
	posted := 0 // the process that has them
	for ctx.Err() == nil {
		pid := r.pid()
		if pid != 0 && pid != posted && r.ready(ctx) == nil {
			posted = pid
			for _, stream := range rivalStreams {
				if err := w.postRival(ctx, r, stream); err != nil && r.pid() == pid {
					w.sayf("  %s does not take %s a second time: %v", r.name, stream, err)
				}
			}
			w.sayf("  %s runs its sinks twice", r.name)
		}
		pause(ctx, 200*time.Millisecond)
	}
	for _, stream := range rivalStreams {
		if err := w.streamsCall(context.WithoutCancel(ctx), r, http.MethodDelete, stream, nil); err != nil && r.pid() == posted {
			w.sayf("  %s does not let go of %s: %v", r.name, stream, err)
		}
	}
}

func (w *world) postRival(ctx context.Context, r *replica, stream string) error {
	text, err := os.ReadFile(filepath.Join(w.cfg.Pipelines, stream+".yaml"))
	if err != nil {
		return err
	}
	changed := bytes.Replace(text, []byte("consumer_group: "), []byte("consumer_group: rival-"), 1)
	if bytes.Equal(changed, text) {
		return fmt.Errorf("%s names no consumer_group", stream)
	}
	return w.streamsCall(ctx, r, http.MethodPost, stream, changed)
}

func (w *world) streamsCall(ctx context.Context, r *replica, method, stream string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	url := r.vars[env.StreamsURL] + "/streams/rival_" + stream
	if method == http.MethodDelete {
		url += "?timeout=10s"
	}
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.SetBasicAuth(r.vars[env.StreamsUser], r.vars[env.StreamsPassword])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil && response.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s: %s", response.Status, trimLine(string(text)))
	}
	return err
}
