package s3parquet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/objectstore"
	"github.com/shop-connect/shop-connect/internal/store"
)

const (
	fieldBucket = "bucket"

	contentType = "application/vnd.apache.parquet"
	// metaLastOffset is the user metadata that says how far an object reaches, so that a HEAD tells.
	metaLastOffset = "Last-Offset"
	// putAttempts bounds how often a put gives way to another writer of the same key.
	putAttempts = 5
)

// bucket is where the objects of a component are.
type bucket struct {
	config objectstore.Config
	name   string
	client *minio.Client
}

func bucketFields() []*service.ConfigField {
	return append(objectstore.Fields(), service.NewStringField(fieldBucket).Description("Bucket, which must exist."))
}

func bucketFromParsed(conf *service.ParsedConfig) (*bucket, error) {
	b := &bucket{}
	var faults []error
	var err error
	if b.config, err = objectstore.FromParsed(conf); err != nil {
		faults = append(faults, err)
	}
	if b.name, err = conf.FieldString(fieldBucket); err != nil {
		faults = append(faults, fmt.Errorf("reading field %q: %w", fieldBucket, err))
	} else if b.name == "" {
		faults = append(faults, fmt.Errorf("field %q: must not be empty", fieldBucket))
	}
	return b, errors.Join(faults...)
}

// connect makes sure that the bucket answers.
func (b *bucket) connect(ctx context.Context) error {
	client, err := b.config.Client()
	if err != nil {
		return err
	}
	exists, err := client.BucketExists(ctx, b.name)
	if err != nil {
		return fmt.Errorf("looking for bucket %q: %w", b.name, b.config.Explain(err, b.name))
	}
	if !exists {
		return fmt.Errorf("bucket %q does not exist at %s: create it, or correct the field %q", b.name, b.config.Endpoint, fieldBucket)
	}
	b.client = client
	return nil
}

// put stores an object of the rows of one partition from a first offset, which its key names, to a last,
// and returns what is there then.
//
// A key can be written more than once: by a batch that is redelivered, perhaps with other bounds, or by a
// consumer that has not heard yet that its partition went to another. Each holds every row from the first
// offset on, so the object that reaches further holds all of the other. I4: it is the one that stays.
func (b *bucket) put(ctx context.Context, key string, object []byte, last int64) (store.RawObject, error) {
	replaced := "" // the ETag of the object that gives way to this one
	for range putAttempts {
		options := minio.PutObjectOptions{
			ContentType: contentType, DisableMultipart: true,
			UserMetadata: map[string]string{metaLastOffset: strconv.FormatInt(last, 10)},
		}
		if replaced == "" {
			options.SetMatchETagExcept("*")
		} else {
			options.SetMatchETag(replaced)
		}
		put, err := b.client.PutObject(ctx, b.name, key, bytes.NewReader(object), int64(len(object)), options)
		if err == nil {
			return b.state(key, put.ETag, put.Size, last), nil
		}
		if !lostRace(err) {
			return store.RawObject{}, b.fault(key, err)
		}
		there, err := b.client.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
		switch {
		case err == nil && lastOffset(there) > last:
			return b.state(key, there.ETag, there.Size, lastOffset(there)), nil
		case err == nil:
			replaced = there.ETag
		case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
			replaced = ""
		default:
			return store.RawObject{}, b.fault(key, err)
		}
	}
	return store.RawObject{}, fmt.Errorf("writing object s3://%s/%s: others keep replacing it; is the same stream running under another consumer group?", b.name, key)
}

func (b *bucket) state(key, etag string, size, last int64) store.RawObject {
	return store.RawObject{Object: store.Object{Bucket: b.name, Key: key, ETag: etag}, Size: size, LastOffset: last}
}

func (b *bucket) fault(key string, err error) error {
	return fmt.Errorf("writing object s3://%s/%s: %w", b.name, key, b.config.Explain(err, b.name))
}

// lostRace reports whether a put was refused because of the object that is there.
func lostRace(err error) bool {
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return true
	}
	return false
}

func lastOffset(object minio.ObjectInfo) int64 {
	last, err := strconv.ParseInt(object.UserMetadata[metaLastOffset], 10, 64)
	if err != nil {
		// somebody else's object
		return -1
	}
	return last
}
