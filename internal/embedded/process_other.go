//go:build !linux

package embedded

import (
	"os"
	"syscall"
)

// diesWithParent cannot ask the kernel here; our own children end when their standard input does.
func diesWithParent(attr *syscall.SysProcAttr, _ os.Signal) *syscall.SysProcAttr {
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setpgid = true
	return attr
}

func inUserNamespace() *syscall.SysProcAttr { return nil }
