package sftpd_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/sftpd"
)

// Packet types that the tests send and expect.
const (
	pktOpen    = 3
	pktClose   = 4
	pktRead    = 5
	pktWrite   = 6
	pktLstat   = 7
	pktFstat   = 8
	pktOpendir = 11
	pktReaddir = 12
	pktRemove  = 13
	pktStat    = 17
	pktStatus  = 101
	pktHandle  = 102
	pktData    = 103
	pktName    = 104
	pktAttrs   = 105
)

// raw is a client that sees the packets.
type raw struct {
	t       *testing.T
	conn    *ssh.Client
	in      io.Writer
	packets chan got // closed when the channel ends
	lastID  uint32
}

// got is a packet: the id is not told apart for a packet that is too short.
type got struct {
	kind byte
	id   uint32
	rest []byte
	// length is what the packet was said to have.
	length uint32
}

func rawClient(t *testing.T, s *sftpd.Server) *raw {
	t.Helper()
	conn := dial(t, s)
	channel, requests, err := conn.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	if ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); err != nil || !ok {
		t.Fatal("no subsystem", err)
	}
	r := &raw{t: t, conn: conn, in: channel, packets: make(chan got, 100)}
	go r.receive(channel)
	r.send([]byte{1, 0, 0, 0, 3})
	if p := r.next(); p.kind != 2 {
		t.Fatalf("no version: %v", p)
	}
	return r
}

func (r *raw) receive(from io.Reader) {
	defer close(r.packets)
	for {
		var length [4]byte
		if _, err := io.ReadFull(from, length[:]); err != nil {
			return
		}
		p := got{length: binary.BigEndian.Uint32(length[:])}
		body := make([]byte, min(p.length, 1<<20))
		if p.length > 1<<20 {
			r.packets <- p
			return
		}
		if _, err := io.ReadFull(from, body); err != nil {
			return
		}
		if p.kind, p.rest = body[0], body[1:]; len(body) >= 5 {
			p.id, p.rest = binary.BigEndian.Uint32(body[1:]), body[5:]
		}
		r.packets <- p
	}
}

func (r *raw) send(packet []byte) {
	r.t.Helper()
	if _, err := r.in.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
		r.t.Fatal(err)
	}
}

// ask sends a request and gives its id. Fields are strings, uint32 and uint64.
func (r *raw) ask(kind byte, fields ...any) uint32 {
	r.t.Helper()
	r.lastID++
	p := binary.BigEndian.AppendUint32([]byte{kind}, r.lastID)
	for _, field := range fields {
		switch v := field.(type) {
		case string:
			p = append(binary.BigEndian.AppendUint32(p, uint32(len(v))), v...)
		case uint32:
			p = binary.BigEndian.AppendUint32(p, v)
		case uint64:
			p = binary.BigEndian.AppendUint64(p, v)
		default:
			panic(fmt.Sprintf("no field: %T", field))
		}
	}
	r.send(p)
	return r.lastID
}

// next gives the next packet, and fails the test when none comes.
func (r *raw) next() got {
	r.t.Helper()
	select {
	case p, ok := <-r.packets:
		if !ok {
			r.t.Fatal("the channel has ended")
		}
		return p
	case <-time.After(deadline):
		r.t.Fatal("no answer")
	}
	return got{}
}

// answer asks and gives the answer, which must have the right id and type.
func (r *raw) answer(want byte, kind byte, fields ...any) got {
	r.t.Helper()
	id := r.ask(kind, fields...)
	p := r.next()
	if p.id != id || p.kind != want {
		r.t.Fatalf("answer %d to request %d; want id %d and type %d: %q", p.kind, kind, id, want, p.rest)
	}
	return p
}

// status asks and gives the status of the answer.
func (r *raw) status(kind byte, fields ...any) uint32 {
	r.t.Helper()
	return r.answer(pktStatus, kind, fields...).number()
}

func (r *raw) open(name string, flags uint32) string {
	r.t.Helper()
	return r.answer(pktHandle, pktOpen, name, flags, uint32(0)).string()
}

// nothing checks that no packet comes, but for what is asked now.
func (r *raw) nothing() {
	r.t.Helper()
	r.answer(pktStatus, pktRemove, "/nothing")
}

// ended checks that the channel ends, with no whole packet before.
func (r *raw) ended() {
	r.t.Helper()
	select {
	case p, ok := <-r.packets:
		if ok {
			r.t.Fatalf("packet %v; want the end", p)
		}
	case <-time.After(deadline):
		r.t.Fatal("the channel goes on")
	}
}

func (p got) number() uint32 { return binary.BigEndian.Uint32(p.rest) }

func (p got) string() string { return string(p.rest[4:][:p.number()]) }
