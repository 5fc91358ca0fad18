package spool_test

import "golang.org/x/sys/unix"

// renameWhiteout renames a file, and leaves a whiteout under its old name.
func renameWhiteout(from, to string) error {
	return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_WHITEOUT)
}
