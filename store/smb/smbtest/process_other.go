//go:build !linux

package smbtest

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }

func pause(int) {}

func resume(int) {}
