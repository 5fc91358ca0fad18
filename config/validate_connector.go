package config

import (
	"encoding/base64"
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The bounds of a connector's numbers.
const (
	maxName        = 100 // bytes of a connector's name
	maxConnections = 64
	maxSettle      = 24 * time.Hour
	minRetention   = time.Hour
)

// validateName checks the name of a kind of thing whose files are named after
// it; limit is in bytes. folded maps the names so far, as a file system that
// folds case sees them, and all is where they stand.
func validateName(kind, name string, limit int, at *place, folded map[string]string, all *place) {
	at.bad = false // a mistake in the value says nothing about the name
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r)
	}
	fold := strings.TrimRight(strings.ToLower(name), ".") // Windows drops dots at the end
	switch other, taken := folded[fold]; {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }):
		at.fail("not a %s's name; allowed: letters, digits, '-', '_' and '.'", kind)
	case len(name) > limit:
		at.fail("the name is too long; allowed: %d characters", limit)
	case fold == "" || !filepath.IsLocal(name):
		at.fail("not a %s's name, since files are named after it; allowed: another name", kind)
	case taken:
		at.fail("the same file name as the %s %s of line %d on some systems; allowed: a name that differs in more than its case", kind, quote(other), all.at(other).line)
	default:
		folded[fold] = name
	}
}

// validate checks one connector by itself.
func (c *Connector) validate(at *place) {
	c.SFTP.validate(at.at("sftp"))
	c.Files.validate(at.at("files"), c.Uploads())
	if c.Retention.Std() < minRetention {
		at.at("retention").refuse("too short; allowed: 1h and more")
	}
	c.InterApp.validate(at.at("interapp"))
}

// validate checks the names of DataMiner classes and properties.
func (i InterApp) validate(at *place) {
	validateClass(i.RequestClass, at.at("request_class"))
	validateClass(i.ReplyClass, at.at("reply_class"))
	p, at := i.Properties, at.at("properties")
	validateProperties(at, property{"file_name_filter", p.FileNameFilter}, property{"file_time_from", p.FileTimeFrom},
		property{"file_time_to", p.FileTimeTo}, property{"timeout", p.Timeout})
	validateProperties(at, property{"success", p.Success}, property{"description", p.Description},
		property{"file_names", p.FileNames}, property{"destination_directory_path", p.DestinationDirectoryPath})
}

// property is a key of interapp.properties, and the name it has in .NET.
type property struct{ key, name string }

// validateProperties checks the names of the properties of one class. DataMiner
// compares them without case.
func validateProperties(at *place, properties ...property) {
	odd := func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	taken := make(map[string]string)
	for _, p := range properties {
		folded := strings.ToLower(p.name)
		switch at := at.at(p.key); {
		case p.name == "" || unicode.IsDigit(rune(p.name[0])) || strings.ContainsFunc(p.name, odd):
			at.refuse("not a property name; allowed: letters, digits and '_', no digit in front, such as fileNameFilter")
		case slices.Contains([]string{"brokerreturnaddress", "expectsreply", "guid", "returnaddress", "source"}, folded):
			at.refuse("every message has a property of this name; allowed: another name")
		case taken[folded] != "":
			at.refuse("the same name as that of %s; allowed: a name of its own", taken[folded])
		}
		taken[folded] = p.key
	}
}

// validateClass checks the name of a .NET class. A comma would end it in a $type.
func validateClass(class string, at *place) {
	foreign := func(r rune) bool { return r <= ' ' || strings.ContainsRune(`,[]"`, r) }
	if class == "" || strings.ContainsFunc(class, foreign) {
		at.refuse("not a class name; allowed: a name such as GetFilesRequest or Acme.Sftp.GetFilesRequest")
	}
}

// validate checks the "SFTP Configuration".
func (s SFTP) validate(at *place) {
	s.validateServer(at)
	s.HostKey.validate(at.at("host_key"))
	if s.Connections < 0 || s.Connections > maxConnections {
		at.at("connections").refuse("out of range; allowed: 0 (as many as pay) to %d", maxConnections)
	}
	s.validateJump(at)
}

// checkHost gives what is wrong with the name or address of a server, or "".
// The text may hold a password that was put into a URL: it is not repeated.
func checkHost(host string) string {
	const allowed = "; allowed: a name, an IPv4 address, or an IPv6 address without brackets"
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	switch {
	case strings.Contains(host, "://"):
		return "a URL" + allowed
	case strings.Contains(host, "@"):
		return "has a user in it; the key username takes it" + allowed
	case strings.Count(host, ":") == 1:
		return "has a port in it; the key port takes it" + allowed
	case host == "" || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || strings.ContainsRune("[]:/\\,\x7f", r) }):
		return "not a host" + allowed
	}
	return ""
}

// maxHostKeys bounds the fingerprints of one server; sshd shows about four keys.
const maxHostKeys = 16

// validate checks the ways to check a host key.
func (k HostKey) validate(at *place) {
	if len(k) == 0 || len(k) > maxHostKeys {
		at.fail("a list of %d; allowed: up to %d fingerprints SHA256:…, or one of the words known-hosts, accept-new", len(k), maxHostKeys)
		return
	}
	for i, text := range k {
		item := at
		if part := at.parts["["+strconv.Itoa(i)+"]"]; part != nil {
			item = part
		}
		switch {
		case validFingerprint(text):
		case len(k) > 1 && validHostKey(text):
			item.refuse("stands alone; allowed in a list: SHA256:… (43 characters, as ssh-keygen -l prints them)")
		case !validHostKey(text):
			item.refuse("not understood; allowed: known-hosts, accept-new, SHA256:… (43 characters, as ssh-keygen -l prints them), or a list of these fingerprints")
		}
	}
}

// validHostKey reports whether text is a way to check a host key.
func validHostKey(text string) bool {
	return text == HostKeyKnownHosts || text == HostKeyAcceptNew || validFingerprint(text)
}

// validFingerprint takes what ssh-keygen -l prints: SHA-256 in base64 without padding.
func validFingerprint(text string) bool {
	fingerprint, ok := strings.CutPrefix(text, "SHA256:")
	if !ok || len(fingerprint) != 43 || strings.ContainsAny(fingerprint, "\r\n") {
		return false
	}
	_, err := base64.RawStdEncoding.Strict().DecodeString(fingerprint)
	return err == nil
}

// Jump gives the parts of proxy_jump, [user@]host[:port]. The user is the
// connector's own when none is written, and the port 22. ok is false when
// there is no jump host.
func (s SFTP) Jump() (user, host string, port int, ok bool) {
	user, host, port, err := parseJump(s.ProxyJump)
	if err != nil {
		return "", "", 0, false
	}
	if user == "" {
		user = s.Username
	}
	return user, host, port, true
}

// parseJump reads [user@]host[:port]. As in OpenSSH, the last @ ends the user
// and an IPv6 address stands in brackets.
func parseJump(text string) (user, host string, port int, err error) {
	wrong := errors.New("not understood; allowed: one jump host as user@host:port, an IPv6 address in brackets, and the port from 1 to 65535")
	address := text
	if at := strings.LastIndex(text, "@"); at >= 0 {
		user, address = text[:at], text[at+1:]
		if user == "" || strings.ContainsAny(user, ":/ ") {
			return "", "", 0, wrong
		}
	}
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		if host, digits, err = net.SplitHostPort(address + ":22"); err != nil {
			return "", "", 0, wrong
		}
	}
	number, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || number == 0 {
		return "", "", 0, wrong
	}
	if checkHost(host) != "" {
		return "", "", 0, wrong
	}
	return user, host, int(number), nil
}
