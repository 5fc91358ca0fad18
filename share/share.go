// Package share reads where a directory on a network share lies, for the
// configuration that checks it and the store that goes there: what one takes,
// the other takes too. It is a leaf.
package share

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DefaultPort is that of SMB over TCP.
const DefaultPort = 445

// Target is a directory on a share, as a path names it.
type Target struct {
	Host      string // a name or an IP address
	Port      int    // zero when the path has none
	Share     string
	Directory string // slash-separated below the share, "" for its root
}

// allowed is said of every path that is no share's.
const allowed = `; allowed: \\server\share\directory or smb://server:port/share/directory`

// Parse reads \\server\share\directory, also with slashes and in the long form
// \\?\UNC\server\share\directory, and smb://server:port/share/directory, in which
// a percent sign introduces two hexadecimal digits. Users and passwords have no
// place in a path. What it says is wrong repeats nothing of the path, which may
// hold a password all the same.
func Parse(path string) (Target, error) {
	rest, unc := strings.CutPrefix(strings.ReplaceAll(path, `\`, "/"), "//")
	if !unc {
		return parseURL(path)
	}
	if long := "?/UNC/"; len(rest) > len(long) && strings.EqualFold(rest[:len(long)], long) {
		rest = rest[len(long):]
	}
	host, rest, _ := strings.Cut(rest, "/")
	return target(host, 0, rest)
}

func parseURL(path string) (Target, error) {
	u, err := url.Parse(path)
	switch {
	case err != nil:
		return Target{}, errors.New("not a URL that can be read" + allowed + ", with %25 for a percent sign")
	case u.Scheme != "smb":
		return Target{}, errors.New("not the address of a network share" + allowed)
	case u.User != nil:
		return Target{}, errors.New("has a user in it; the keys system_username and system_password take it" + allowed)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(path, "#"):
		return Target{}, errors.New("has a query or a fragment (? or #)" + allowed + ", with %23 for #")
	}
	port := 0
	if written := u.Port(); written != "" || strings.HasSuffix(u.Host, ":") {
		number, err := strconv.ParseUint(written, 10, 16)
		if err != nil || number == 0 || strconv.FormatUint(number, 10) != written {
			return Target{}, errors.New("the port must be a number from 1 to 65535" + allowed)
		}
		port = int(number)
	}
	return target(u.Hostname(), port, strings.TrimPrefix(u.Path, "/"))
}

// target checks the parts of a path. rest is the share and what is below it; it
// may end in a slash.
func target(host string, port int, rest string) (Target, error) {
	names := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	share, dirs := names[0], names[1:]
	switch {
	case !validHost(host):
		return Target{}, errors.New("has no valid server in it" + allowed)
	case share == "":
		return Target{}, errors.New("has no share in it" + allowed)
	case strings.EqualFold(share, "IPC$"):
		return Target{}, errors.New("has IPC$ in it, which is not a share for files" + allowed)
	case slices.Contains(names, ".") || slices.Contains(names, ".."):
		return Target{}, errors.New("has . or .. in it" + allowed + " without them")
	}
	err := checkShare(share)
	for _, dir := range dirs {
		if err == nil {
			err = CheckName(dir)
		}
	}
	if err != nil {
		return Target{}, fmt.Errorf("has a name in it that no share can hold (%w)%s", err, allowed)
	}
	return Target{Host: host, Port: port, Share: share, Directory: strings.Join(dirs, "/")}, nil
}

// validHost reports whether text may be the name or the address of a server.
func validHost(text string) bool {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Zone() == ""
	}
	odd := func(r rune) bool { return r <= ' ' || strings.ContainsRune("[]:/\\,@\"<>|?*%\x7f", r) }
	return text != "" && text != "." && !strings.ContainsFunc(text, odd)
}

// longestShare is the longest name of a share, in bytes.
const longestShare = 80

// checkShare says why a name is none of a share, by the rules of [MS-SRVS].
func checkShare(name string) error {
	switch {
	case !utf8.ValidString(name):
		return errNotUTF8
	case len(name) > longestShare:
		return fmt.Errorf("that of the share is longer than %d bytes", longestShare)
	case strings.ContainsFunc(name, isControl) || strings.ContainsAny(name, `"/\[]:|<>+=;,*?`) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return errors.New("that of the share has a character that is not allowed there")
	}
	return nil
}

// String gives the path back, as messages show it.
func (t Target) String() string {
	if t.Port != 0 && t.Port != DefaultPort {
		return "smb://" + net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) + "/" + strings.TrimSuffix(t.Share+"/"+t.Directory, "/")
	}
	return strings.TrimSuffix(`\\`+t.Host+`\`+t.Share+`\`+strings.ReplaceAll(t.Directory, "/", `\`), `\`)
}
