// Package smb is a destination on a share of a file server that speaks SMB 2.1
// to 3.1.1: Windows, Samba, a NAS. Signing and encryption are as the server
// asks; users log in with NTLMv2.
//
// target.go reads where to go, dial.go gets there, session.go watches over the
// connection and trouble.go finds words for what fails. Destination
// (destination.go) is what is written through it.
package smb

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Target is a directory on a share, as a path names it.
type Target struct {
	Host      string // a name or an IP address
	Port      int    // 445 when zero
	Share     string
	Directory string // slash-separated below the share, "" for its root
}

var errForm = errors.New(`a share is written \\server\share\directory or smb://server:port/share/directory`)

// Parse reads \\server\share\dir, also with slashes and in the long form
// \\?\UNC\server\share\dir, and smb://server:port/share/dir, in which a
// percent sign introduces two hexadecimal digits. Users and passwords have no
// place in a path. Its errors never repeat the path, which may hold a password
// all the same.
func Parse(path string) (Target, error) {
	const scheme = "smb://"
	if len(path) >= len(scheme) && strings.EqualFold(path[:len(scheme)], scheme) {
		return parseURL(path[len(scheme):])
	}
	rest, ok := strings.CutPrefix(strings.ReplaceAll(path, `\`, "/"), "//")
	if !ok {
		return Target{}, errForm
	}
	if long, ok := strings.CutPrefix(rest, "?/"); ok {
		if len(long) < 4 || !strings.EqualFold(long[:4], "UNC/") {
			return Target{}, errForm
		}
		rest = long[4:]
	}
	host, rest, _ := strings.Cut(rest, "/")
	if strings.Contains(host, "@") {
		return Target{}, errUserInPath
	}
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return Target{}, errors.New(`after \\ stands a server without a port: write smb://server:port/share/directory`)
	}
	return target(host, 0, rest)
}

var errUserInPath = errors.New("a user or a password has no place in the path of a share; they have settings of their own")

func parseURL(rest string) (Target, error) {
	authority, rest, _ := strings.Cut(rest, "/")
	if strings.Contains(authority, "@") {
		return Target{}, errUserInPath
	}
	host, port := authority, 0
	if strings.HasPrefix(authority, "[") || strings.Contains(authority, ":") {
		h, p, err := net.SplitHostPort(authority)
		if err != nil && strings.HasPrefix(authority, "[") && strings.HasSuffix(authority, "]") {
			h, p, err = authority[1:len(authority)-1], "445", nil
		}
		number, perr := strconv.ParseUint(p, 10, 16)
		if err != nil || perr != nil || number == 0 {
			// What stands there may be a password that holds a slash.
			return Target{}, errors.New("after smb:// stands a server, and behind a colon its port, a number from 1 to 65535; " + errUserInPath.Error())
		}
		host, port = h, int(number)
	}
	if strings.ContainsAny(rest, "?#") {
		return Target{}, errors.New("write ? and # in the path of an smb:// address as %3F and %23")
	}
	path, err := url.PathUnescape(rest)
	if err != nil {
		return Target{}, errors.New("write % in the path of an smb:// address as %25")
	}
	return target(host, port, path)
}

// target checks the parts of a path.
func target(host string, port int, path string) (Target, error) {
	if host == "" || host == "." || strings.ContainsAny(host, " \t\r\n\x00\"<>|?*%") {
		return Target{}, errForm
	}
	share, rest, _ := strings.Cut(path, "/")
	if err := checkShare(share); err != nil {
		return Target{}, err
	}
	var dirs []string
	for dir := range strings.SplitSeq(rest, "/") {
		if dir == "" {
			continue
		}
		if err := checkComponent(dir); err != nil {
			return Target{}, fmt.Errorf("the directory on the share: %w", err)
		}
		dirs = append(dirs, dir)
	}
	return Target{Host: host, Port: port, Share: share, Directory: strings.Join(dirs, "/")}, nil
}

// checkShare refuses what is no name of a share, by the rules of [MS-SRVS].
func checkShare(share string) error {
	switch {
	case share == "":
		return errors.New("the share is missing: " + errForm.Error())
	case strings.EqualFold(share, "IPC$"):
		return errors.New("IPC$ is not a share for files")
	case share == "." || share == ".." || len(share) > 80 || strings.ContainsAny(share, `"/\[]:|<>+=;,*?`) || strings.ContainsFunc(share, isControl):
		return errors.New("this cannot be the name of a share")
	}
	return nil
}

// String gives the path back, as messages show it.
func (t Target) String() string {
	if t.Port != 0 && t.Port != defaultPort {
		return "smb://" + net.JoinHostPort(t.Host, strconv.Itoa(t.Port)) + "/" + strings.TrimSuffix(t.Share+"/"+t.Directory, "/")
	}
	return strings.TrimSuffix(`\\`+t.Host+`\`+t.Share+`\`+backslashed(t.Directory), `\`)
}

func backslashed(name string) string { return strings.ReplaceAll(name, "/", `\`) }
