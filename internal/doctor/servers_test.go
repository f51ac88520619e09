package doctor_test

import (
	"context"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/shop-connect/shop-connect/internal/testservers"
)

func objects(t testing.TB, bucket string) (keys []string) {
	t.Helper()
	_, client := testservers.ObjectStore(t)
	for object := range client.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			t.Fatal(object.Err)
		}
		keys = append(keys, object.Key)
	}
	return keys
}

func removeBucket(t testing.TB, bucket string) {
	t.Helper()
	_, client := testservers.ObjectStore(t)
	if err := client.RemoveBucket(context.Background(), bucket); err != nil {
		t.Fatal(err)
	}
}
