package sshd

import (
	"bytes"
	"crypto/rand"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

func FuzzSubsystem(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04sftp"))
	f.Add([]byte("\x00\x00\x00\x04sft"))
	f.Add([]byte("\xff\xff\xff\xffsftp"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, payload []byte) {
		name, ok := subsystem(payload)
		if ok && !bytes.Equal(payload, ssh.Marshal(struct{ Name string }{name})) {
			t.Errorf("%q is read as %q", payload, name)
		}
		if !ok && name != "" {
			t.Errorf("%q gives %q and no", payload, name)
		}
	})
}

// Packets are counted in the same way, in whatever pieces they come.
func FuzzPackets(f *testing.F) {
	f.Add(readForever()[:100], uint8(3))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 9}, uint8(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 5, 1, 2}, uint8(9))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		var want []byte // the kinds, by the definition
		for rest := data; len(rest) >= 4; {
			n := uint64(rest[0])<<24 | uint64(rest[1])<<16 | uint64(rest[2])<<8 | uint64(rest[3])
			rest = rest[4:]
			if uint64(len(rest)) < n {
				break
			}
			kind := byte(0)
			if n > 0 {
				kind = rest[0]
			}
			want = append(want, kind)
			rest = rest[n:]
		}
		var p packetCounter
		var got []byte
		for chunk := range slices.Chunk(data, int(piece)+1) {
			for len(chunk) > 0 {
				n := min(int64(len(chunk)), p.missing())
				if n == 0 {
					t.Fatal("nothing is missing")
				}
				if p.add(chunk[:n]) {
					got = append(got, p.kind)
				}
				chunk = chunk[n:]
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("got kinds %v, want %v", got, want)
		}
	})
}

// fuzzServer serves files in memory to every client. Each fuzz worker has one.
func fuzzServer(f *testing.F) *Server {
	s, err := New(Options{
		HostKeys:     HostKeyDirectory(f.TempDir()),
		Authenticate: authenticate,
		Handlers:     func(string) (sftp.Handlers, error) { return smallMemory(), nil },
		Log:          slog.New(slog.DiscardHandler),
		Handshake:    5 * time.Second,
	})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

// The connection ends, and nothing else does, whatever comes from the network.
func FuzzTransport(f *testing.F) {
	f.Add([]byte("SSH-2.0-x\r\n"))
	f.Add([]byte("GET / HTTP/1.0\r\n\r\n"))
	f.Add([]byte("SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14"))
	f.Add([]byte("SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add(append([]byte("SSH-2.0-x\r\n"), recordedKexInit()...))
	s := fuzzServer(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		mine, theirs := tcpPair(t)
		var both sync.WaitGroup
		both.Go(func() { s.serveConn(t.Context(), theirs) })
		both.Go(func() { _, _ = io.Copy(io.Discard, mine) })
		_, _ = mine.Write(data)
		_ = mine.(*net.TCPConn).CloseWrite()
		both.Wait()
		mine.Close()
	})
}

// recordedKexInit is the start of a key exchange: one packet, with random cookie.
func recordedKexInit() []byte {
	body := append([]byte{20}, make([]byte, 16)...)
	_, _ = rand.Read(body[1:])
	for _, list := range []string{"curve25519-sha256", "ssh-ed25519", "aes128-gcm@openssh.com", "aes128-gcm@openssh.com", "", "", "none", "none", "", ""} {
		body = append(body, ssh.Marshal(struct{ S string }{list})...)
	}
	body = append(body, 0, 0, 0, 0, 0)
	padding := 8 - (len(body)+5)%8 + 8
	n := len(body) + 1 + padding
	p := append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n), byte(padding)}, body...)
	return append(p, make([]byte, padding)...)
}

func tcpPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// The session of a client may end, and everything that it held is released, whatever
// packets it sends.
func FuzzSFTP(f *testing.F) {
	f.Add(readForever()[:200])
	open := packet(3, []byte("\x00\x00\x00\x01\x00\x00\x00\x02/x\x00\x00\x00\x1a\x00\x00\x00\x00")) // write, create, truncate
	write := packet(6, []byte("\x00\x00\x00\x02\x00\x00\x00\x011\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03abc"))
	far := packet(6, []byte("\x00\x00\x00\x02\x00\x00\x00\x011\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x03abc"))
	done := packet(4, []byte("\x00\x00\x00\x03\x00\x00\x00\x011"))
	list := slices.Concat(packet(11, []byte("\x00\x00\x00\x04\x00\x00\x00\x01/")), packet(12, []byte("\x00\x00\x00\x05\x00\x00\x00\x012")))
	f.Add(slices.Concat(open, write, far, done, write, list))
	f.Add(slices.Concat(list, packet(200, []byte("\x00\x00\x00\x04\x00\x00\x00\x14statvfs@openssh.com\x00")), packet(0, nil)))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 4, 0, 1, 6})
	f.Add(packet(9, []byte("\x00\x00\x00\x01\x00\x00\x00\x01/\xff\xff\xff\xff")))
	s := fuzzServer(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		client, server := net.Pipe()
		channel := &fakeChannel{Conn: server}
		c := newClient(t.Context(), server, time.Minute)
		defer c.release()
		one := &session{
			server: s, client: c, since: time.Now(),
			changes: make(chan struct{}, 1), channels: map[*stream]struct{}{},
		}
		var both sync.WaitGroup
		both.Go(func() {
			one.serveSFTP(channel, smallMemory())
			server.Close()
		})
		both.Go(func() {
			_, _ = client.Write(packet(1, []byte{0, 0, 0, 3}))
			_, _ = client.Write(data)
			_ = client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		})
		_, _ = io.Copy(io.Discard, client)
		client.Close()
		both.Wait()
		if w, r, q := one.writers.Load(), one.running.Load(), one.waiting.Load(); w != 0 || r != 0 || q != 0 {
			t.Errorf("left: %d writers, %d handlers at work, %d requests", w, r, q)
		}
		if one.end == EndPanic {
			t.Log("a handler has panicked")
		}
	})
}

// fakeChannel is an SSH channel over a connection in memory.
type fakeChannel struct{ net.Conn }

func (c *fakeChannel) CloseWrite() error                              { return nil }
func (c *fakeChannel) SendRequest(string, bool, []byte) (bool, error) { return false, nil }
func (c *fakeChannel) Stderr() io.ReadWriter                          { return nil }

// smallMemory holds files in memory, within a bound: pkg/sftp's own would follow an
// offset of the client to wherever it leads.
func smallMemory() sftp.Handlers {
	h := sftp.InMemHandler()
	h.FilePut = smallFiles{h.FilePut}
	h.FileCmd = noSetstat{h.FileCmd}
	return h
}

type smallFiles struct{ sftp.FileWriter }

func (s smallFiles) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	w, err := s.FileWriter.Filewrite(r)
	return smallFile{w}, err
}

type smallFile struct{ io.WriterAt }

func (s smallFile) WriteAt(p []byte, off int64) (int, error) {
	if off > 1<<16 {
		return 0, errTest
	}
	return s.WriterAt.WriteAt(p, off)
}

type noSetstat struct{ sftp.FileCmder }

func (n noSetstat) Filecmd(r *sftp.Request) error {
	if r.Method == "Setstat" {
		return nil
	}
	return n.FileCmder.Filecmd(r)
}
