package sftptest

import "syscall"

// dieWithParent has the kernel end a daemon whose test binary was killed and
// could not clean up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
