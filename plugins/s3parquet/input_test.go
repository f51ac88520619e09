package s3parquet_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/plugins/s3parquet"
)

func (s *store) put(t *testing.T, bucket, key, content string) {
	t.Helper()
	if _, err := s.PutObject(t.Context(), bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

func openInput(t *testing.T, yaml string) *service.OwnedInput {
	t.Helper()
	conf, err := service.NewConfigSpec().Field(service.NewInputField("input")).ParseYAML("input:\n  "+strings.ReplaceAll(yaml, "\n", "\n  "), nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := conf.FieldInput("input")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := in.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return in
}

// readAll acknowledges and returns every message up to the end of the input.
func readAll(t *testing.T, in *service.OwnedInput) (all service.MessageBatch) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		batch, ack, err := in.ReadBatch(ctx)
		if errors.Is(err, service.ErrEndOfInput) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
		if err := ack(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestObjectsAreListedInTheOrderOfTheirOffsetsAndThenTheInputEnds(t *testing.T) {
	s, bucket := newBucket(t)
	ordered := []string{
		"purchases/purchase_date=2023-11-09/other-topic-0-7.parquet",
		"purchases/purchase_date=2023-11-09/purchases-2-9.parquet",
		"purchases/purchase_date=2023-11-09/purchases-2-10.parquet",
		"purchases/purchase_date=2023-11-09/purchases-2-1000.parquet",
		"purchases/purchase_date=2023-11-09/purchases-10-3.parquet",
		"purchases/purchase_date=2023-11-09/by-hand.parquet",
		"purchases/purchase_date=2023-11-10/purchases-2-9.parquet",
	}
	for _, key := range []int{3, 0, 6, 5, 2, 1, 4} {
		s.put(t, bucket, ordered[key], "content of "+ordered[key])
	}
	s.put(t, bucket, "purchases/_SUCCESS", "no Parquet")
	s.put(t, bucket, "products/products-0-1.parquet", "another entity")

	messages := readAll(t, openInput(t, "s3_parquet:\n"+s.fields(bucket)+"  prefix: purchases/\n"))
	var got []string
	for _, msg := range messages {
		var object struct {
			Bucket, Key, ETag string
			Size              int
			LastModified      time.Time `json:"last_modified"`
		}
		content, err := msg.AsBytes()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(content, &object); err != nil {
			t.Fatal(err)
		}
		got = append(got, object.Key)
		key, _ := msg.MetaGet("s3_key")
		size, _ := msg.MetaGetMut("s3_size")
		etag, _ := msg.MetaGet("s3_etag")
		in, _ := msg.MetaGet("s3_bucket")
		if key != object.Key || size != int64(len("content of "+key)) || etag != object.ETag || in != bucket {
			t.Errorf("metadata %q %v %q %q of %s", key, size, etag, in, content)
		}
		if object.Bucket != bucket || object.Size != len("content of "+key) || object.ETag == "" || time.Since(object.LastModified) > time.Hour {
			t.Errorf("reference %s", content)
		}
	}
	if !slices.Equal(got, ordered) {
		t.Errorf("order:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(ordered, "\n"))
	}
}

func TestAnEmptyPrefixListsEverythingAndAnEmptyBucketNothing(t *testing.T) {
	s, bucket := newBucket(t)
	if got := readAll(t, openInput(t, "s3_parquet:\n"+s.fields(bucket))); len(got) != 0 {
		t.Errorf("%d messages from an empty bucket", len(got))
	}
	s.put(t, bucket, "a.parquet", "x")
	s.put(t, bucket, "b/c.parquet", "x")
	if got := readAll(t, openInput(t, "s3_parquet:\n"+s.fields(bucket))); len(got) != 2 {
		t.Errorf("%d messages, want 2", len(got))
	}
}

func TestABucketOrStoreThatIsNotThereIsAnErrorThatSaysWhatToDo(t *testing.T) {
	s, _ := newBucket(t)
	for name, c := range map[string]struct{ yaml, says string }{
		"missing bucket": {s.fields("no-such-bucket"), "create it"},
		"wrong key":      {strings.ReplaceAll(s.fields("no-such-bucket"), s.SecretKey, "wrong"), "check access_key and secret_key"},
		"no store":       {"{endpoint: 'http://127.0.0.1:1', access_key: a, secret_key: b, bucket: ccc}", "is it running"},
	} {
		t.Run(name, func(t *testing.T) {
			conf, err := s3parquet.InputSpec().ParseYAML(c.yaml, nil)
			if err != nil {
				t.Fatal(err)
			}
			in, err := s3parquet.Construct("s3_parquet input", conf)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := in.Connect(ctx); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("connecting: %v, want it to say %q", err, c.says)
			}
		})
	}
}
