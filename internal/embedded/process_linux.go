package embedded

import (
	"os"
	"syscall"
)

// diesWithParent asks the kernel to signal the child when the thread that started it ends.
func diesWithParent(attr *syscall.SysProcAttr, sig os.Signal) *syscall.SysProcAttr {
	if attr == nil {
		attr = &syscall.SysProcAttr{}
	}
	attr.Setpgid = true
	attr.Pdeathsig = sig.(syscall.Signal)
	return attr
}

// inUserNamespace makes root an ordinary user of the child's own namespace, without any privilege and
// still the owner of root's files.
func inUserNamespace() *syscall.SysProcAttr {
	const uid = 1000
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getegid(), Size: 1}},
	}
}
