package sync

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// TemporaryNames are the base names that uploaders and editors give to files
// that are not finished. A pass leaves them alone. They are compared without case.
func TemporaryNames() []string {
	return []string{
		"*.filepart", "*.part", "*.partial", "*.tmp", "*.temp", "*.crdownload",
		"*.download", "*.uploading", "*.inprogress", "*.lftp-pget-status",
		".*.swp", ".*.swx", "*~", ".~*", "~$*", ".nfs*", ".in.*.",
	}
}

// IsTemporary reports whether a base name is one of TemporaryNames.
func IsTemporary(base string) bool { return temporary(TemporaryNames(), base) != "" }

// temporary gives the pattern that makes a base name a temporary one, or "".
func temporary(patterns []string, base string) string {
	lower := strings.ToLower(base)
	for _, t := range patterns {
		if doublestar.MatchUnvalidated(t, lower) {
			return t
		}
	}
	return ""
}

// FoldName gives what names have in common that may be one file where case does
// not count. Servers and systems fold by tables of their own, upwards or
// downwards: either alone leaves letters apart that some of them take for one,
// as σ and the ς at the end of a word, or µ and μ. Where a table knows less than
// Unicode does, this is only stricter than it had to be.
func FoldName(name string) string { return strings.ToLower(strings.ToUpper(name)) }

// Why a name is unsafe.
var (
	errNameEmpty     = errors.New("the name is empty")
	errNameDots      = errors.New("the name . or .. is taken")
	errNameSlash     = errors.New("the name has a slash")
	errNameBackslash = errors.New("the name has a backslash, which separates directories on Windows and network shares")
	errNameNUL       = errors.New("the name has a NUL byte")
	errNameUTF8      = errors.New("the name is not in the encoding of files.name_encoding (UTF-8 unless that says otherwise)")
	errNameLong      = errors.New("the name is longer than 255 bytes")
	ErrPathLong      = errors.New("the path is longer than 4096 bytes")
)

// maxPath is how many bytes a path may have, as on Linux.
const MaxPath = 4096

// isUnsafe reports whether err is one of a name.
func IsUnsafe(err error) bool {
	for _, unsafe := range []error{errNameEmpty, errNameDots, errNameSlash, errNameBackslash, errNameNUL, errNameUTF8, errNameLong, ErrPathLong} {
		if errors.Is(err, unsafe) {
			return true
		}
	}
	return false
}

// checkName says why one component of a path, as a server sent it, must not
// become a name at any destination; nil when it may. The rules are the
// strictest of all destinations, so that a tree means the same on each.
func CheckName(name string) error {
	switch {
	case name == "":
		return errNameEmpty
	case name == "." || name == "..":
		return errNameDots
	case strings.IndexByte(name, '/') >= 0:
		return errNameSlash
	case strings.IndexByte(name, '\\') >= 0:
		return errNameBackslash
	case strings.IndexByte(name, 0) >= 0:
		return errNameNUL
	case len(name) > 255:
		return errNameLong
	case !utf8.ValidString(name):
		return errNameUTF8
	}
	return nil
}

// checkBelow checks that name, as a Lister yielded it, is one component below dir.
func CheckBelow(dir, name string) error {
	if dir == "" {
		return CheckName(name)
	}
	if len(name) <= len(dir) || name[:len(dir)] != dir || name[len(dir)] != '/' {
		return errNameSlash
	}
	if len(name) > MaxPath {
		return ErrPathLong
	}
	return CheckName(name[len(dir)+1:])
}

// join puts name below dir, where "" is the root.
func Join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// Numbered gives a path's n-th name: "x.csv", "x (2).csv", "x (3).csv".
func Numbered(name string, n int) string {
	if n == 1 {
		return name
	}
	dir, base := path.Split(name)
	ext := path.Ext(base)
	if ext == base { // ".profile" is all name
		ext = ""
	}
	return fmt.Sprintf("%s%s (%d)%s", dir, strings.TrimSuffix(base, ext), n, ext)
}
