//go:build !windows

package main

import (
	"os"
	"runtime"
	"syscall"
)

// peak is the resident memory that a finished process had at most, in bytes.
func peak(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return int64(u.Maxrss) // in bytes there
	}
	return int64(u.Maxrss) << 10
}
