package sshd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/pkg/sftp"
)

// The types of SFTP packets with paths (draft-ietf-secsh-filexfer-02, section 3), and
// the extensions (OpenSSH's PROTOCOL, section 4).
const (
	packetLstat    = 7
	packetSetstat  = 9
	packetRemove   = 13
	packetMkdir    = 14
	packetRmdir    = 15
	packetRealpath = 16
	packetStat     = 17
	packetRename   = 18
	packetReadlink = 19
	packetSymlink  = 20
	packetExtended = 200
)

// maxPacket is the longest packet that pkg/sftp accepts. It ends the session for a
// longer one.
const maxPacket = 256 << 10

// confinedReader reads the packets of a client, and marks each path that leads out of
// its "/". pkg/sftp takes "/.." for "/" before a handler sees it, and a client that
// tries to leave would believe that it has. The guard refuses marked paths.
type confinedReader struct {
	from  io.Reader
	head  [5]byte // of the packet: its length and its type
	ready []byte  // read, and not passed on yet
	rest  int64   // remaining bytes of a packet that is passed on as it comes
	err   error   // the error that follows ready
}

// Read never gives bytes of two packets at once.
func (c *confinedReader) Read(p []byte) (int, error) {
	if len(c.ready) == 0 && c.rest == 0 && c.err == nil {
		c.next()
	}
	switch {
	case len(c.ready) > 0:
		n := copy(p, c.ready)
		c.ready = c.ready[n:]
		return n, nil
	case c.err != nil:
		return 0, c.err
	}
	n, err := c.from.Read(p[:min(int64(len(p)), c.rest)])
	c.rest -= int64(n)
	return n, err
}

// next reads the head of a packet, and the rest too if it has paths.
func (c *confinedReader) next() {
	c.ready = c.read(c.head[:4])
	if c.err != nil {
		return
	}
	length := int64(binary.BigEndian.Uint32(c.ready))
	if length == 0 {
		return
	}
	c.ready = c.head[:4+len(c.read(c.head[4:]))]
	if c.err != nil {
		return
	}
	kind := c.head[4]
	if c.rest = length - 1; !hasPaths(kind) || length > maxPacket {
		return
	}
	body := c.read(make([]byte, c.rest))
	c.rest = 0
	if c.err == nil {
		markPaths(kind, body)
	}
	c.ready = append(bytes.Clone(c.ready), body...)
}

// read fills b, or gives what came and notes the error.
func (c *confinedReader) read(b []byte) []byte {
	n, err := io.ReadFull(c.from, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	c.err = err
	return b[:n]
}

func hasPaths(kind byte) bool {
	switch kind {
	case packetOpen, packetLstat, packetSetstat, packetOpenDir, packetRemove, packetMkdir, packetRmdir,
		packetRealpath, packetStat, packetRename, packetReadlink, packetSymlink, packetExtended:
		return true
	}
	return false
}

// markPaths marks the paths in a packet of a type, in place.
func markPaths(kind byte, body []byte) {
	if len(body) < 4 { // the id of the request
		return
	}
	rest, paths := body[4:], 1
	switch kind {
	case packetRename, packetSymlink:
		paths = 2
	case packetExtended:
		var name []byte
		name, rest = cutString(rest)
		switch string(name) {
		case "statvfs@openssh.com":
		case "posix-rename@openssh.com", "hardlink@openssh.com":
			paths = 2
		default:
			return
		}
	}
	for range paths {
		var path []byte
		if path, rest = cutString(rest); leadsOut(string(path)) {
			clear(path) // no path has a NUL byte
		}
	}
}

// cutString gives the string that b begins with, and the rest (RFC 4251, section 5).
func cutString(b []byte) (s, rest []byte) {
	if len(b) < 4 {
		return nil, nil
	}
	n := int64(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > int64(len(b)) {
		return nil, nil
	}
	return b[:n], b[n:]
}

// leadsOut reports whether a path, read element by element, leaves "/".
func leadsOut(path string) bool {
	depth := 0
	for element := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == filepath.Separator }) {
		switch element {
		case ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

// checkInside refuses marked paths, and others with a NUL byte.
func checkInside(paths ...string) error {
	for _, p := range paths {
		if strings.IndexByte(p, 0) >= 0 {
			return sftp.ErrSSHFxPermissionDenied
		}
	}
	return nil
}
