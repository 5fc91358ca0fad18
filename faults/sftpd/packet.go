package sftpd

import (
	"encoding/binary"
	"errors"
	"io"
)

// Packet types of SFTP version 3 (draft-ietf-secsh-filexfer-02).
const (
	typeInit     = 1
	typeVersion  = 2
	typeOpen     = 3
	typeClose    = 4
	typeRead     = 5
	typeWrite    = 6
	typeLstat    = 7
	typeFstat    = 8
	typeSetstat  = 9
	typeFsetstat = 10
	typeOpendir  = 11
	typeReaddir  = 12
	typeRemove   = 13
	typeMkdir    = 14
	typeRmdir    = 15
	typeRealpath = 16
	typeStat     = 17
	typeRename   = 18
	typeReadlink = 19
	typeStatus   = 101
	typeHandle   = 102
	typeData     = 103
	typeName     = 104
	typeAttrs    = 105
	typeExtended = 200
	typeReply    = 201
)

// The bounds of OpenSSH's server.
const (
	maxPacket = 256 << 10
	maxData   = maxPacket - 1024
)

var errMalformed = errors.New("sftpd: malformed packet")

// packet is a packet that is being written: its type and what follows, without
// the length in front.
type packet []byte

func newPacket(kind byte) packet { return packet{kind} }

// answer is a packet that answers the request of this id.
func answer(kind byte, id uint32) packet { return newPacket(kind).uint32(id) }

func (p packet) uint32(v uint32) packet { return binary.BigEndian.AppendUint32(p, v) }
func (p packet) uint64(v uint64) packet { return binary.BigEndian.AppendUint64(p, v) }
func (p packet) string(v string) packet { return append(p.uint32(uint32(len(v))), v...) }

// kind is the type of the packet.
func (p packet) kind() byte { return p[0] }

// framed is the packet with its length in front.
func (p packet) framed() []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(p)), uint32(len(p))), p...)
}

// body is what is left to read of a packet. What is read beyond its end is zero,
// and sets bad.
type body struct {
	rest []byte
	bad  bool
}

func (b *body) take(n int) []byte {
	if n < 0 || n > len(b.rest) {
		b.bad, b.rest = true, nil
		return nil
	}
	taken := b.rest[:n]
	b.rest = b.rest[n:]
	return taken
}

func (b *body) uint32() uint32 {
	if v := b.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (b *body) uint64() uint64 {
	if v := b.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (b *body) bytes() []byte {
	if n := b.uint32(); !b.bad {
		return b.take(int(min(n, maxPacket+1)))
	}
	return nil
}

func (b *body) string() string { return string(b.bytes()) }

// readPacket reads one packet, without its length.
func readPacket(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > maxPacket {
		return nil, errMalformed
	}
	p := make([]byte, n)
	_, err := io.ReadFull(r, p)
	return p, err
}
