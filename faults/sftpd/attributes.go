package sftpd

import (
	"fmt"
	"io/fs"
	"time"
)

// Flags of attributes, and the types in permissions.
const (
	hasSize  = 1
	hasOwner = 2
	hasMode  = 4
	hasTimes = 8
	hasMore  = 1 << 31

	modeRegular = 0o100000
	modeDir     = 0o040000
	modeLink    = 0o120000
)

// attributes are what is told of a file, or what a client sets; the flags say
// which of them.
type attributes struct {
	flags        uint32
	size         uint64
	uid, gid     uint32
	mode         uint32
	atime, mtime uint32
}

// told is what is told of a file to one look at it.
func (s *session) told(op Op, name string, info fs.FileInfo) attributes {
	a := attributes{
		flags: hasSize | hasOwner | hasMode | hasTimes,
		size:  uint64(info.Size()),
		mode:  modeOf(info.Mode()),
		atime: uint32(info.ModTime().Unix()),
		mtime: uint32(info.ModTime().Unix()),
	}
	for _, lie := range s.server.faults.lies(op, name) {
		a.apply(lie)
	}
	return a
}

func (a *attributes) apply(l Lie) {
	a.size = uint64(max(int64(a.size)+l.SizeDelta, 0))
	a.mtime += uint32(int64(l.TimeDelta / time.Second))
	a.atime = a.mtime
	if l.Mode != 0 {
		a.mode = l.Mode
	}
	if l.NoSize {
		a.flags &^= hasSize
	}
	if l.NoTime {
		a.flags &^= hasTimes
	}
	if l.NoType {
		a.flags &^= hasMode
	}
}

func modeOf(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	switch {
	case m.IsRegular():
		mode |= modeRegular
	case m.IsDir():
		mode |= modeDir
	case m&fs.ModeSymlink != 0:
		mode |= modeLink
	case m&fs.ModeNamedPipe != 0:
		mode |= 0o010000
	case m&fs.ModeSocket != 0:
		mode |= 0o140000
	case m&fs.ModeCharDevice != 0:
		mode |= 0o020000
	case m&fs.ModeDevice != 0:
		mode |= 0o060000
	}
	return mode
}

func (p packet) attributes(a attributes) packet {
	p = p.uint32(a.flags)
	if a.flags&hasSize != 0 {
		p = p.uint64(a.size)
	}
	if a.flags&hasOwner != 0 {
		p = p.uint32(a.uid).uint32(a.gid)
	}
	if a.flags&hasMode != 0 {
		p = p.uint32(a.mode)
	}
	if a.flags&hasTimes != 0 {
		p = p.uint32(a.atime).uint32(a.mtime)
	}
	return p
}

func (b *body) attributes() attributes {
	a := attributes{flags: b.uint32()}
	if a.flags&hasSize != 0 {
		a.size = b.uint64()
	}
	if a.flags&hasOwner != 0 {
		a.uid, a.gid = b.uint32(), b.uint32()
	}
	if a.flags&hasMode != 0 {
		a.mode = b.uint32()
	}
	if a.flags&hasTimes != 0 {
		a.atime, a.mtime = b.uint32(), b.uint32()
	}
	if a.flags&hasMore != 0 {
		for n := b.uint32(); n > 0 && !b.bad; n-- {
			b.bytes()
			b.bytes()
		}
	}
	return a
}

// longName is the line of ls -l that goes with a name; it says what a says.
func longName(name string, a attributes) string {
	kind, permissions := '?', []byte("---------")
	if a.flags&hasMode != 0 {
		kind = map[uint32]rune{modeRegular: '-', modeDir: 'd', modeLink: 'l'}[a.mode&0o170000]
		for i := range permissions {
			if a.mode&(1<<(8-i)) != 0 {
				permissions[i] = "rwx"[i%3]
			}
		}
	}
	when := time.Unix(int64(a.mtime), 0).UTC().Format("Jan _2  2006")
	return fmt.Sprintf("%c%s %4d %-8s %-8s %8d %s %s", max(kind, '-'), permissions, 1, "owner", "group", a.size, when, name)
}
