package inbox

import (
	"fmt"
	"path"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/pkg/sftp"
)

// reserved begins the names of files on the disk that are not uploaded yet.
const reserved = ".uploading."

// Bounds on names. A reserved name has to fit a file system, too.
const (
	maxName  = 255 - len(reserved) // bytes
	maxPath  = 4096                // bytes
	maxDepth = 64
	// maxNames bounds the names of all files of an inbox, which are in memory: empty
	// files cost no quota.
	maxNames = 32 << 20 // bytes
)

// clean gives the name below the inbox of a path that a client sent; "" is the
// inbox itself. pkg/sftp has resolved "." and ".." below the client's "/" already.
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

// cutReserved gives the plain name of a reserved one. Some file systems do not
// tell upper from lower case, and so neither does this.
func cutReserved(base string) (plain string, ok bool) {
	if len(base) < len(reserved) || !strings.EqualFold(base[:len(reserved)], reserved) {
		return base, false
	}
	return base[len(reserved):], true
}

// isReserved reports whether a name is one of the server's own.
func isReserved(base string) bool {
	if _, ok := cutReserved(base); ok {
		return true
	}
	return len(base) >= len(reservedLater) && strings.EqualFold(base[:len(reservedLater)], reservedLater)
}

// key is what a name is known by in memory: names that are one file are one key.
func key(name string) string {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return strings.ToLower(name)
	}
	return name
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

// below reports whether name lies below dir.
func below(name, dir string) bool { return dir == "" || strings.HasPrefix(name, dir+"/") }
