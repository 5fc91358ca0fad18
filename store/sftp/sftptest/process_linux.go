package sftptest

import "syscall"

// dieWithParent has the kernel end a daemon whose test binary was killed and
// could not clean up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// pause stops a process where it stands.
func pause(pid int) { _ = syscall.Kill(pid, syscall.SIGSTOP) }
