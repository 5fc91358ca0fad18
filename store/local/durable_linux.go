package local

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// keepsDescriptors: a finished file keeps its descriptor until Sync.
const keepsDescriptors = true

// syncDevice makes all that was written to the file system of f durable. It
// trusts syncfs(2) only with kernels that tell of errors, and on file systems that
// are known to wait for the disk: network and FUSE file systems need not.
func syncDevice(f *os.File) bool {
	ok := false
	control(f, func(fd int) { ok = syncFileSystem(fd) })
	return ok
}

func (f *file) syncDevice() bool { return syncFileSystem(f.fd) }

func syncFileSystem(fd int) bool {
	var s unix.Statfs_t
	return kernelTells() && unix.Fstatfs(fd, &s) == nil && syncfsWaits(uint32(s.Type)) && unix.Syncfs(fd) == nil
}

// syncfsWaits reports whether syncfs(2) on a file system of this magic number waits
// for the disk, and tells of each write that failed.
func syncfsWaits(magic uint32) bool {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC,
		unix.TMPFS_MAGIC, unix.F2FS_SUPER_MAGIC:
		return true
	}
	return false // on overlayfs, write errors are noted at the file system below it
}

// kernelTells reports whether syncfs(2) of this kernel tells of writes that failed.
func kernelTells() bool {
	var u unix.Utsname
	return unix.Uname(&u) == nil && syncfsTells(unix.ByteSliceToString(u.Release[:]))
}

// syncfsTells says so of a kernel's release: since Linux 5.8 (syncfs(2)). One that
// is not understood is taken for an older one.
func syncfsTells(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
}

// renameNew gives a file of dir a name in another directory, or in dir itself,
// and fails with fs.ErrExist when that is taken.
func renameNew(dir *directory, from string, other *directory, to string) error {
	err := ignoringEINTR(func() error {
		return unix.Renameat2(dir.fd(), from, other.fd(), to, unix.RENAME_NOREPLACE)
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return renameLooking(dir, from, other, to)
	}
	return err
}

// device tells the file systems below a destination apart.
func device(f *os.File) uint64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Dev
	}
	return 0
}

func control(f *os.File, do func(fd int)) {
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { do(int(fd)) })
	}
}
