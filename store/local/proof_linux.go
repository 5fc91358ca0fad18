package local

import "golang.org/x/sys/unix"

// renameProving renames a file of dir and leaves a whiteout under its old name, in one
// step: overlay file systems want such things to be possible (renameat2(2)). The error
// may be that the file system cannot do it.
func renameProving(dir *directory, from, to string, replace bool) error {
	flags := uint(unix.RENAME_WHITEOUT)
	if !replace {
		flags |= unix.RENAME_NOREPLACE
	}
	return ignoringEINTR(func() error { return unix.Renameat2(dir.fd(), from, dir.fd(), to, flags) })
}

// proves reports whether a whiteout stands under the name: a character device without a
// number, which nobody can open.
func (d *directory) proves(name string) bool {
	var s unix.Stat_t
	err := ignoringEINTR(func() error { return unix.Fstatat(d.fd(), name, &s, unix.AT_SYMLINK_NOFOLLOW) })
	return err == nil && s.Mode&unix.S_IFMT == unix.S_IFCHR && s.Rdev == 0
}
