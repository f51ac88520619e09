package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"
)

// The names under which the gateway keeps what it knows of an object.
const (
	attrETag      = "etag"
	attrChecksums = "checksums"
	attrTags      = "X-Amz-Tagging"
	// attrParts goes with the ETag and the checksum of what came in parts, which say how many there are.
	attrParts = "mp-metadata"
)

// attrsDescribing are the headers that a copy has from its source unless it replaces them.
var attrsDescribing = []string{
	"content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires", "metadata",
}

// copyingBackend copies objects within the file system. The gateway's own way reads the source, hashes it
// twice and writes it, to find the ETag and the checksum that the source has already.
type copyingBackend struct {
	*posix.Posix
	attributes *copyingMeta
}

// copyingMeta gives a copy, before it can be seen, the ETag and the checksum of its source.
type copyingMeta struct {
	meta.XattrMeta
	// copies holds a sourceState by the *os.File that is to become the copy.
	copies sync.Map
}

// sourceState is what the gateway would find by reading the source.
type sourceState struct{ etag, checksums []byte }

var (
	_ backend.Backend     = (*copyingBackend)(nil)
	_ meta.MetadataStorer = (*copyingMeta)(nil)
)

func (m *copyingMeta) StoreAttribute(f *os.File, bucket, object, attribute string, value []byte) error {
	if source, copied := m.copies.Load(f); f != nil && copied {
		switch attribute {
		case attrETag:
			value = source.(sourceState).etag
		case attrChecksums:
			value = source.(sourceState).checksums
		}
	}
	return m.XattrMeta.StoreAttribute(f, bucket, object, attribute, value)
}

// CopyObject leaves what is not a plain copy of a whole object, and every fault, to the gateway.
func (b *copyingBackend) CopyObject(ctx context.Context, input s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	source := openCopySource(&input, b.attributes)
	if source == nil {
		return b.Posix.CopyObject(ctx, input)
	}
	defer source.file.Close()

	put := s3response.PutObjectInput{
		Bucket: input.Bucket, Key: input.Key, Body: bytes.NewReader(nil), WebsiteRedirectLocation: input.WebsiteRedirectLocation,
		ContentLength: new(int64),
	}
	inherited := append([]string{attrParts}, attrsDescribing...)
	if string(input.MetadataDirective) == "REPLACE" {
		inherited = []string{attrParts}
		put.ContentType, put.ContentEncoding, put.ContentLanguage = input.ContentType, input.ContentEncoding, input.ContentLanguage
		put.ContentDisposition, put.CacheControl, put.Expires = input.ContentDisposition, input.CacheControl, input.Expires
		put.Metadata = input.Metadata
	}
	switch string(input.TaggingDirective) {
	case "REPLACE":
		put.Tagging = input.Tagging
	case "COPY":
		inherited = append(inherited, attrTags)
	}
	var to *os.File
	defer func() { b.attributes.copies.Delete(to) }()
	_, err := b.PutObjectWithPostFunc(ctx, put, func(f *os.File) error {
		to = f
		b.attributes.copies.Store(to, source.state)
		if n, err := io.Copy(to, source.file); err != nil || n != source.info.Size() {
			return fmt.Errorf("copying %d of %d bytes: %w", n, source.info.Size(), err)
		}
		return b.attributes.inherit(source.file, to, inherited)
	})
	if err != nil {
		return s3response.CopyObjectOutput{}, err
	}
	info, err := os.Stat(filepath.Join(*input.Bucket, *input.Key))
	if err != nil {
		return s3response.CopyObjectOutput{}, fmt.Errorf("looking at the copy: %w", err)
	}
	etag, modified := string(source.state.etag), info.ModTime()
	return s3response.CopyObjectOutput{CopyObjectResult: &s3response.CopyObjectResult{
		ETag: &etag, LastModified: &modified,
		ChecksumCRC32: source.sums.CRC32, ChecksumCRC32C: source.sums.CRC32C, ChecksumCRC64NVME: source.sums.CRC64NVME,
		ChecksumSHA1: source.sums.SHA1, ChecksumSHA256: source.sums.SHA256, ChecksumSHA512: source.sums.SHA512,
		ChecksumMD5: source.sums.MD5, ChecksumXXHASH64: source.sums.XXHASH64, ChecksumXXHASH3: source.sums.XXHASH3,
		ChecksumXXHASH128: source.sums.XXHASH128, ChecksumType: source.sums.Type,
	}}, nil
}

func (m *copyingMeta) inherit(from, to *os.File, attributes []string) error {
	for _, name := range attributes {
		value, err := m.RetrieveAttribute(from, "", "", name)
		if err != nil {
			continue // most objects have few of them
		}
		if err := m.XattrMeta.StoreAttribute(to, "", "", name, value); err != nil {
			return fmt.Errorf("storing attribute %q: %w", name, err)
		}
	}
	return nil
}

// copySource is an object in the state in which it is copied, whatever takes its place meanwhile.
type copySource struct {
	file  *os.File
	info  os.FileInfo
	state sourceState
	sums  s3response.Checksum
}

// openCopySource returns nil where the gateway should see to the request.
func openCopySource(input *s3response.CopyObjectInput, attributes *copyingMeta) *copySource {
	if input.Bucket == nil || input.Key == nil || input.CopySource == nil || input.ExpectedBucketOwner == nil ||
		input.ChecksumAlgorithm != "" || input.ObjectLockMode != "" || input.ObjectLockLegalHoldStatus != "" ||
		(input.ExpectedSourceBucketOwner != nil && *input.ExpectedSourceBucketOwner != "") {
		return nil
	}
	bucket, key, version, err := backend.ParseCopySource(*input.CopySource)
	if err != nil || version != "" || !filepath.IsLocal(key) || strings.ContainsAny(bucket, `/\`) || strings.HasPrefix(bucket, ".") ||
		strings.HasSuffix(key, "/") || strings.HasSuffix(*input.Key, "/") {
		return nil
	}
	from, to := filepath.Join(bucket, key), filepath.Join(*input.Bucket, *input.Key)
	if from == to {
		return nil
	}
	file, err := os.Open(from)
	if err != nil {
		return nil
	}
	source := &copySource{file: file}
	if !source.read(attributes) || backend.EvaluatePreconditions(string(source.state.etag), source.info.ModTime(), backend.PreConditions{
		IfMatch: input.CopySourceIfMatch, IfNoneMatch: input.CopySourceIfNoneMatch,
		IfModSince: input.CopySourceIfModifiedSince, IfUnmodeSince: input.CopySourceIfUnmodifiedSince,
	}) != nil {
		file.Close()
		return nil
	}
	return source
}

// read reports whether the gateway has told all of the object's state.
func (s *copySource) read(attributes *copyingMeta) bool {
	var err error
	if s.info, err = s.file.Stat(); err != nil || !s.info.Mode().IsRegular() || s.info.Size() > s3MaxCopyBytes {
		return false
	}
	if s.state.etag, err = attributes.RetrieveAttribute(s.file, "", "", attrETag); err != nil || len(s.state.etag) == 0 {
		return false
	}
	if s.state.checksums, err = attributes.RetrieveAttribute(s.file, "", "", attrChecksums); err != nil {
		return false
	}
	return json.Unmarshal(s.state.checksums, &s.sums) == nil
}
