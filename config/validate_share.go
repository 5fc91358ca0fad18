package config

import (
	"cmp"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"sftpconnector/share"
)

// Share reports whether a valid destination is a network share that takes a
// login of its own, and so no path of this machine. On Windows the system itself
// opens \\server\share when no system_username is given.
func Share(path, systemUsername string) bool {
	return isShare(path) && (systemUsername != "" || !plainUNC(path))
}

// isShare reports whether a path is meant as a place on the network, in the form
// \\server\share or as a URL; share.Parse tells whether it is one.
func isShare(path string) bool {
	scheme, _, url := strings.Cut(path, "://")
	return isUNC(path) || url && len(scheme) > 1 && !strings.ContainsAny(scheme, `/\`) // one letter is a drive
}

func isUNC(path string) bool {
	return strings.HasPrefix(path, `\\`) || runtime.GOOS == "windows" && strings.HasPrefix(path, "//")
}

// plainUNC reports whether the system opens a share as it opens any path.
func plainUNC(path string) bool { return runtime.GOOS == "windows" && isUNC(path) }

// onlyLocal is said of a share where there can be none. The share is not
// repeated: its URL may have a password in it.
const onlyLocal = "a network address; allowed: a local path, or the mount point of a share"

// validateTarget checks a destination that may be a share, and its login.
func validateTarget(path, username string, password Secret, at *place) {
	destination, user, secret := at.at("destination_directory_path"), at.at("system_username"), at.at("system_password")
	if isShare(path) {
		if _, err := share.Parse(path); err != nil {
			destination.fail("%v", err)
		}
		switch {
		case username != "" && !validUser(username):
			user.refuse(`not understood; allowed: user, DOMAIN\user or user@domain`)
		case username == "" && !plainUNC(path):
			user.fail(`required with a network share; allowed: user, DOMAIN\user or user@domain`)
		case username == "" && password != "":
			secret.fail("given without a system_username; allowed: both or neither")
		}
		return
	}
	const forShares = `it is for network shares; remove it, or write \\server\share\directory or smb://server/share/directory as destination_directory_path`
	if username != "" {
		user.fail(forShares)
	}
	if password != "" {
		secret.fail(forShares)
	}
	if path == "" {
		destination.fail("required; allowed: the local directory that gets the files, or a network share such as smb://server/share/directory")
	}
}

// validUser reports whether text is user, DOMAIN\user or user@domain.
func validUser(text string) bool {
	domain, user, found := strings.Cut(text, `\`)
	if !found {
		user = text
	}
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
	return user != "" && !strings.HasPrefix(user, "@") && !strings.HasSuffix(user, "@") && !strings.ContainsFunc(user, odd) &&
		(!found || domain != "" && !strings.ContainsFunc(domain, odd))
}

// holds reports whether the directory inner is outer or below it, as far as
// their names tell.
func holds(outer, inner string) bool {
	outer, inner = strings.TrimSuffix(plainPath(outer), "/"), strings.TrimSuffix(plainPath(inner), "/")
	return inner == outer || strings.HasPrefix(inner, outer+"/")
}

// plainPath gives a path with slashes, and in one case where case makes no
// difference.
func plainPath(path string) string {
	if isShare(path) {
		t, err := share.Parse(path)
		if err != nil {
			return strings.ToLower(path)
		}
		return strings.ToLower(fmt.Sprintf("smb://%s:%d/%s/%s", t.Host, cmp.Or(t.Port, share.DefaultPort), t.Share, t.Directory))
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		path = strings.ToLower(path)
	}
	return filepath.ToSlash(path)
}
