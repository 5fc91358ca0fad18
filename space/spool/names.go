package spool

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pkg/sftp"
)

// Inboxes of an earlier version had files of such names on the disk: of uploads that
// were not complete, and of those that waited behind others. Clients may not use them.
const (
	reserved      = ".uploading."
	reservedLater = ".later."
)

// Bounds on names. What a client may upload has to fit a destination.
const (
	maxName  = 255 - len(reserved) // bytes
	maxPath  = 4096                // bytes
	maxDepth = 64
	// maxNames bounds the names of all files and directories of a spool, which are in
	// memory: empty files cost no quota.
	maxNames = 32 << 20 // bytes
)

// clean gives the name of a path that a client sent; "" is the top. pkg/sftp has resolved "." and ".." below the client's "/" already.
func clean(p string) (string, error) {
	name := strings.TrimPrefix(path.Clean("/"+p), "/")
	if name == "" {
		return "", nil
	}
	if len(name) > maxPath {
		return "", refuse(sftp.ErrSSHFxFailure, fmt.Sprintf("the path is longer than %d bytes", maxPath))
	}
	parts := strings.Split(name, "/")
	if len(parts) > maxDepth {
		return "", refuse(sftp.ErrSSHFxFailure, fmt.Sprintf("the path is deeper than %d directories", maxDepth))
	}
	for _, base := range parts {
		if err := checkBase(base); err != nil {
			return "", err
		}
	}
	return name, nil
}

func checkBase(base string) error {
	if isReserved(base) {
		return refuse(sftp.ErrSSHFxPermissionDenied, "Permission denied: names that begin with "+reserved+" or "+reservedLater+" are the server's")
	}
	if strings.IndexByte(base, 0) >= 0 {
		return refuse(sftp.ErrSSHFxFailure, "the name has a NUL byte")
	}
	if isUnsafe(base) { // what is acknowledged has to be imported one day
		return refuse(sftp.ErrSSHFxFailure, `names are UTF-8, without \: this one cannot be imported`)
	}
	if len(base) > maxName {
		return refuse(sftp.ErrSSHFxFailure, fmt.Sprintf("the name is longer than %d bytes", maxName))
	}
	return checkPlatform(base)
}

// isUnsafe reports whether a name is none that a pass takes.
func isUnsafe(name string) bool { return !utf8.ValidString(name) || strings.Contains(name, `\`) }

// cutReserved gives the plain name of an upload that was not complete, in an inbox of
// an earlier version.
func cutReserved(base string) (plain string, ok bool) {
	if len(base) < len(reserved) || !strings.EqualFold(base[:len(reserved)], reserved) {
		return base, false
	}
	return base[len(reserved):], true
}

// cutLater gives the plain name and the place of an upload that waited behind others:
// its name has three digits in base 36 behind reservedLater, and a dot.
func cutLater(base string) (plain string, place int, ok bool) {
	const head = len(reservedLater) + len("000.")
	if len(base) <= head || base[:len(reservedLater)] != reservedLater || base[head-1] != '.' {
		return base, 0, false
	}
	n, err := strconv.ParseUint(base[len(reservedLater):head-1], 36, 32)
	if err != nil {
		return base, 0, false
	}
	return base[head:], int(n), true
}

// isReserved reports whether a name is one of the server's own.
func isReserved(base string) bool {
	if _, ok := cutReserved(base); ok {
		return true
	}
	return len(base) >= len(reservedLater) && strings.EqualFold(base[:len(reservedLater)], reservedLater)
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

// below reports whether name lies below dir.
func below(name, dir string) bool { return dir == "" || strings.HasPrefix(name, dir+"/") }
