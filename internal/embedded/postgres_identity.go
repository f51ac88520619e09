package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// identity is who PostgreSQL runs as. It refuses to run as root.
type identity struct {
	attr     func() *syscall.SysProcAttr
	uid, gid int // who owns the cluster's files, as this process sees it
}

// plainIdentity is the caller's own.
func plainIdentity() identity {
	return identity{attr: func() *syscall.SysProcAttr { return nil }, uid: os.Geteuid(), gid: os.Getegid()}
}

// namespaceIdentity is root under another number, within a user namespace of the child's own.
func namespaceIdentity() identity {
	return identity{attr: inUserNamespace, uid: os.Geteuid(), gid: os.Getegid()}
}

// accountIdentity is the account that packages of PostgreSQL create.
func accountIdentity() (identity, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		return identity{}, err
	}
	uid, uidErr := strconv.Atoi(account.Uid)
	gid, gidErr := strconv.Atoi(account.Gid)
	return identity{uid: uid, gid: gid, attr: func() *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}}, errors.Join(uidErr, gidErr)
}

// postgresIdentity picks one that works here: user namespaces are switched off on some machines.
func postgresIdentity(ctx context.Context, programs postgresPrograms) (identity, error) {
	if os.Geteuid() != 0 {
		return plainIdentity(), nil
	}
	if id := namespaceIdentity(); id.attr() != nil && id.works(ctx, programs) {
		return id, nil
	}
	if id, err := accountIdentity(); err == nil && id.works(ctx, programs) {
		return id, nil
	}
	return identity{}, errors.New("PostgreSQL refuses to run as root, and here is neither a user namespace nor an account `postgres` for it: run as an ordinary user, or create that account")
}

func (id identity) works(ctx context.Context, programs postgresPrograms) bool {
	cmd := exec.CommandContext(ctx, filepath.Join(programs.dir, "postgres"), "--version")
	cmd.Dir = "/"
	cmd.SysProcAttr = id.attr()
	return cmd.Run() == nil
}

// own gives path, and all below it, to the identity, and lets it pass through dataDir.
func (id identity) own(dataDir, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading the owner of %s: %w", path, err)
	}
	if id.uid != os.Geteuid() {
		if err := os.Chmod(dataDir, 0o711); err != nil {
			return fmt.Errorf("opening %s to PostgreSQL's account: %w", dataDir, err)
		}
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) == id.uid {
		return nil
	}
	err = filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, id.uid, id.gid)
	})
	if err != nil {
		return fmt.Errorf("giving %s to the user that runs PostgreSQL: %w", path, err)
	}
	return nil
}
