package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	lockFile = "lock"
	logsDir  = "logs"

	// orphanTimeout bounds the wait for the children of a process that was killed.
	orphanTimeout = 15 * time.Second
)

// layout is where things lie; both directories are absolute.
type layout struct{ dataDir, cacheDir string }

func (l layout) data(name string) string { return filepath.Join(l.dataDir, name) }
func (l layout) log(name string) string  { return filepath.Join(l.dataDir, logsDir, name+".log") }

// prepareDataDir creates the directory and proves that it can be written to.
func prepareDataDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("locating data directory %q: %w", dir, err)
	}
	if err := os.MkdirAll(filepath.Join(abs, logsDir), 0o700); err != nil {
		return "", fmt.Errorf("creating data directory %s: %w; choose a writable one with --data-dir", abs, err)
	}
	probe, err := os.CreateTemp(abs, ".writable-*")
	if err != nil {
		return "", fmt.Errorf("writing to data directory %s: %w; choose a writable one with --data-dir", abs, err)
	}
	return abs, errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// lockDataDir takes the directory for this process. The children inherit the lock, so it is free only
// once the last server of an earlier process has let go of its files and its port.
func lockDataDir(ctx context.Context, dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock of data directory %s: %w; choose a writable one with --data-dir", dir, err)
	}
	if err := acquire(ctx, f, dir); err != nil {
		f.Close()
		return nil, err
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := errors.Join(f.Truncate(0), writeAt(f, pid)); err != nil {
		f.Close()
		return nil, fmt.Errorf("writing the lock of data directory %s: %w", dir, err)
	}
	return f, nil
}

func writeAt(f *os.File, p []byte) error {
	_, err := f.WriteAt(p, 0)
	return err
}

func acquire(ctx context.Context, f *os.File, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, orphanTimeout)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("locking data directory %s: %w", dir, err)
		}
		if pid := lockHolder(f); pid > 0 && processAlive(pid) {
			return fmt.Errorf("data directory %s is in use by process %d: stop that one, or choose another with --data-dir", dir, pid)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return fmt.Errorf("data directory %s is still held by servers of a process that is gone: %w; find them with `fuser %s`",
				dir, ctx.Err(), f.Name())
		}
	}
}

func lockHolder(f *os.File) int {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	pid, _ := strconv.Atoi(string(bytes.TrimSpace(buf[:n])))
	return pid
}

func processAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// writeFileAtomic leaves either the old file or the whole new one, readable by its owner only.
func writeFileAtomic(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}
