package config

import (
	"cmp"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Share reports whether a valid destination is a network share that takes a
// login of its own, and so no path of this machine. On Windows the system itself
// opens \\server\share when no system_username is given.
func Share(path, systemUsername string) bool {
	return isShare(path) && (systemUsername != "" || !plainUNC(path))
}

// isShare reports whether a path is meant as a place on the network, in the form
// \\server\share or as a URL; checkShare tells whether it is one.
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

// share is what a network path names.
type share struct {
	server   string
	port     string
	elements []string
}

// validateTarget checks a destination that may be a share, and its login.
func validateTarget(path, username string, password Secret, at *place) {
	destination, user, secret := at.at("destination_directory_path"), at.at("system_username"), at.at("system_password")
	if isShare(path) {
		if _, problem := parseShare(path); problem != "" {
			destination.fail("%s", problem)
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

// parseShare reads \\server\share\directory or smb://server:port/share/directory.
// What it says is wrong repeats nothing of the path: it may hold a password.
func parseShare(path string) (s share, problem string) {
	const allowed = `; allowed: \\server\share\directory or smb://server:port/share/directory`
	s.port = "445"
	if isUNC(path) {
		rest := strings.ReplaceAll(path, "/", `\`)[2:]
		if long := `?\UNC\`; len(rest) > len(long) && strings.EqualFold(rest[:len(long)], long) {
			rest = rest[len(long):]
		}
		server, rest, _ := strings.Cut(rest, `\`)
		s.server, s.elements = server, strings.Split(rest, `\`)
	} else {
		u, err := url.Parse(path)
		switch {
		case err != nil:
			return s, "not a URL that can be read" + allowed + ", with %25 for a percent sign"
		case u.Scheme != "smb":
			return s, "not the address of a network share" + allowed
		case u.User != nil:
			return s, "has a user in it; the keys system_username and system_password take it" + allowed
		case u.RawQuery != "" || u.ForceQuery || strings.Contains(path, "#"):
			return s, "has a query or a fragment (? or #)" + allowed + ", with %23 for #"
		case !validPort(u):
			return s, "the port must be a number from 1 to 65535" + allowed
		}
		s.server, s.port = u.Hostname(), cmp.Or(u.Port(), s.port)
		s.elements = strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	}
	if n := len(s.elements); n > 1 && s.elements[n-1] == "" {
		s.elements = s.elements[:n-1] // a separator at the end
	}
	switch {
	case checkHost(s.server) != "" || s.server == "." || strings.ContainsAny(s.server, `"<>|?*%`):
		return s, "has no valid server in it" + allowed
	case s.elements[0] == "":
		return s, "has no share in it" + allowed
	case slices.Contains(s.elements, ".") || slices.Contains(s.elements, ".."):
		return s, "has . or .. in it" + allowed + " without them"
	case len(s.elements[0]) > maxShare || strings.ContainsAny(s.elements[0], "[]+=;,") || slices.ContainsFunc(s.elements, foreign):
		return s, "has a name in it that no share can hold" + allowed
	}
	return s, ""
}

// maxShare is the longest name of a share, in bytes.
const maxShare = 80

// foreign reports whether a name cannot stand on a share, as Windows has it.
func foreign(name string) bool {
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`\/:*?"<>|`, r) }
	return name == "" || strings.ContainsFunc(name, odd) || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ")
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
		s, _ := parseShare(path)
		return strings.ToLower("smb://" + s.server + ":" + s.port + "/" + strings.Join(s.elements, "/"))
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		path = strings.ToLower(path)
	}
	return filepath.ToSlash(path)
}
