package postgresexport

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/redpanda-data/benthos/v4/public/service"

	"github.com/shop-connect/shop-connect/internal/columns"
	"github.com/shop-connect/shop-connect/internal/parquetfile"
)

const (
	contentType = "application/vnd.apache.parquet"
	// partBytes is how much of the object is held until it is on its way; 10,000 of them are an object's most.
	partBytes = 16 << 20
	// groupBytes ends a row group whose rows are long.
	groupBytes = 32 << 20
)

// file is the object on its way. It is a multipart upload: nobody sees it before it is whole, nor ever
// where its export ends early.
type file struct {
	p       *processor
	key     string
	decoder *columns.Decoder
	batch   *columns.Batch
	values  []byte
	ends    []int
	refused service.MessageBatch
	writer  *parquetfile.Writer
	upload  *upload // nil until there is a row group
	report  report
	told    time.Time
}

func (p *processor) newFile(key string) *file {
	return &file{
		p: p, key: key,
		decoder: columns.NewDecoder(p.contract, columns.Typed, p.shop), batch: columns.NewBatch(p.contract, 0),
		writer: p.layout.NewWriter(parquetfile.Zstd),
	}
}

// add takes a row, whose bytes are the caller's again afterwards.
func (f *file) add(ctx context.Context, row []byte, changedAt int64) error {
	pos := columns.Position{Offset: f.report.RowsIn, Timestamp: changedAt}
	f.report.RowsIn++
	reasons, err := f.decoder.Append(f.batch, row, pos, 0)
	if err != nil {
		return err
	}
	if len(reasons) > 0 {
		msg := service.NewMessage(append([]byte(nil), row...))
		f.refused = append(f.refused, f.p.refused.Mark(msg, pos, f.p.contract, reasons))
		f.report.RowsRefused++
	} else {
		f.values = append(f.values, row...)
		f.ends = append(f.ends, len(f.values))
		f.report.RowsOut++
	}
	if f.batch.Len < parquetfile.RowGroupRows && len(f.values) < groupBytes && len(f.refused) < maxRefused {
		return nil
	}
	return f.flush(ctx)
}

// maxRefused bounds the refused rows in memory.
const maxRefused = 1000

// flush writes what is at hand, refused rows first (I4).
func (f *file) flush(ctx context.Context) error {
	if err := f.p.refused.Write(ctx, f.refused); err != nil {
		return err
	}
	f.refused = f.refused[:0]
	if f.batch.Len == 0 {
		return nil
	}
	if f.upload == nil {
		f.upload = f.p.startUpload(ctx, f.key)
		f.writer.Begin(f.upload)
	}
	err := f.writer.WriteRowGroup(f.batch, f.value)
	f.batch.Reset()
	f.values, f.ends = f.values[:0], f.ends[:0]
	return err
}

func (f *file) value(row int32) []byte {
	begin := 0
	if row > 0 {
		begin = f.ends[row-1]
	}
	return f.values[begin:f.ends[row]]
}

// finish makes the object visible, if there is a row in it.
func (f *file) finish(ctx context.Context) (minio.UploadInfo, error) {
	if err := f.flush(ctx); err != nil || f.upload == nil {
		return minio.UploadInfo{}, err
	}
	if err := f.writer.End(); err != nil {
		return minio.UploadInfo{}, err
	}
	info, err := f.upload.finish(nil)
	f.report.Key, f.report.Bytes = f.key, info.Size
	return info, err
}

// abandon takes back an object that is not finished.
func (f *file) abandon() {
	if f.upload != nil {
		_, _ = f.upload.finish(errCancelled)
	}
}

// upload is what is written to it, on its way to the store.
type upload struct {
	*io.PipeWriter
	done chan struct{}
	info minio.UploadInfo
	err  error
}

func (p *processor) startUpload(ctx context.Context, key string) *upload {
	reader, writer := io.Pipe()
	u := &upload{PipeWriter: writer, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		u.info, u.err = p.objects.PutObject(ctx, p.bucket, key, reader, -1, minio.PutObjectOptions{ContentType: contentType, PartSize: partBytes})
		if u.err != nil {
			u.err = fmt.Errorf("writing object s3://%s/%s: %w", p.bucket, key, p.config.objects.Explain(u.err, p.bucket))
		}
		_ = reader.CloseWithError(u.err)
	}()
	return u
}

// finish ends the object, or, given a reason, takes it back. It is safe to call twice: the first counts.
func (u *upload) finish(reason error) (minio.UploadInfo, error) {
	_ = u.CloseWithError(reason)
	<-u.done
	return u.info, u.err
}
