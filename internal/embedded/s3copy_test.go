package embedded

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/env"
)

// startS3 starts that server alone.
func startS3(t *testing.T) *minio.Client {
	t.Helper()
	dir, err := prepareDataDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	addresses, err := reservePorts(Ports{})
	if err != nil {
		t.Fatal(err)
	}
	creds := newSecrets()
	s := newS3(layout{dataDir: dir}, addresses.S3, creds)
	if err := s.start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	client := newContent(map[string]string{
		env.S3Endpoint: "http://" + addresses.S3, env.S3AccessKey: creds.S3AccessKey, env.S3SecretKey: creds.S3SecretKey, env.S3Region: s3Region,
	}).s3(t)
	for _, bucket := range []string{"source", "target"} {
		if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return client
}

// described is what a reader can know of an object, but for when it came.
func described(t *testing.T, client *minio.Client, bucket, key string) map[string]any {
	t.Helper()
	info, err := client.StatObject(t.Context(), bucket, key, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		t.Fatal(err)
	}
	tags, err := client.GetObjectTagging(t.Context(), bucket, key, minio.GetObjectTaggingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	headers := info.Metadata.Clone()
	for _, name := range []string{"Date", "X-Amz-Request-Id", "Last-Modified"} {
		headers.Del(name)
	}
	body, err := client.GetObject(t.Context(), bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"headers": headers, "user": info.UserMetadata, "tags": tags.ToMap(), "etag": info.ETag, "size": info.Size,
		"content": content, "crc64": info.ChecksumCRC64NVME, "crc32c": info.ChecksumCRC32C, "mode": info.ChecksumMode,
		"parts": sizesOfParts(t, client, bucket, key),
	}
}

// sizesOfParts asks for an object's parts one by one, until there is none.
func sizesOfParts(t *testing.T, client *minio.Client, bucket, key string) (sizes []int64) {
	t.Helper()
	for n := 1; ; n++ {
		info, err := client.StatObject(t.Context(), bucket, key, minio.StatObjectOptions{PartNumber: n})
		if err != nil {
			return sizes
		}
		sizes = append(sizes, info.Size)
	}
}

// differ compares two descriptions without printing contents.
func differ(t *testing.T, got, want map[string]any) {
	t.Helper()
	for name := range want {
		switch {
		case reflect.DeepEqual(got[name], want[name]):
		case name == "content":
			t.Error("the copy's bytes differ")
		default:
			t.Errorf("the copy's %s are %v, want %v", name, got[name], want[name])
		}
	}
}

func TestACopyIsKnownBySameBytesTypeTagsAndETag(t *testing.T) {
	client := startS3(t)
	large := newContent(nil).large
	for name, put := range map[string]struct {
		content []byte
		options minio.PutObjectOptions
	}{
		"plain": {[]byte("hello"), minio.PutObjectOptions{}},
		"empty": {nil, minio.PutObjectOptions{}},
		"described": {large[:100_000], minio.PutObjectOptions{
			ContentType: "application/vnd.apache.parquet", ContentEncoding: "identity", ContentLanguage: "de", CacheControl: "no-cache",
			ContentDisposition: "attachment", UserMetadata: map[string]string{"Fault": "none %C3"}, UserTags: map[string]string{"team": "a b"},
		}},
		"in_parts": {large, minio.PutObjectOptions{PartSize: 5 << 20}},
	} {
		t.Run(name, func(t *testing.T) {
			key := "folder/" + name
			var body io.Reader = bytes.NewReader(put.content)
			if put.options.PartSize > 0 {
				body = bufio.NewReader(body) // the client has checksums for parts of what it reads once
			}
			if _, err := client.PutObject(t.Context(), "source", key, body, int64(len(put.content)), put.options); err != nil {
				t.Fatal(err)
			}
			want := described(t, client, "source", key)
			for range 2 { // the second one replaces the first
				copied, err := client.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "target", Object: "a/" + key},
					minio.CopySrcOptions{Bucket: "source", Object: key, MatchETag: want["etag"].(string)})
				if err != nil {
					t.Fatal(err)
				}
				if copied.ETag != want["etag"] || copied.LastModified.IsZero() {
					t.Errorf("the answer says %q, %s", copied.ETag, copied.LastModified)
				}
				got := described(t, client, "target", "a/"+key)
				if len(put.options.UserTags) > 0 {
					// S3 copies tags where it is asked to; the gateway knows no default
					delete(want, "tags")
					delete(want, "headers")
				}
				differ(t, got, want)
			}
		})
	}
}

