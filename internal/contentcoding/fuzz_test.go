package contentcoding_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/shop-connect/shop-connect/internal/contentcoding"
)

const limit = 64 << 10

// FuzzDecode holds decoders to the standard library: what that reads is read alike, up to the limit; what
// is refused is refused as corrupt or too large, and nothing grows beyond the limit.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{"", "{}", `{"purchases":[]}`} {
		f.Add(zipped(f, []byte(text)), false)
		f.Add(zstandard(f, []byte(text)), true)
	}
	f.Add(zipped(f, make([]byte, 2*limit)), false)
	f.Add(zstandard(f, make([]byte, 2*limit)), true)
	f.Add(append(zipped(f, []byte("a")), zipped(f, []byte("b"))...), false)
	decoders := contentcoding.New(limit)
	f.Fuzz(func(t *testing.T, body []byte, zstandardized bool) {
		name := map[bool]string{false: "gzip", true: "zstd"}[zstandardized]
		decode := decoders.By(name)
		got, err := decode(body)
		if err != nil && !errors.Is(err, contentcoding.ErrCorrupt) && !errors.Is(err, contentcoding.ErrTooLarge) || len(got) > limit {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if !zstandardized {
			want, wantErr := gunzip(body)
			if len(want) > limit {
				wantErr = contentcoding.ErrTooLarge
			}
			if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
				t.Fatalf("%q, %v; want %q, %v", got, err, want, wantErr)
			}
		}
		// whatever the bytes are, they survive being compressed
		pack := map[bool]func(testing.TB, []byte) []byte{false: zipped, true: zstandard}[zstandardized]
		if len(body) > limit {
			return
		}
		if again, err := decode(pack(t, body)); err != nil || !bytes.Equal(again, body) {
			t.Fatalf("compressed and decompressed: %q, %v; want %q", again, err, body)
		}
	})
}

func gunzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, limit+1))
}

func zipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, text []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(text, nil)
}
