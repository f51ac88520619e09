package tableupkeep

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// manifestCache keeps manifests in memory from one look at the table to the next. They never change, one run
// reads each several times, and a commit has to be made before a writer makes the next.
type manifestCache struct {
	mu    sync.Mutex
	files map[string]*cached
}

type cached struct {
	content []byte
	used    bool
}

// around puts the cache between a table and its store.
func (c *manifestCache) around(open table.FSysF) table.FSysF {
	return func(ctx context.Context) (icebergio.IO, error) {
		store, err := open(ctx)
		if err != nil {
			return nil, err
		}
		full, ok := store.(fullIO)
		if !ok {
			return store, nil
		}
		if bulk, ok := store.(icebergio.BulkRemovableIO); ok {
			return bulkCachingIO{cachingIO{full, c}, bulk}, nil
		}
		return cachingIO{full, c}, nil
	}
}

// sweep forgets what the last run did not use.
func (c *manifestCache) sweep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, f := range c.files {
		if !f.used {
			delete(c.files, name)
		}
		f.used = false
	}
}

type fullIO interface {
	icebergio.WriteFileIO
	icebergio.ListableIO
}

type cachingIO struct {
	fullIO
	cache *manifestCache
}

// bulkCachingIO is for stores that remove many files in one request.
type bulkCachingIO struct {
	cachingIO
	bulk icebergio.BulkRemovableIO
}

func (b bulkCachingIO) DeleteFiles(ctx context.Context, names []string) ([]string, error) {
	return b.bulk.DeleteFiles(ctx, names)
}

func (c cachingIO) Open(name string) (icebergio.File, error) {
	if !strings.HasSuffix(name, ".avro") {
		return c.fullIO.Open(name)
	}
	c.cache.mu.Lock()
	kept := c.cache.files[name]
	if kept != nil {
		kept.used = true
	}
	c.cache.mu.Unlock()
	if kept != nil {
		return &memoryFile{bytes.NewReader(kept.content), name}, nil
	}
	file, err := c.fullIO.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	if c.cache.files == nil {
		c.cache.files = map[string]*cached{}
	}
	c.cache.files[name] = &cached{content, true}
	return &memoryFile{bytes.NewReader(content), name}, nil
}

// memoryFile is a manifest that is in memory.
type memoryFile struct {
	*bytes.Reader
	name string
}

func (f *memoryFile) Close() error               { return nil }
func (f *memoryFile) Stat() (fs.FileInfo, error) { return memoryInfo{f.name, f.Size()}, nil }

type memoryInfo struct {
	name string
	size int64
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.size }
func (i memoryInfo) Mode() fs.FileMode  { return 0 }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return false }
func (i memoryInfo) Sys() any           { return nil }
