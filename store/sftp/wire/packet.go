package wire

import (
	"encoding/binary"
	"io/fs"
	"time"
)

// The numbers of draft-ietf-secsh-filexfer-02, section 3 and later.
const (
	version = 3

	typeInit          = 1
	typeVersion       = 2
	typeOpen          = 3
	typeClose         = 4
	typeRead          = 5
	typeWrite         = 6
	typeLstat         = 7
	typeFstat         = 8
	typeSetstat       = 9
	typeFsetstat      = 10
	typeOpendir       = 11
	typeReaddir       = 12
	typeRemove        = 13
	typeMkdir         = 14
	typeRealpath      = 16
	typeStat          = 17
	typeRename        = 18
	typeReadlink      = 19
	typeStatus        = 101
	typeHandle        = 102
	typeData          = 103
	typeName          = 104
	typeAttrs         = 105
	typeExtended      = 200
	typeExtendedReply = 201

	attrSize        = 0x00000001
	attrOwner       = 0x00000002
	attrPermissions = 0x00000004
	attrTimes       = 0x00000008
	attrExtended    = 0x80000000

	maxHandle = 256 // bytes, section 6.2
)

// Attr is what a server says of a file. Only what the flags name was sent.
type Attr struct {
	flags uint32
	size  uint64
	perm  uint32
	mtime uint32
}

// Size is the size in bytes, or -1 when the server did not say, or said one that cannot be.
func (a Attr) Size() int64 {
	if a.flags&attrSize == 0 || a.size > 1<<62 {
		return -1
	}
	return int64(a.size)
}

// ModTime is the modification time in whole seconds, or zero when the server did not say.
func (a Attr) ModTime() time.Time {
	if a.flags&attrTimes == 0 {
		return time.Time{}
	}
	return time.Unix(int64(a.mtime), 0)
}

// Mode is the type and the permissions. ok is false when the server did not
// say what type the file is of.
func (a Attr) Mode() (mode fs.FileMode, ok bool) {
	if a.flags&attrPermissions == 0 {
		return 0, false
	}
	return UnixMode(a.perm)
}

// UnixMode translates a st_mode of POSIX, which is what SFTP 3 servers send as
// permissions. ok is false when it has no type in it.
func UnixMode(perm uint32) (mode fs.FileMode, ok bool) {
	mode = fs.FileMode(perm & 0o777)
	switch perm & 0o170000 {
	case 0o100000:
	case 0o040000:
		mode |= fs.ModeDir
	case 0o120000:
		mode |= fs.ModeSymlink
	case 0o060000:
		mode |= fs.ModeDevice
	case 0o020000:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case 0o010000:
		mode |= fs.ModeNamedPipe
	case 0o140000:
		mode |= fs.ModeSocket
	default:
		return mode, false
	}
	return mode, true
}

// reader takes a payload apart. What is not there reads as zero, and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint32() uint32 {
	if len(r.b) < 4 {
		r.b, r.bad = nil, true
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

func (r *reader) uint64() uint64 {
	high := uint64(r.uint32())
	return high<<32 | uint64(r.uint32())
}

// text gives a string's bytes, which are the payload's own.
func (r *reader) text() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) attr() (a Attr) {
	a.flags = r.uint32()
	if a.flags&attrSize != 0 {
		a.size = r.uint64()
	}
	if a.flags&attrOwner != 0 {
		_, _ = r.uint32(), r.uint32()
	}
	if a.flags&attrPermissions != 0 {
		a.perm = r.uint32()
	}
	if a.flags&attrTimes != 0 {
		_ = r.uint32()
		a.mtime = r.uint32()
	}
	if a.flags&attrExtended != 0 {
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			_, _ = r.text(), r.text()
		}
	}
	return a
}
