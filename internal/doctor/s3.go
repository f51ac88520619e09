package doctor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/env"
	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/provision"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	// probePrefix is read by no stream.
	probePrefix = ".doctor/"
	rawBucket   = "shop-raw-data"
)

func (e *examination) s3() server {
	s := server{
		name: "S3", address: e.Vars[env.S3Endpoint],
		needs: []string{env.S3Endpoint, env.S3Region, env.S3AccessKey, env.S3SecretKey},
	}
	client, err := objectstore.Config{
		Endpoint: e.Vars[env.S3Endpoint], Region: e.Vars[env.S3Region], AccessKey: e.Vars[env.S3AccessKey], SecretKey: e.Vars[env.S3SecretKey],
	}.Client()
	if err != nil {
		s.reach = check{"reach", func(context.Context) []Finding {
			return []Finding{fault("write http://host:port or https://host", "reading %s: %v", env.S3Endpoint, err)}
		}}
		return s
	}
	ledger, err := e.openStore()
	if err != nil {
		ledger = nil // said of PostgreSQL
	}
	s.reach = check{"reach", func(ctx context.Context) []Finding { return reachS3(ctx, e.Vars[env.S3Endpoint]) }}
	for _, bucket := range provision.Buckets() {
		s.checks = append(s.checks, check{bucket, func(ctx context.Context) []Finding {
			b := probe{client: client, name: bucket}
			if bucket == rawBucket {
				b.ledger = ledger
			}
			return []Finding{b.run(ctx)}
		}})
	}
	return s
}

// reachS3 asks without credentials: any answer is one, and has the time.
func reachS3(ctx context.Context, endpoint string) []Finding {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return []Finding{fault("write http://host:port or https://host", "reading %s: %v", env.S3Endpoint, err)}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	asked := time.Now()
	response, err := client.Do(request)
	answered := time.Now()
	if err != nil {
		return []Finding{fault("start the store, or correct "+env.S3Endpoint+"; what comes meanwhile waits in Kafka, and the streams go on by themselves", "%v", err)}
	}
	defer response.Body.Close()
	found := []Finding{fine("answers")}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		found = append(found, clockOf(date.Add(500*time.Millisecond), asked, answered)) // it has whole seconds
	}
	return found
}

// probe tries a bucket with an object of its own.
type probe struct {
	client *minio.Client
	name   string
	// ledger knows when the bucket was last written to; nil for a bucket that it does not know.
	ledger *store.Store
}

// run lists, puts, gets and deletes, and stops at the first that is refused. It does not ask whether the bucket
// exists: the answer to that does not tell wrong keys from missing rights.
func (p probe) run(ctx context.Context) Finding {
	listing, cancel := context.WithCancel(ctx)
	defer cancel()
	if first := <-p.client.ListObjects(listing, p.name, minio.ListObjectsOptions{MaxKeys: 1}); first.Err != nil {
		return p.refusal("listing", first.Err)
	}
	key, content := probePrefix+uuid.NewString(), []byte("shop-connect doctor")
	if _, err := p.client.PutObject(ctx, p.name, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		finding := p.refusal("writing", err)
		finding.Found += p.since(ctx)
		return finding
	}
	got, err := p.get(ctx, key)
	removed := p.client.RemoveObject(ctx, p.name, key, minio.RemoveObjectOptions{})
	switch {
	case err != nil:
		return p.refusal("reading", err)
	case !bytes.Equal(got, content):
		return fault("see what is between here and the store, and its disks", "reading: the store gives back other bytes than it was given")
	case removed != nil:
		return p.refusal("deleting "+key, removed)
	}
	return fine("listed, written, read and deleted")
}

func (p probe) get(ctx context.Context, key string) ([]byte, error) {
	object, err := p.client.GetObject(ctx, p.name, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer object.Close()
	return io.ReadAll(object)
}

// since says when writing last worked, as far as the ledger tells.
func (p probe) since(ctx context.Context) string {
	if p.ledger == nil {
		return ""
	}
	written, err := lastWrites(ctx, p.ledger)
	if err != nil {
		return "; since when cannot be told, PostgreSQL does not say"
	}
	return "; " + written
}

func (p probe) refusal(doing string, err error) Finding {
	answer := minio.ToErrorResponse(err)
	do := "see the store's log"
	switch answer.Code {
	case minio.NoSuchBucket:
		return fault(provisionDoes, "there is no bucket %s", p.name)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch":
		do = "correct " + env.S3AccessKey + " and " + env.S3SecretKey
	case minio.AccessDenied, "AllAccessDisabled":
		do = "let the key list, get, put and delete in the bucket; see compose/provision/s3 for policies. Where it was allowed before, see whether the store is read-only or its quota is used up"
	case "RequestTimeTooSkewed":
		do = "let both machines keep time with NTP: signatures fail at 15 min of difference"
	case "XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
		do = "make room on the store's disks, or raise its quota"
	}
	if answer.StatusCode == http.StatusInsufficientStorage {
		do = "make room on the store's disks"
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		do = "see whether the store runs"
	}
	what := err.Error()
	if answer.Code != "" {
		what = fmt.Sprintf("%s (%s)", cmp.Or(answer.Message, what), answer.Code)
	}
	return fault(do, "%s is refused: %s", doing, what)
}
