package sshclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"sftpconnector/durable"
)

// keyVerdict is what a known_hosts file says of a key.
type keyVerdict int

const (
	keyUnknown     keyVerdict = iota // nothing is known of the host
	keyKnown                         // it is one of the host's keys, or certified by its authority
	keyChanged                       // the host has other keys
	keyRevoked                       // marked @revoked
	keyUncertified                   // nothing is known but an authority, and its certificate does not hold
)

// KnownHosts keeps the text of a known_hosts file, in the format of sshd(8), where
// several connectors and processes read and change it. It may be used concurrently.
type KnownHosts interface {
	fmt.Stringer // what messages call it
	// Read gives the text; fs.ErrNotExist where there is none yet.
	Read() (data []byte, version string, err error)
	// Edit replaces the text by what change makes of it, all or nothing. Edits wait
	// for each other.
	Edit(ctx context.Context, change func(old []byte) ([]byte, error)) error
}

// KnownHostsFile is a known_hosts file of at most 16 MiB; nil if path is "". It is made
// with mode 0600 when first needed.
func KnownHostsFile(path string) KnownHosts {
	if path == "" {
		return nil
	}
	return durable.Document{Path: path}
}

// knownHosts is one reading of a known_hosts file.
type knownHosts struct {
	name string // of the file; "" if there is none
	data []byte
}

// readKnownHosts reads the file; a missing one is an empty one.
func readKnownHosts(hosts KnownHosts) (knownHosts, error) {
	if hosts == nil {
		return knownHosts{}, nil
	}
	data, _, err := hosts.Read()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return knownHosts{hosts.String(), data}, err
}

// hostNames gives the names under which a host is looked up: "[host]:port", and
// the host alone. OpenSSH takes the lines of the second where the first has
// none. On port 22 there is only the second.
func hostNames(addr string) (name, bare string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.String() // an IPv6 address has several spellings
	}
	name = knownhosts.Normalize(net.JoinHostPort(host, port))
	if name == host {
		return host, ""
	}
	return name, host
}

// hostLines are the lines that name a host, with its port and without.
type hostLines struct {
	exact, bare []knownLine
}

// lines finds the lines of a host.
func (k knownHosts) lines(addr string) hostLines {
	name, bare := hostNames(addr)
	var found hostLines
	n := 0
	for text := range bytes.Lines(k.data) {
		n++
		line, ok := splitKnownLine(string(text))
		if !ok {
			continue
		}
		line.number = n
		if line.names(name) {
			found.exact = append(found.exact, line.parsed())
		} else if bare != "" && line.names(bare) {
			found.bare = append(found.bare, line.parsed())
		}
	}
	return found
}

// all gives the lines of both names.
func (l hostLines) all() []knownLine {
	return append(l.exact[:len(l.exact):len(l.exact)], l.bare...)
}

// keys gives the plain keys: those of the name with its port, or else without.
func (l hostLines) keys() []ssh.PublicKey {
	var keys []ssh.PublicKey
	for _, lines := range [][]knownLine{l.exact, l.bare} {
		for _, line := range lines {
			if line.isKey() {
				keys = append(keys, line.key)
			}
		}
		if len(keys) > 0 {
			break
		}
	}
	return keys
}

// algorithms gives the types of the host's keys, and whether there is an
// authority for its certificates.
func (k knownHosts) algorithms(addr string) (types []string, authority bool) {
	found := k.lines(addr)
	for _, line := range found.all() {
		authority = authority || line.marker == markerAuthority && line.key != nil
	}
	for _, key := range found.keys() {
		types = append(types, key.Type())
	}
	return types, authority
}

// judge says what the file knows of the host's key, and why. It follows
// check_host_key of OpenSSH's client: a certificate that no authority of the
// host stands for counts as the plain key in it, any of several keys is good,
// and the lines that name the host without its port can only confirm a key.
func (k knownHosts) judge(addr string, key ssh.PublicKey) (keyVerdict, string) {
	found := k.lines(addr)
	if line, ok := revoking(found.all(), key); ok {
		if line.key == nil {
			return keyRevoked, fmt.Sprintf("%s:%d has the marker @revoked and cannot be read", k.name, line.number)
		}
		return keyRevoked, fmt.Sprintf("marked @revoked in %s:%d", k.name, line.number)
	}
	verdict, remark := certifies(found.all(), addr, key)
	if verdict == keyKnown {
		return keyKnown, "certified by an authority in " + k.name
	}
	key = plainKey(key)
	other, known := compareKeys(found.exact, key)
	if !known && other == nil {
		_, known = compareKeys(found.bare, key)
	}
	switch {
	case known:
		return keyKnown, "known in " + k.name
	case other != nil:
		return keyChanged, fmt.Sprintf("%s:%d has %s %s for this host%s",
			k.name, other.number, other.key.Type(), ssh.FingerprintSHA256(other.key), remark)
	case k.name == "":
		return keyUnknown, "is not in known_hosts (no file is configured)"
	}
	return verdict, "is not in " + k.name + remark
}

// compareKeys looks for the key among the plain ones, and gives another one of
// the host, of the same type if there is one.
func compareKeys(lines []knownLine, key ssh.PublicKey) (other *knownLine, known bool) {
	for i, line := range lines {
		switch {
		case !line.isKey():
		case sameKey(line.key, key):
			return nil, true
		case other == nil, other.key.Type() != key.Type():
			other = &lines[i]
		}
	}
	return other, false
}

// revoking finds the line that revokes the key, or the authority that certified
// it. One that cannot be read counts: to pass over it would trust more.
func revoking(lines []knownLine, key ssh.PublicKey) (knownLine, bool) {
	cert, isCert := key.(*ssh.Certificate)
	for _, line := range lines {
		if line.marker != markerRevoked {
			continue
		}
		if line.key == nil && !foreignKeyType(line.keyType) || line.key != nil &&
			(sameKey(line.key, plainKey(key)) || isCert && sameKey(line.key, cert.SignatureKey)) {
			return line, true
		}
	}
	return knownLine{}, false
}

// certifies tells whether an authority of the host stands for the key; if there
// is an authority and it does not, the remark says so.
func certifies(lines []knownLine, addr string, key ssh.PublicKey) (verdict keyVerdict, remark string) {
	cert, isCert := key.(*ssh.Certificate)
	for _, line := range lines {
		switch {
		case line.marker != markerAuthority, line.key == nil:
		case !isCert:
			return keyUnknown, "; it has an authority for this host, and the server shows no certificate"
		case !sameKey(line.key, cert.SignatureKey):
			remark = "; the server's certificate is of another authority"
		default:
			if err := checkHostCertificate(cert, addr); err != nil {
				return keyUncertified, fmt.Sprintf("; the server's certificate does not hold: %v", err)
			}
			return keyKnown, ""
		}
	}
	return keyUnknown, remark
}

// checkHostCertificate checks all of a certificate but its authority.
func checkHostCertificate(cert *ssh.Certificate, addr string) error {
	if cert.Signature.Format == ssh.KeyAlgoRSA {
		return errors.New("it is signed with SHA-1")
	}
	checker := ssh.CertChecker{IsHostAuthority: func(ssh.PublicKey, string) bool { return true }}
	return checker.CheckHostKey(addr, nil, cert)
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }
