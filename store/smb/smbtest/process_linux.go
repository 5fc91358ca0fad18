package smbtest

import "syscall"

// dieWithParent has the kernel end a server whose test binary was killed and
// could not clean up.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// pause stops a process where it stands.
func pause(pid int) { _ = syscall.Kill(pid, syscall.SIGSTOP) }

func resume(pid int) { _ = syscall.Kill(pid, syscall.SIGCONT) }
