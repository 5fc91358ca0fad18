package sshclient

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The markers of known_hosts.
const (
	markerAuthority = "@cert-authority"
	markerRevoked   = "@revoked"
)

// blanks separate the fields of a line.
const blanks = " \t"

// knownLine is one line of a known_hosts file.
type knownLine struct {
	number  int
	marker  string        // "" for a host's own key
	hosts   string        // patterns, or one hashed name
	keyType string        // as it is written
	blob    string        // the key in base64
	comment string        // what stands behind it
	key     ssh.PublicKey // nil: it cannot be read, or parsed was not called
}

// splitKnownLine takes a line apart. Blank lines, comments, and what OpenSSH
// passes over (fields are missing, the marker is none) are not ok.
func splitKnownLine(text string) (line knownLine, ok bool) {
	rest := strings.Trim(text, " \t\r\n")
	if rest == "" || rest[0] == '#' {
		return line, false
	}
	if rest[0] == '@' {
		line.marker, rest = nextField(rest)
		if line.marker != markerAuthority && line.marker != markerRevoked {
			return line, false
		}
	}
	line.hosts, rest = nextField(rest)
	line.keyType, rest = nextField(rest)
	line.blob, line.comment = nextField(rest)
	return line, line.blob != "" && line.hosts[0] != '@'
}

// nextField cuts off what stands before the first blanks.
func nextField(s string) (field, rest string) {
	i := strings.IndexAny(s, blanks)
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], blanks)
}

// parsed is the line with its key, if it can be read.
func (l knownLine) parsed() knownLine {
	blob, err := base64.StdEncoding.DecodeString(l.blob)
	if err != nil {
		return l
	}
	key, err := ssh.ParsePublicKey(blob)
	if err == nil && key.Type() == keyTypeOf(l.keyType) {
		l.key = key
	}
	return l
}

// isKey tells whether the line holds a key of the host itself.
func (l knownLine) isKey() bool { return l.marker == "" && l.key != nil }

// names tells whether the line is for the host of this name. As in OpenSSH, a
// pattern covers the whole name, brackets and port included.
func (l knownLine) names(name string) bool {
	if l.hosts[0] == '|' {
		matches, ok := hashedHost(l.hosts)
		return ok && matches(name)
	}
	found := false
	for pattern := range strings.SplitSeq(l.hosts, ",") {
		pattern, negated := strings.CutPrefix(pattern, "!")
		if !matchPattern(strings.ToLower(pattern), name) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// matchPattern matches with '*' and '?' (PATTERNS in ssh_config(5)). It goes
// back to the last '*' only, so that no pattern takes more than the product of
// both lengths.
func matchPattern(pattern, s string) bool {
	p, i := 0, 0
	star, resume := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			resume++
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// foreignKeyType tells whether keys of this type cannot be used here at all.
func foreignKeyType(name string) bool {
	switch keyTypeOf(name) {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoRSA, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
		typeDSA, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return false
	}
	return true
}

// hashedHost reads a hashed name, "|1|salt|hash": HMAC-SHA1 of the name under
// the salt (ssh-keygen -H).
func hashedHost(field string) (matches func(host string) bool, ok bool) {
	parts := strings.Split(field, "|")
	if len(parts) != 4 || parts[0] != "" || parts[1] != "1" {
		return nil, false
	}
	salt, err1 := base64.StdEncoding.DecodeString(parts[2])
	want, err2 := base64.StdEncoding.DecodeString(parts[3])
	if err1 != nil || err2 != nil {
		return nil, false
	}
	return func(host string) bool {
		mac := hmac.New(sha1.New, salt)
		mac.Write([]byte(host))
		return hmac.Equal(mac.Sum(nil), want)
	}, true
}
