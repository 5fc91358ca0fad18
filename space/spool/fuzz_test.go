package spool_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
)

// packet builds one SFTP packet: strings get their length, numbers are as wide
// as their type.
func packet(kind byte, fields ...any) []byte {
	body := []byte{kind}
	for _, f := range fields {
		switch f := f.(type) {
		case string:
			body = binary.BigEndian.AppendUint32(body, uint32(len(f)))
			body = append(body, f...)
		case int:
			body = binary.BigEndian.AppendUint32(body, uint32(f))
		case uint64:
			body = binary.BigEndian.AppendUint64(body, f)
		}
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// conversation is a client that says all it has to say, whatever it hears. Only
// after OPEN and OPENDIR it waits for the answer: pkg/sftp knows a handle before
// that, and a client that guesses it would race with pkg/sftp itself, which is
// the listener's to prevent.
type conversation struct {
	packets []byte // to be said
	current []byte // what is left of the packet that is being said
	opens   bool   // it is an OPEN
	said    int

	mu       sync.Mutex
	heard    *sync.Cond
	answered int
	answers  []byte // the last of them, not whole yet
}

func newConversation(packets []byte) *conversation {
	c := &conversation{packets: packets}
	c.heard = sync.NewCond(&c.mu)
	return c
}

func (c *conversation) Read(p []byte) (int, error) {
	if len(c.current) == 0 {
		c.next()
	}
	if len(c.current) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.current)
	c.current = c.current[n:]
	return n, nil
}

func (c *conversation) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.opens && c.answered < c.said {
		c.heard.Wait()
	}
	length := len(c.packets)
	c.opens = false
	if length > 4 {
		if whole := 4 + int64(binary.BigEndian.Uint32(c.packets)); whole <= int64(length) {
			length = int(whole)
			c.opens = length > 4 && (c.packets[4] == 3 || c.packets[4] == 11)
		}
	}
	c.current, c.packets = c.packets[:length], c.packets[length:]
	c.said++
}

func (c *conversation) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = append(c.answers, p...)
	for len(c.answers) >= 4 {
		length := int(binary.BigEndian.Uint32(c.answers)) + 4
		if len(c.answers) < length {
			break
		}
		c.answers = c.answers[length:]
		c.answered++
	}
	c.heard.Broadcast()
	return len(p), nil
}

func (c *conversation) Close() error { return nil }

// FuzzPackets sends whatever to a session: the server must stand, nothing may
// come to be outside, the books must be right, and the limits must hold.
func FuzzPackets(f *testing.F) {
	hello := packet(1, 3)
	upload := bytes.Join([][]byte{hello, packet(3, 1, "/x", 0x1a, 0), packet(6, 2, "1", uint64(0), "data"), packet(10, 3, "1", 8, 7, 7), packet(4, 4, "1")}, nil)
	f.Add(upload)
	for _, more := range [][]byte{
		packet(18, 5, "/x", "/d/y"),                             // RENAME
		packet(200, 5, "posix-rename@openssh.com", "x", "x"),    // onto itself
		packet(200, 5, "statvfs@openssh.com", "/"),              // df
		packet(200, 5, "hardlink@openssh.com", "/x", "/y"),      // LINK
		packet(20, 5, "../../x", "/y"),                          // SYMLINK
		packet(9, 5, "/x", 0x8000000f, uint64(1<<63), 1, 2),     // SETSTAT, cut short
		packet(9, 5, "/x", 1, uint64(1<<62)),                    // to a size
		packet(3, 5, "/x", 0x0f, 0),                             // open again
		packet(6, 5, "1", uint64(1<<64-1), "data"),              // WRITE at -1
		packet(5, 5, "1", uint64(1<<63), 1<<31),                 // READ
		packet(14, 5, "/d", 4, 0o777),                           // MKDIR
		packet(15, 5, "/x"),                                     // RMDIR
		packet(13, 5, "/x"),                                     // REMOVE
		packet(16, 5, "/../../.."),                              // REALPATH
		packet(19, 5, "/x"),                                     // READLINK
		append(packet(11, 5, "/"), packet(12, 6, "2")...),       // OPENDIR, READDIR
		append(packet(3, 5, "/y", 0x1a, 0), upload[9:]...),      // another upload
		packet(3, 5, "\xff\x00/.uploading.x", 0x3f, 0),          // a bad name
		{0xff, 0xff, 0xff, 0xff, 3}, {0, 0, 0, 0}, {0, 0, 0, 1}, // bad lengths
	} {
		f.Add(append(bytes.Clone(upload), more...))
	}
	f.Fuzz(func(t *testing.T, packets []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "in")
		index := &index{}
		const quota = 100_000
		b, err := spool.Open(t.Context(), spool.Options{Directory: dir, Index: index, Quiet: time.Nanosecond, MaximumEntries: 50, Limits: spool.Limits{Quota: quota, KeepEach: len(packets)%2 == 1}})
		if err != nil {
			t.Fatal(err)
		}
		sftp.NewRequestServer(newConversation(packets), b.Handlers()).Serve()
		bytes, files := b.Usage()
		for _, f := range b.Files() {
			if f.State == spool.Uploading {
				t.Errorf("%+v after the session", f)
			}
		}
		b.Close()
		if bytes < 0 || bytes > quota || files > 50 {
			t.Errorf("%d bytes in %d files", bytes, files)
		}
		if found, _ := os.ReadDir(above); len(found) != 1 {
			t.Errorf("outside: %v", found)
		}
		if have := onDisk(dir); have != bytes {
			t.Errorf("the sums have %d bytes, the disk %d", bytes, have)
		}
		again, err := spool.Open(t.Context(), spool.Options{Directory: dir, Index: index})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if b, f := again.Usage(); b != bytes || f != files {
			t.Errorf("after a restart %d bytes in %d files, before it %d in %d", b, f, bytes, files)
		}
	})
}