// The gateway hashes anew what is to have another kind of checksum: it shows how its own copies look.
func TestACopyLooksAsTheGatewaysOwn(t *testing.T) {
	client := startS3(t)
	options := minio.PutObjectOptions{ContentType: "text/plain", UserMetadata: map[string]string{"a": "b"}, UserTags: map[string]string{"x": "y"}}
	if _, err := client.PutObject(t.Context(), "source", "key", bytes.NewReader([]byte("hello")), 5, options); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]minio.CopyDestOptions{
		"as it is":     {},
		"new metadata": {ReplaceMetadata: true, UserMetadata: map[string]string{"c": "d"}, ContentType: "text/csv"},
		"new tags":     {ReplaceTags: true, UserTags: map[string]string{"z": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			to.Bucket, to.Object = "target", "quick"
			if _, err := client.CopyObject(t.Context(), to, minio.CopySrcOptions{Bucket: "source", Object: "key"}); err != nil {
				t.Fatal(err)
			}
			to.Object, to.ChecksumType = "own", minio.ChecksumCRC64NVME
			if _, err := client.CopyObject(t.Context(), to, minio.CopySrcOptions{Bucket: "source", Object: "key"}); err != nil {
				t.Fatal(err)
			}
			differ(t, described(t, client, "target", "quick"), described(t, client, "target", "own"))
		})
	}
}

func TestACopyIsRefusedAsByS3(t *testing.T) {
	client := startS3(t)
	if _, err := client.PutObject(t.Context(), "source", "key", bytes.NewReader([]byte("hello")), 5, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from minio.CopySrcOptions
		to   minio.CopyDestOptions
		want int
	}{
		"another state":  {minio.CopySrcOptions{Bucket: "source", Object: "key", MatchETag: "0"}, minio.CopyDestOptions{Bucket: "target", Object: "a"}, http.StatusPreconditionFailed},
		"no object":      {minio.CopySrcOptions{Bucket: "source", Object: "none"}, minio.CopyDestOptions{Bucket: "target", Object: "a"}, http.StatusNotFound},
		"no bucket":      {minio.CopySrcOptions{Bucket: "source", Object: "key"}, minio.CopyDestOptions{Bucket: "elsewhere", Object: "a"}, http.StatusNotFound},
		"out of it":      {minio.CopySrcOptions{Bucket: "source", Object: "../source/key"}, minio.CopyDestOptions{Bucket: "target", Object: "a"}, http.StatusBadRequest},
		"onto a folder":  {minio.CopySrcOptions{Bucket: "source", Object: "key"}, minio.CopyDestOptions{Bucket: "target", Object: "folder"}, http.StatusConflict},
		"onto its place": {minio.CopySrcOptions{Bucket: "source", Object: "key"}, minio.CopyDestOptions{Bucket: "source", Object: "key"}, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := client.PutObject(t.Context(), "target", "folder/in", bytes.NewReader(nil), 0, minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
			_, err := client.CopyObject(t.Context(), c.to, c.from)
			if got := minio.ToErrorResponse(err).StatusCode; err == nil || got != c.want {
				t.Errorf("got %v (%d), want %d", err, got, c.want)
			}
		})
	}
}

// Whoever reads meanwhile sees one state or the other, each with its own ETag.
func TestCopiesOfAnObjectThatChangesAreWhole(t *testing.T) {
	client := startS3(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	put := func(n int) error {
		content := bytes.Repeat([]byte{byte(n)}, 300_000+n)
		_, err := client.PutObject(t.Context(), "source", "key", bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
		return err
	}
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			if err := put(n % 200); err != nil {
				t.Error(err)
			}
		}
	})
	defer stop()
	seen := map[string]string{}
	for i := range 60 {
		key := fmt.Sprintf("copy-%d", i%3)
		if _, err := client.CopyObject(t.Context(), minio.CopyDestOptions{Bucket: "target", Object: key}, minio.CopySrcOptions{Bucket: "source", Object: "key"}); err != nil {
			t.Fatal(err)
		}
		got := described(t, client, "target", key)
		content := got["content"].([]byte)
		if want := 300_000 + int(content[0]); len(content) != want || len(bytes.Trim(content, string(content[:1]))) > 0 {
			t.Fatalf("a copy of %d bytes is no state of its source", len(content))
		}
		etag, state := got["etag"].(string), fmt.Sprint(content[0])
		if before, known := seen[etag]; known && before != state {
			t.Fatalf("ETag %s is that of states %s and %s", etag, before, state)
		}
		seen[etag] = state
	}
}
