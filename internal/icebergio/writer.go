package icebergio

import (
	"bytes"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"
)

const (
	// spillBytes is how much of a file is held before an upload in parts begins. Most files of a
	// commit are smaller and cost one request.
	spillBytes = 16 << 20
	partBytes  = 16 << 20
)

// writer is an object being written. It becomes visible whole, when Close returns without an error.
type writer struct {
	*fileSystem
	name, bucket, key string

	buffer bytes.Buffer
	// parts takes the bytes once there are many; done tells how their upload ended.
	parts  *io.PipeWriter
	done   chan error
	closed bool
}

func (w *writer) Write(p []byte) (int, error) {
	if w.parts != nil {
		n, err := w.parts.Write(p)
		if err != nil {
			return n, pathError("write", w.name, err)
		}
		return n, nil
	}
	w.buffer.Write(p)
	if w.buffer.Len() > spillBytes {
		if err := w.spill(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *writer) spill() error {
	reader, parts := io.Pipe()
	w.parts, w.done = parts, make(chan error, 1)
	go func() {
		_, err := w.client.PutObject(w.ctx, w.bucket, w.key, reader, -1, minio.PutObjectOptions{PartSize: partBytes})
		reader.CloseWithError(err)
		w.done <- err
	}()
	if _, err := w.buffer.WriteTo(parts); err != nil {
		return pathError("write", w.name, err)
	}
	return nil
}

// ReadFrom copies by way of Write.
func (w *writer) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(struct{ io.Writer }{w}, r)
	if err != nil {
		return n, fmt.Errorf("writing %s: %w", w.name, err)
	}
	return n, nil
}

func (w *writer) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if w.parts == nil {
		return w.WriteFile(w.name, w.buffer.Bytes())
	}
	if err := w.parts.Close(); err != nil {
		return pathError("write", w.name, err)
	}
	if err := <-w.done; err != nil {
		return pathError("write", w.name, err)
	}
	return nil
}
