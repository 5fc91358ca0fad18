package wire

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/pkg/sftp"
)

// answering is a server that answers INIT, each READ with what was asked
// for, and each WRITE of up to 400 bytes with OK, without allocating.
func answering(conn net.Conn) {
	defer conn.Close()
	in := make([]byte, 512)
	out := make([]byte, 13+longestRead)
	for {
		if _, err := io.ReadFull(conn, in[:4]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(in)
		if _, err := io.ReadFull(conn, in[:n]); err != nil {
			return
		}
		answer := plainVersion
		if in[0] == typeRead {
			size := binary.BigEndian.Uint32(in[n-4:])
			binary.BigEndian.PutUint32(out, 9+size)
			out[4] = typeData
			copy(out[5:], in[1:5])
			binary.BigEndian.PutUint32(out[9:], size)
			answer = out[:13+size]
		}
		if in[0] == typeWrite {
			binary.BigEndian.PutUint32(out, 9)
			out[4] = typeStatus
			copy(out[5:], in[1:5])
			binary.BigEndian.PutUint32(out[9:], statusOK)
			answer = out[:13]
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

func answeringSession(tb testing.TB) *Session {
	tb.Helper()
	near, far := net.Pipe()
	go answering(far)
	s, err := New(tb.Context(), near)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

// A READ on a session that is in full swing takes no memory at all.
func TestReadAllocates(t *testing.T) {
	s := answeringSession(t)
	c := &Call{Done: make(chan *Call, 1), Buf: make([]byte, 32<<10)}
	read := func() {
		s.Read(c, "handle", 0, len(c.Buf))
		if <-c.Done; c.Err != nil || c.N != len(c.Buf) {
			t.Fatalf("%d bytes: %v", c.N, c.Err)
		}
	}
	for range 100 {
		read()
	}
	if n := testing.AllocsPerRun(1000, read); n > 0 {
		t.Errorf("%v allocations for each READ", n)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{4 << 10, 32 << 10, longestRead} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := answeringSession(b)
			done := make(chan *Call, 16)
			for range cap(done) {
				done <- &Call{Done: done, Buf: make([]byte, size)}
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				s.Read(<-done, "handle", 0, size)
			}
			for range cap(done) {
				<-done
			}
		})
	}
}

// BenchmarkReadPkgSFTP is the same with pkg/sftp's client.
func BenchmarkReadPkgSFTP(b *testing.B) {
	near, far := net.Pipe()
	go func() {
		server, err := sftp.NewServer(far)
		if err != nil {
			b.Error(err)
			return
		}
		server.Serve()
	}()
	client, err := sftp.NewClientPipe(near, near)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	name := filepath.Join(b.TempDir(), "f")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := client.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 32<<10)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.ReadAt(buf, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadDir(b *testing.B) {
	dir := b.TempDir()
	for i := range 100 {
		if err := os.WriteFile(filepath.Join(dir, "result-2026-"+strconv.Itoa(i)+".csv"), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	s := serve(b)
	c := &Call{Done: make(chan *Call, 1)}
	ask := func() error { return c.Wait(b.Context()) }
	b.ReportAllocs()
	names := 0
	for b.Loop() {
		s.OpenDir(c, dir)
		if err := ask(); err != nil {
			b.Fatal(err)
		}
		h := c.Handle
		for {
			s.ReadDir(c, h)
			if ask() != nil {
				break
			}
			for n := range c.Names() {
				names += min(1, len(n.File))
			}
		}
		s.CloseHandle(h, nil)
	}
	b.ReportMetric(float64(names)/float64(b.N), "names/op")
}
