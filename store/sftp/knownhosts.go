package sftp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// keyVerdict is what a known_hosts file says of a key.
type keyVerdict int

const (
	keyUnknown     keyVerdict = iota // nothing is known of the host
	keyKnown                         // it is the host's key, or certified by its authority
	keyChanged                       // the host has another key
	keyRevoked                       // marked @revoked, or a certificate that does not hold
	keyUncertified                   // the host has an authority, and shows no certificate of it
)

// maxKnownHosts bounds the file that is read into memory.
const maxKnownHosts = 16 << 20

// knownHosts is one reading of a known_hosts file; a nil db knows nothing.
type knownHosts struct {
	db   *knownhosts.HostKeyDB
	path string
}

// readKnownHosts reads the file in the format of sshd(8). A missing file is an
// empty one. As with OpenSSH, a line that cannot be read is passed over; but
// one with a marker is an error, because passing over an @revoked trusts more.
func readKnownHosts(path string) (k knownHosts, err error) {
	k.path = path
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) || path == "" {
		return k, nil
	}
	if err != nil {
		return k, err
	}
	clean, dropped, err := readableLines(data)
	if err != nil {
		return k, fmt.Errorf("%s:%w", path, err)
	}
	if !dropped {
		k.db, err = openDB(path)
		return k, err
	}
	// The library reads files only, and whole ones: it gets a cleaned copy.
	f, err := os.CreateTemp("", "known_hosts-*")
	if err != nil {
		return k, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(clean)
	if err := errors.Join(err, f.Close()); err != nil {
		return k, err
	}
	k.db, err = openDB(f.Name())
	return k, err
}

// openDB is knownhosts.NewDB, which panics on some malformed lines.
func openDB(path string) (db *knownhosts.HostKeyDB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read %s: malformed", path)
		}
	}()
	return knownhosts.NewDB(path)
}

// readFile reads a file of bounded size.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKnownHosts {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxKnownHosts)
	}
	return os.ReadFile(path)
}

// readableLines blanks the lines that cannot be read, so that the others keep their numbers.
func readableLines(data []byte) (clean []byte, dropped bool, err error) {
	n := 0
	for line := range bytes.Lines(data) {
		n++
		text := bytes.TrimSpace(line)
		if len(text) == 0 || text[0] == '#' || lineReadable(text) {
			clean = append(clean, line...)
			continue
		}
		if text[0] == '@' {
			return nil, false, fmt.Errorf("%d: a line with a marker that cannot be read", n)
		}
		clean, dropped = append(clean, '\n'), true
	}
	return clean, dropped, nil
}

// lineReadable tells whether the library takes the line.
func lineReadable(line []byte) bool {
	if len(line) >= 64<<10 { // bufio.MaxScanTokenSize
		return false
	}
	marker, hosts, key, _, _, err := ssh.ParseKnownHosts(append(bytes.Clone(line), '\n'))
	if err != nil {
		return false
	}
	rest := bytes.TrimSpace(bytes.TrimPrefix(line, []byte("@"+marker)))
	fields := bytes.Fields(rest)
	if len(fields) < 3 || string(fields[1]) != key.Type() {
		return false
	}
	if fields[0][0] == '|' {
		_, ok := hashedHost(string(fields[0]))
		return ok
	}
	for _, h := range hosts {
		h = strings.TrimPrefix(h, "!")
		if h == "" {
			return false
		}
		if h[0] == '[' {
			if _, _, err := net.SplitHostPort(h); err != nil {
				return false
			}
		}
	}
	return true
}

// algorithms gives the algorithms of the keys known for the host, and whether
// there is an authority for its certificates.
func (k knownHosts) algorithms(addr string) (types []string, authority bool) {
	if k.db == nil {
		return nil, false
	}
	for _, key := range k.db.HostKeys(addr) {
		authority = authority || key.Cert
	}
	return k.db.HostKeyAlgorithms(addr), authority
}

// judge says what the file knows of the host's key, and why.
func (k knownHosts) judge(addr string, key ssh.PublicKey) (keyVerdict, string) {
	if k.db == nil {
		return keyUnknown, "no known_hosts file"
	}
	err := k.db.HostKeyCallback()(addr, &net.TCPAddr{IP: net.IPv4zero}, key)
	if err == nil {
		if _, ok := key.(*ssh.Certificate); ok {
			return keyKnown, "certified by an authority in " + k.path
		}
		return keyKnown, "known in " + k.path
	}
	if revoked, ok := errors.AsType[*xknownhosts.RevokedError](err); ok {
		return keyRevoked, fmt.Sprintf("marked @revoked in %s:%d", k.path, revoked.Revoked.Line)
	}
	if unknown, ok := errors.AsType[*xknownhosts.KeyError](err); ok {
		return k.compare(addr, unknown)
	}
	return keyRevoked, fmt.Sprintf("%v (authorities from %s)", err, k.path)
}

// compare tells a host without a key from one with another key.
func (k knownHosts) compare(addr string, unknown *xknownhosts.KeyError) (keyVerdict, string) {
	if len(unknown.Want) == 0 {
		return keyUnknown, "not in " + k.path
	}
	for _, known := range k.db.HostKeys(addr) {
		if known.Cert {
			continue
		}
		for _, w := range unknown.Want {
			if bytes.Equal(w.Key.Marshal(), known.Marshal()) {
				return keyChanged, fmt.Sprintf("%s:%d has %s %s for this host",
					k.path, w.Line, w.Key.Type(), ssh.FingerprintSHA256(w.Key))
			}
		}
	}
	return keyUncertified, "it shows no certificate of the authority that " + k.path + " has for this host"
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
