//go:build linux

package powerfs

import (
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// calls answers the kernel. What it does not answer itself is not supported.
type calls struct {
	nameCalls
	fileCalls
	unsupported
}

// unsupported puts its methods one deeper than those that go before them.
type unsupported struct{ fuse.RawFileSystem }

func newCalls(f *FS) *calls {
	return &calls{nameCalls{f}, fileCalls{f}, unsupported{fuse.NewDefaultRawFileSystem()}}
}

func (c *calls) String() string { return "powerfs" }

const (
	eEXIST          = fuse.Status(syscall.EEXIST)
	eNOSPC          = fuse.Status(syscall.ENOSPC)
	eSTALE          = fuse.Status(syscall.ESTALE)
	eNOTEMPTY       = fuse.Status(syscall.ENOTEMPTY)
	eNOTSUPP        = fuse.Status(syscall.EOPNOTSUPP)
	renameNoReplace = 1 // RENAME_NOREPLACE
	renameExchange  = 2 // RENAME_EXCHANGE
)

// call is one call of the kernel.
type call struct {
	op          Op
	header      *fuse.InHeader
	interrupted <-chan struct{}
	name        string // in the directory that the header names, if it has a name

	// A second name, of renames.
	toDir  uint64
	toName string
}

// begin makes faults take effect, and gives the inode of the call with mu held if
// all is well, else without.
func (f *FS) begin(c call) (*inode, fuse.Status) {
	f.mu.Lock()
	i, status := f.find(c.header.NodeId)
	if !status.Ok() {
		f.mu.Unlock()
		return nil, status
	}
	v := f.faults.judge(c.op, func() []string { return f.paths(c, i) })
	if v.delay > 0 {
		epoch := f.epoch
		f.mu.Unlock()
		if !v.wait(c.interrupted, c.header.Pid) {
			return nil, fuse.EINTR
		}
		f.mu.Lock()
		i, status = f.find(c.header.NodeId)
		if status.Ok() && f.epoch != epoch {
			status = fuse.EIO
		}
	}
	if v.errno != 0 && status.Ok() {
		status = fuse.Status(v.errno)
	}
	if !status.Ok() {
		f.mu.Unlock()
		return nil, status
	}
	return i, fuse.OK
}

// find gives the inode that the kernel calls node.
func (f *FS) find(node uint64) (*inode, fuse.Status) {
	if f.dead {
		return nil, fuse.EIO
	}
	if i := f.inodes.byNode[node]; i != nil {
		return i, fuse.OK
	}
	return nil, eSTALE
}

// paths are what a call is about.
func (f *FS) paths(c call, i *inode) []string {
	path := i.path()
	if c.name == "" {
		return []string{path}
	}
	paths := []string{join(path, c.name)}
	if to := f.inodes.byNode[c.toDir]; to != nil {
		paths = append(paths, join(to.path(), c.toName))
	}
	return paths
}
