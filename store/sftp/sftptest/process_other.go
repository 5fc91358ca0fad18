//go:build !linux

package sftptest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }

func pause(int) {}
