package icebergio_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"

	icebergio "github.com/apache/iceberg-go/io"

	_ "github.com/shop-connect/shop-connect/internal/icebergio"
	"github.com/shop-connect/shop-connect/internal/testservers"
)

func TestMain(m *testing.M) { testservers.Main(m) }

func open(t *testing.T) (files icebergio.WriteFileIO, root string) {
	t.Helper()
	config, client := testservers.ObjectStore(t)
	bucket := testservers.Bucket(t, client, "icebergio")
	opened, err := icebergio.LoadFS(t.Context(), map[string]string{
		icebergio.S3EndpointURL: config.Endpoint, icebergio.S3Region: config.Region,
		icebergio.S3AccessKeyID: config.AccessKey, icebergio.S3SecretAccessKey: config.SecretKey,
	}, "s3://"+bucket+"/")
	if err != nil {
		t.Fatal(err)
	}
	return opened.(icebergio.WriteFileIO), "s3://" + bucket + "/"
}

func TestFilesOfEverySizeComeBackAsTheyWere(t *testing.T) {
	files, root := open(t)
	random := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{0, 1, 1 << 20, 16<<20 + 1, 40 << 20} {
		content := make([]byte, size)
		_, _ = random.Read(content)
		name := root + "data/file.parquet"
		w, err := files.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for chunk := content; len(chunk) > 0; {
			n := min(len(chunk), 3<<20)
			if _, err := w.Write(chunk[:n]); err != nil {
				t.Fatal(err)
			}
			chunk = chunk[n:]
		}
		if err := errors.Join(w.Close(), w.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := files.(icebergio.ReadFileIO).ReadFile(name)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d come back, %v", size, len(got), err)
		}
	}
}

func TestRangesAreReadFromAnywhere(t *testing.T) {
	files, root := open(t)
	if err := files.WriteFile(root+"a", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	f, err := files.Open(root + "a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := make([]byte, 4)
	if n, err := f.ReadAt(p, 3); n != 4 || err != nil || string(p) != "3456" {
		t.Errorf("in the middle: %d %v %q", n, err, p)
	}
	if n, err := f.ReadAt(p, 8); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("past the end: %d %v", n, err)
	}
	if _, err := f.Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(f); err != nil || string(rest) != "789" {
		t.Errorf("from the end: %q %v", rest, err)
	}
	info, err := f.Stat()
	if err != nil || info.Size() != 10 || info.Name() != "a" {
		t.Errorf("info %v, %v", info, err)
	}
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	files, root := open(t)
	if _, err := files.Open(root + "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	if _, err := files.(icebergio.ReadFileIO).ReadFile(root + "nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if _, err := files.Open("s3://bucket-alone"); err == nil {
		t.Error("a location without a key is opened")
	}
	if err := files.WriteFile(root+"b", nil); err != nil {
		t.Fatal(err)
	}
	if err := files.Remove(root + "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(root + "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after remove: %v", err)
	}
}
