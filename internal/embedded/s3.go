package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

const (
	dirS3        = "s3"
	dirS3Buckets = "buckets"
	dirS3Sidecar = "metadata"

	// The gateway takes none of these from defaults of its own; the first two are S3's.
	s3MaxCopyBytes   = 5 << 30
	s3MaxParts       = 10_000
	s3MaxConnections = 1024
	s3MaxRequests    = 512

	// s3Grace is for requests under way; connections kept alive by clients are not waited for.
	s3Grace = 300 * time.Millisecond
)

func newS3(l layout, address string, creds secrets) *server {
	return &server{
		name: nameS3, engine: "versitygw", address: address,
		data: l.data(dirS3), log: l.log(dirS3), stopSignal: syscall.SIGTERM,
		command: childCmd(childS3, childConfig{
			Address: address, DataDir: l.data(dirS3), User: creds.S3AccessKey, Password: creds.S3SecretKey,
		}),
		probe: func(ctx context.Context) error { return probeS3(ctx, address, creds) },
	}
}

func probeS3(ctx context.Context, address string, creds secrets) error {
	client, err := minio.New(address, &minio.Options{
		Creds: credentials.NewStaticV4(creds.S3AccessKey, creds.S3SecretKey, ""), Region: s3Region, MaxRetries: 1,
	})
	if err != nil {
		return err
	}
	_, err = client.ListBuckets(ctx)
	return err
}

func serveS3(ctx context.Context, cfg childConfig) error {
	buckets := filepath.Join(cfg.DataDir, dirS3Buckets)
	if err := os.MkdirAll(buckets, 0o700); err != nil {
		return fmt.Errorf("creating bucket directory: %w", err)
	}
	metadata, sidecar, err := objectMetadata(cfg.DataDir, buckets)
	if err != nil {
		return err
	}
	objects, err := openObjects(buckets, metadata, sidecar)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- embedgw.RunVersityGW(ctx, objects, &embedgw.Config{
			RootUserAccess: cfg.User, RootUserSecret: cfg.Password, Region: s3Region,
			Ports:          []string{cfg.Address},
			MaxConnections: s3MaxConnections, MaxRequests: s3MaxRequests, MultipartMaxParts: s3MaxParts,
			KeepAlive: true, Quiet: true,
		})
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(s3Grace):
		return nil
	}
}

func openObjects(buckets string, metadata meta.MetadataStorer, sidecar string) (backend.Backend, error) {
	options := posix.PosixOpts{SideCarDir: sidecar, CopyObjectThreshold: s3MaxCopyBytes}
	var attributes *copyingMeta
	if sidecar == "" {
		// attributes of files follow them to their names
		attributes = &copyingMeta{}
		metadata = attributes
	}
	files, err := posix.New(buckets, metadata, options)
	if err != nil {
		return nil, fmt.Errorf("opening bucket directory: %w", err)
	}
	if attributes == nil {
		return files, nil
	}
	return &copyingBackend{files, attributes}, nil
}

// objectMetadata picks where ETags and the like are kept: extended attributes, else, on file systems
// without them, a directory beside the buckets. A directory in use stays in use.
func objectMetadata(dir, buckets string) (store meta.MetadataStorer, sidecarDir string, err error) {
	sidecar := filepath.Join(dir, dirS3Sidecar)
	_, statErr := os.Stat(sidecar)
	if errors.Is(statErr, os.ErrNotExist) && (meta.XattrMeta{}).Test(buckets) == nil {
		return meta.XattrMeta{}, "", nil
	}
	if err := os.MkdirAll(sidecar, 0o700); err != nil {
		return nil, "", fmt.Errorf("creating metadata directory: %w", err)
	}
	store, err = meta.NewSideCar(sidecar)
	if err != nil {
		return nil, "", fmt.Errorf("opening metadata directory: %w", err)
	}
	return store, sidecar, nil
}
