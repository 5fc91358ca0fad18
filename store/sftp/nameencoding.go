package sftp

import (
	"encoding/binary"
	"slices"

	"sftpconnector/charset"
)

// The types of packets that hold names (draft-ietf-secsh-filexfer-02).
const (
	typeOpen     = 3
	typeLstat    = 7
	typeSetstat  = 9
	typeOpendir  = 11
	typeRemove   = 13
	typeMkdir    = 14
	typeRmdir    = 15
	typeRealpath = 16
	typeStat     = 17
	typeRename   = 18
	typeReadlink = 19
	typeSymlink  = 20
	typeName     = 104
	typeExtended = 200
)

// longest is the longest packet that is translated. The sessions accept no longer ones.
const longest = 1 << 20

// namesGrow is how many times as long a name may become in UTF-8.
const namesGrow = 3

// translatingStream is a channel to a server whose names are not UTF-8. It translates
// the names in the packets, so that its user sees UTF-8. A name that is not in the
// server's encoding arrives as invalid UTF-8 (package charset).
type translatingStream struct {
	stream
	in, out packetTranslator

	raw   []byte // of in: read, and not translated yet
	ready []byte // of in: translated, and not read by the user yet
	buf   []byte
	write []byte
}

// translateNames gives a channel that speaks UTF-8 with a server that speaks e.
func translateNames(ch stream, e *charset.Encoding) stream {
	if e == nil {
		return ch
	}
	return &translatingStream{
		stream: ch, buf: make([]byte, 32<<10),
		in:  packetTranslator{wanted: func(typ byte) bool { return typ == typeName }, translate: func(p []byte) []byte { return decodeNames(p, e) }},
		out: packetTranslator{wanted: func(typ byte) bool { return paths(typ) > 0 || typ == typeExtended }, translate: func(p []byte) []byte { return encodePaths(p, e) }},
	}
}

func (c *translatingStream) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		if len(c.raw) == 0 {
			n, err := c.stream.Read(c.buf)
			if n == 0 {
				return 0, err
			}
			c.raw = c.buf[:n]
		}
		var used int
		c.ready, used = c.in.next(c.raw)
		c.raw = c.raw[used:]
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

func (c *translatingStream) Write(p []byte) (int, error) {
	c.write = c.write[:0]
	for rest := p; len(rest) > 0; {
		out, used := c.out.next(rest)
		c.write = append(c.write, out...)
		rest = rest[used:]
	}
	if len(c.write) == 0 {
		return len(p), nil
	}
	if _, err := c.stream.Write(c.write); err != nil {
		return 0, err
	}
	return len(p), nil
}

// packetTranslator follows the packets of a stream, and collects those that are to be
// translated.
type packetTranslator struct {
	wanted    func(typ byte) bool
	translate func(packet []byte) []byte // packet begins with its type

	head []byte // length and type of the next packet, as far as they came
	left int    // remaining bytes of a packet that stays as it is
	body []byte // a packet that is collected, the type first
	want int    // its length
}

// next takes bytes of the stream. It gives the bytes to pass on, and how many bytes of
// b it has taken: one at least.
func (s *packetTranslator) next(b []byte) (out []byte, used int) {
	switch {
	case s.left > 0:
		n := min(s.left, len(b))
		s.left -= n
		return b[:n], n
	case s.want > 0:
		n := min(s.want-len(s.body), len(b))
		s.body = append(s.body, b[:n]...)
		if len(s.body) < s.want {
			return nil, n
		}
		packet := s.translate(s.body)
		s.want, s.body = 0, s.body[:0]
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...), n
	}
	n := min(5-len(s.head), len(b))
	if s.head = append(s.head, b[:n]...); len(s.head) < 5 {
		return nil, n
	}
	head, length := s.head, int64(binary.BigEndian.Uint32(s.head))
	s.head = nil
	if length > 1 && length <= longest && s.wanted(head[4]) {
		s.want, s.body = int(length), append(s.body[:0], head[4])
		return nil, n
	}
	s.left = int(max(0, length-1))
	return head, n
}

// paths is how many paths follow the id of a request.
func paths(typ byte) int {
	switch typ {
	case typeOpen, typeLstat, typeSetstat, typeOpendir, typeRemove, typeMkdir, typeRmdir, typeRealpath, typeStat, typeReadlink:
		return 1
	case typeRename, typeSymlink:
		return 2
	}
	return 0
}

// extendedPaths is how many paths follow the name of an extended request.
func extendedPaths(name string) int {
	switch name {
	case "posix-rename@openssh.com", "hardlink@openssh.com":
		return 2
	case "statvfs@openssh.com", "lsetstat@openssh.com", "expand-path@openssh.com":
		return 1
	}
	return 0
}

// encodePaths translates a request into the server's encoding. A path that the encoding
// cannot express stays as it is: there is no such file.
func encodePaths(p []byte, e *charset.Encoding) []byte {
	const id = 5 // the type and the id
	if len(p) < id {
		return p
	}
	out, rest := slices.Clone(p[:id]), p[id:]
	n := paths(p[0])
	if p[0] == typeExtended {
		name, after, ok := takeString(rest)
		if !ok {
			return p
		}
		n = extendedPaths(name)
		out, rest = appendString(out, name), after
	}
	for range n {
		path, after, ok := takeString(rest)
		if !ok {
			return p
		}
		if raw, err := e.Encode(path); err == nil {
			path = raw
		}
		out, rest = appendString(out, path), after
	}
	return append(out, rest...)
}

// longName is how many bytes are kept of the line that a server makes of an entry: its
// mode.
const longName = 10

// decodeNames translates a NAME to UTF-8. A malformed packet stays as it is: the
// session that reads it reports it.
func decodeNames(p []byte, e *charset.Encoding) []byte {
	const head = 9 // the type, the id, the count
	if len(p) < head {
		return p
	}
	out, rest := slices.Clone(p[:head]), p[head:]
	for range binary.BigEndian.Uint32(p[5:]) {
		name, after, ok := takeString(rest)
		if !ok {
			return p
		}
		long, after, ok := takeString(after)
		if !ok {
			return p
		}
		size, ok := attrsLength(after)
		if !ok {
			return p
		}
		out = appendString(appendString(out, e.Decode(name)), long[:min(longName, len(long))])
		out, rest = append(out, after[:size]...), after[size:]
	}
	return append(out, rest...)
}

// attrsLength is the length of the attributes that b begins with.
func attrsLength(b []byte) (int, bool) {
	if len(b) < 4 {
		return 0, false
	}
	flags, n := binary.BigEndian.Uint32(b), 4
	for _, part := range []struct {
		flag uint32
		size int
	}{{1, 8}, {2, 8}, {4, 4}, {8, 8}} {
		if flags&part.flag != 0 {
			n += part.size
		}
	}
	if flags&(1<<31) == 0 {
		return n, n <= len(b)
	}
	if len(b) < n+4 {
		return 0, false
	}
	pairs, rest := binary.BigEndian.Uint32(b[n:]), b[n+4:]
	for range pairs {
		for range 2 {
			_, after, ok := takeString(rest)
			if !ok {
				return 0, false
			}
			rest = after
		}
	}
	return len(b) - len(rest), true
}

func takeString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return "", nil, false
	}
	return string(b[4 : 4+n]), b[4+n:], true
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
