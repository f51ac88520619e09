package s3parquet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"
)

// The metadata of a message of the input.
const (
	metaBucket = "s3_bucket"
	metaKey    = "s3_key"
	metaSize   = "s3_size"
	metaETag   = "s3_etag"
)

func init() {
	service.MustRegisterInput("s3_parquet", InputSpec(), newInput)
}

// InputSpec documents the input s3_parquet.
func InputSpec() *service.ConfigSpec {
	return service.NewConfigSpec().
		Categories("Services").
		Summary("Lists the Parquet objects below a prefix: one message per object, which names it without opening it.").
		Description(`
A message is `+"`"+`{"bucket", "key", "size", "etag", "last_modified"}`+"`"+`, and has the same in its metadata as `+"`s3_bucket`, `s3_key`, `s3_size` and `s3_etag`"+`.
Objects whose names do not end in `+"`.parquet`"+` are left out, and so are those with a folder or name that begins with `+"`_` or `.`"+`.

Folders come in the order of their names. In a folder, objects that the output of the same name wrote come first, by topic, partition and first
offset, as numbers; others follow by name. So the objects of one partition and day are in the order of their offsets.

The listing is that of one moment, and the input ends after it. A bucket that does not exist or a store that does not answer is an error of
connecting, which a stream tries again for ever: wrap the input in `+"`batch_run`"+` to bound that.`).
		Fields(bucketFields()...).
		Fields(
			service.NewStringField(fieldPrefix).Description("Which objects: those whose keys begin so.").Default("").Example("purchases/"),
			service.NewAutoRetryNacksToggleField(),
		)
}

type input struct {
	bucket *bucket
	prefix string

	listed  bool
	objects []minio.ObjectInfo
}

var _ service.Input = (*input)(nil)

func newInput(conf *service.ParsedConfig, _ *service.Resources) (service.Input, error) {
	bucket, bucketErr := bucketFromParsed(conf)
	prefix, prefixErr := conf.FieldString(fieldPrefix)
	if err := errors.Join(bucketErr, prefixErr); err != nil {
		return nil, err
	}
	return service.AutoRetryNacksToggled(conf, &input{bucket: bucket, prefix: prefix})
}

func (in *input) Connect(ctx context.Context) error {
	if in.listed {
		return nil
	}
	if err := in.bucket.connect(ctx); err != nil {
		return err
	}
	var objects []minio.ObjectInfo
	err := in.bucket.list(ctx, minio.ListObjectsOptions{Prefix: in.prefix, Recursive: true}, func(object minio.ObjectInfo) (bool, error) {
		if visible(object.Key) {
			objects = append(objects, object)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(objects, inOrder)
	in.objects, in.listed = objects, true
	return nil
}

// inOrder compares objects by folder and then by what their names stand for.
func inOrder(a, b minio.ObjectInfo) int {
	folderA, nameA := path.Split(a.Key)
	folderB, nameB := path.Split(b.Key)
	if c := cmp.Compare(folderA, folderB); c != 0 {
		return c
	}
	placeA, firstA, ours := parseName(nameA)
	placeB, firstB, oursToo := parseName(nameB)
	switch {
	case ours && oursToo:
		return cmp.Or(cmp.Compare(placeA.topic, placeB.topic), cmp.Compare(placeA.partition, placeB.partition),
			cmp.Compare(firstA, firstB), cmp.Compare(nameA, nameB))
	case ours:
		return -1
	case oursToo:
		return 1
	}
	return cmp.Compare(nameA, nameB)
}

// parseName reads what place.name wrote; a topic may have dashes of its own.
func parseName(name string) (at place, first int64, ok bool) {
	parts := strings.Split(strings.TrimSuffix(name, suffix), "-")
	n := len(parts)
	if n < 3 {
		return place{}, 0, false
	}
	partition, err1 := strconv.ParseInt(parts[n-2], 10, 32)
	first, err2 := strconv.ParseInt(parts[n-1], 10, 64)
	return place{strings.Join(parts[:n-2], "-"), int32(partition)}, first, err1 == nil && err2 == nil
}

// reference is what a message of the input holds.
type reference struct {
	Bucket       string    `json:"bucket"`
	Key          string    `json:"key"`
	Size         int64     `json:"size"`
	ETag         string    `json:"etag"`
	LastModified time.Time `json:"last_modified"`
}

func (r reference) message() (*service.Message, error) {
	content, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("describing object %q: %w", r.Key, err)
	}
	msg := service.NewMessage(content)
	msg.MetaSetMut(metaBucket, r.Bucket)
	msg.MetaSetMut(metaKey, r.Key)
	msg.MetaSetMut(metaSize, r.Size)
	msg.MetaSetMut(metaETag, r.ETag)
	return msg, nil
}

func (in *input) Read(context.Context) (*service.Message, service.AckFunc, error) {
	if !in.listed {
		return nil, nil, service.ErrNotConnected
	}
	if len(in.objects) == 0 {
		return nil, nil, service.ErrEndOfInput
	}
	object := in.objects[0]
	in.objects = in.objects[1:]
	msg, err := reference{in.bucket.name, object.Key, object.Size, object.ETag, object.LastModified.UTC()}.message()
	return msg, func(context.Context, error) error { return nil }, err
}

func (in *input) Close(context.Context) error { return nil }
