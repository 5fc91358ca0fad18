package sftptest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// The wire format of SFTP 3 (draft-ietf-secsh-filexfer-02), as far as a server
// needs it.

// maxPacket is OpenSSH's SFTP_MAX_MSG_LENGTH.
const maxPacket = 256 << 10

// The types of answers.
const (
	answerVersion  = 2
	answerStatus   = 101
	answerHandle   = 102
	answerData     = 103
	answerName     = 104
	answerAttrs    = 105
	answerExtended = 201
)

// The flags of attributes.
const (
	hasSize        = 1
	hasOwner       = 2
	hasPermissions = 4
	hasTimes       = 8
)

// readPacket reads one packet without its length.
func readPacket(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxPacket {
		return nil, fmt.Errorf("a packet of %d bytes", n)
	}
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	return p, err
}

var errShortPacket = errors.New("the packet is too short")

// fields takes a packet apart; after an error all that follows is zero.
type fields struct {
	b   []byte
	err error
}

func (f *fields) take(n int) []byte {
	if f.err != nil || n < 0 || n > len(f.b) {
		f.err = errShortPacket
		return nil
	}
	b := f.b[:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) uint64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (f *fields) bytes() []byte  { return f.take(int(f.uint32())) }
func (f *fields) string() string { return string(f.bytes()) }

// attrs are the attributes that a client sets.
type attrs struct {
	flags       uint32
	size        uint64
	permissions uint32
	atime       time.Time
	mtime       time.Time
}

func (f *fields) attrs() attrs {
	a := attrs{flags: f.uint32()}
	if a.flags&hasSize != 0 {
		a.size = f.uint64()
	}
	if a.flags&hasOwner != 0 {
		f.take(8)
	}
	if a.flags&hasPermissions != 0 {
		a.permissions = f.uint32()
	}
	if a.flags&hasTimes != 0 {
		a.atime = time.Unix(int64(f.uint32()), 0)
		a.mtime = time.Unix(int64(f.uint32()), 0)
	}
	return a
}

func appendUint32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func appendUint64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func appendString(b []byte, s string) []byte {
	return append(appendUint32(b, uint32(len(s))), s...)
}

// info is what attributes say of a file.
type info struct {
	size  int64
	mode  fs.FileMode
	mtime time.Time
}

func infoOf(fi fs.FileInfo) info {
	return info{size: fi.Size(), mode: fi.Mode(), mtime: fi.ModTime()}
}

func appendAttrs(b []byte, i info) []byte {
	b = appendUint32(b, hasSize|hasOwner|hasPermissions|hasTimes)
	b = appendUint64(b, uint64(i.size))
	b = appendUint32(appendUint32(b, 0), 0) // owner and group: root
	b = appendUint32(b, posixMode(i.mode))
	seconds := uint32(i.mtime.Unix())
	return appendUint32(appendUint32(b, seconds), seconds)
}

// appendTold is appendAttrs of less.
func appendTold(b []byte, i info, told Told) []byte {
	var flags uint32
	var rest []byte
	if told.Size >= 0 {
		flags |= hasSize
		rest = appendUint64(rest, uint64(told.Size))
	}
	if !told.NoType {
		flags |= hasPermissions
		rest = appendUint32(rest, posixMode(i.mode))
	}
	if !told.ModTime.IsZero() {
		flags |= hasTimes
		rest = appendUint32(appendUint32(rest, uint32(told.ModTime.Unix())), uint32(told.ModTime.Unix()))
	}
	return append(appendUint32(b, flags), rest...)
}

// posixMode gives the bits of stat(2).
func posixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	switch m.Type() {
	case 0:
		bits |= 0o100000
	case fs.ModeDir:
		bits |= 0o040000
	case fs.ModeSymlink:
		bits |= 0o120000
	case fs.ModeNamedPipe:
		bits |= 0o010000
	case fs.ModeSocket:
		bits |= 0o140000
	case fs.ModeDevice:
		bits |= 0o060000
	case fs.ModeDevice | fs.ModeCharDevice:
		bits |= 0o020000
	}
	return bits
}
