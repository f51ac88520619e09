package provision

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/shop-connect/shop-connect/internal/env"
)

var buckets = []string{"shop-raw-data", "shop-stage-data", "shop-quarantine", "analytics"}

// Buckets are those that the streams need.
func Buckets() []string { return slices.Clone(buckets) }

func createBuckets(ctx context.Context, vars map[string]string) error {
	endpoint, err := url.Parse(vars[env.S3Endpoint])
	if err != nil {
		return fmt.Errorf("parsing %s: %w", env.S3Endpoint, err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(vars[env.S3AccessKey], vars[env.S3SecretKey], ""),
		Secure: endpoint.Scheme == "https",
		Region: vars[env.S3Region],
	})
	if err != nil {
		return fmt.Errorf("reading %s: %w", env.S3Endpoint, err)
	}
	for _, bucket := range buckets {
		exists, err := client.BucketExists(ctx, bucket)
		if err != nil {
			return fmt.Errorf("looking for bucket %s: %w", bucket, err)
		}
		if exists {
			continue
		}
		if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: vars[env.S3Region]}); err != nil {
			return fmt.Errorf("bucket %s: %w", bucket, err)
		}
	}
	return nil
}
