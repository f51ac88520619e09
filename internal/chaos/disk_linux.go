package chaos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// smallDiskBytes is what the disk of the server whose disk gets full has.
const smallDiskBytes = 1 << 30

// smallDisk is a file system of its own, in memory, that can be filled without harm to anybody else.
type smallDisk struct{ dir string }

func newSmallDisk(dir string) (*smallDisk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("creating %s: %w", dir, err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", smallDiskBytes)); err != nil {
		return nil, fmt.Errorf("mounting a disk (root alone may): %w", err)
	}
	return &smallDisk{dir}, nil
}

func (d *smallDisk) filler() string { return filepath.Join(d.dir, ".filler") }

// fill leaves not a byte.
func (d *smallDisk) fill() error {
	file, err := os.Create(d.filler())
	if err != nil {
		return fmt.Errorf("filling the disk: %w", err)
	}
	defer file.Close()
	for size := 1 << 20; size >= 1; {
		_, err := file.Write(make([]byte, size))
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 4
		case err != nil:
			return fmt.Errorf("filling the disk: %w", err)
		}
	}
	return nil
}

func (d *smallDisk) clear() error {
	if err := os.Remove(d.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("making room on the disk: %w", err)
	}
	return nil
}

func (d *smallDisk) close() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) }
