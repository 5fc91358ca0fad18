package wire

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"sync/atomic"
	"time"
)

// kind is what a call asks for, and with it which answers it may get.
type kind byte

const (
	kindHandle kind = iota + 1
	kindRead
	kindAttrs
	kindNames
	kindText // a NAME packet with one name in it
	kindStatus
	kindClose // a kindStatus after which the handle is free
	kindLimits
	kindStatvfs
)

// Handle is an open file or directory of one session.
type Handle string

// Call is one request under way and, later, its answer. A Call may be used
// again once it has come back; until then, neither it nor its Buf may be touched.
type Call struct {
	// Done gets the call when it is answered or its session has ended. It may be
	// shared by calls and must have room for all of them: the session waits for no one.
	Done chan *Call
	// Then, if it is not nil, is called with the call just before that. It must
	// not wait for anything: the session goes on when it returns.
	Then func(*Call)
	// Tag and Off are the caller's.
	Tag int
	Off int64

	// Room gives the place for the n bytes that answer a READ once they are about
	// to come, and must not wait for anything. If it is nil, Buf is the place.
	Room func(n int) []byte

	Err    error  // a *StatusError, io.EOF for the end of a file or listing, ErrHandleReused, or the end of the session
	Buf    []byte // a READ: the place of its data
	N      int    // a READ: how many bytes came
	Handle Handle // OPEN and OPENDIR
	Attr   Attr   // STAT, LSTAT, FSTAT
	Text   string // READLINK, REALPATH
	Space  Space  // statvfs

	asked  int // a READ: bytes
	kind   kind
	on     Handle // what the request was about, if that is open
	sent   time.Time
	names  []byte
	limits limits

	typ       byte   // of the request
	extension string // its name, for an EXTENDED one
	left      atomic.Bool
}

// Wait waits for a call that has a Done of its own. When ctx ends first, the
// call is left to its session, which nobody asks any more for its answer, and must
// not be used again.
func (c *Call) Wait(ctx context.Context) error {
	select {
	case <-c.Done:
		return c.Err
	case <-ctx.Done():
		c.left.Store(true)
		return context.Cause(ctx)
	}
}

func (c *Call) finish(err error) {
	c.Err = err
	if c.Then != nil {
		c.Then(c)
	}
	if c.Done != nil {
		c.Done <- c
	}
}

// Open opens a file for reading: c.Handle.
func (s *Session) Open(c *Call, path string) {
	s.request(c, kindHandle, typeOpen, path, []byte{0, 0, 0, flagRead, 0, 0, 0, 0})
}

// Read reads up to n bytes at off into c.Buf: c.N, which is less than
// that where the server answers short. At the end of the file c.Err is io.EOF.
func (s *Session) Read(c *Call, h Handle, off int64, n int) {
	c.asked = n
	var tail [12]byte
	binary.BigEndian.PutUint64(tail[:], uint64(off))
	binary.BigEndian.PutUint32(tail[8:], uint32(n))
	s.onHandle(c, kindRead, typeRead, h, tail[:])
}

// Fstat asks for the attributes of an open file: c.Attr.
func (s *Session) Fstat(c *Call, h Handle) { s.onHandle(c, kindAttrs, typeFstat, h, nil) }

// Stat asks for the attributes of what a path leads to: c.Attr.
func (s *Session) Stat(c *Call, path string) { s.request(c, kindAttrs, typeStat, path, nil) }

// Lstat asks for the attributes of a path, a symbolic link's own included: c.Attr.
func (s *Session) Lstat(c *Call, path string) { s.request(c, kindAttrs, typeLstat, path, nil) }

// OpenDir opens a directory: c.Handle.
func (s *Session) OpenDir(c *Call, path string) {
	s.request(c, kindHandle, typeOpendir, path, nil)
}

// ReadDir asks for more names of a directory: c.Names. After the last, c.Err is io.EOF.
func (s *Session) ReadDir(c *Call, h Handle) {
	s.onHandle(c, kindNames, typeReaddir, h, nil)
}

// ReadLink asks for the target of a symbolic link: c.Text.
func (s *Session) ReadLink(c *Call, path string) {
	s.request(c, kindText, typeReadlink, path, nil)
}

// RealPath asks for the absolute form of a path: c.Text. Whether links are
// resolved and the path has to exist is the server's choice.
func (s *Session) RealPath(c *Call, path string) {
	s.request(c, kindText, typeRealpath, path, nil)
}

// CloseHandle gives a handle back. Nobody waits for it; then, which may be nil
// and must not block, is called once the server has answered or the session ended.
func (s *Session) CloseHandle(h Handle, then func()) {
	c := new(Call)
	if then != nil {
		c.Then = func(*Call) { then() }
	}
	s.CloseFile(c, h)
}

// Names gives the names of a ReadDir's answer. The bytes are valid until the
// call is used again.
func (c *Call) Names() iter.Seq2[Name, Attr] {
	return func(yield func(Name, Attr) bool) {
		r := reader{b: c.names}
		for n := r.uint32(); n > 0; n-- {
			name := Name{File: r.text(), Long: r.text()}
			attr := r.attr()
			if r.bad || !yield(name, attr) {
				return
			}
		}
	}
}

// CountNames is how many names a ReadDir's answer holds.
func (c *Call) CountNames() int {
	r := reader{b: c.names}
	return int(r.uint32())
}

// Name is one name of a directory, as the server sent it: it may hold any
// bytes, slashes and NUL included, and may be empty.
type Name struct {
	File []byte
	Long []byte // a line as of "ls -l", of no fixed form
}

// parse takes the answer to any request but the data of a READ. An error ends the session.
func (c *Call) parse(typ byte, payload []byte) error {
	r := reader{b: payload}
	if typ == typeStatus {
		return c.parseStatus(&r)
	}
	switch {
	case typ == typeHandle && c.kind == kindHandle:
		c.Handle = Handle(r.text())
		if len(c.Handle) > maxHandle {
			return &ProtocolError{"a handle that is too long"}
		}
	case typ == typeAttrs && c.kind == kindAttrs:
		c.Attr = r.attr()
	case typ == typeName && c.kind == kindText:
		if n := r.uint32(); n == 0 && !r.bad {
			c.Err = &StatusError{Code: CodeFailure, Message: "no name where one was asked for"}
			return nil
		}
		c.Text = string(r.text())
		_ = r.text()
		_ = r.attr()
	case typ == typeName && c.kind == kindNames:
		// The count is the server's word; each name has to be there for it.
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			_, _ = r.text(), r.text()
			_ = r.attr()
		}
		if len(r.b) != 0 {
			r.bad = true // Names and CountNames rely on the count
		}
	case typ == typeExtendedReply && c.kind == kindLimits:
		c.parseLimits(&r)
	case typ == typeExtendedReply && c.kind == kindStatvfs:
		c.Space = parseSpace(&r)
	default:
		return &ProtocolError{fmt.Sprintf("an answer of the wrong type, %d", typ)}
	}
	if r.bad {
		return &ProtocolError{fmt.Sprintf("a malformed answer of type %d", typ)}
	}
	return nil
}

// parseStatus reads a STATUS. Some servers leave out the message and the language.
func (c *Call) parseStatus(r *reader) error {
	code := r.uint32()
	if r.bad {
		return &ProtocolError{"a STATUS packet that is cut short"}
	}
	message := printable(r.text())
	switch {
	case code == statusOK && (c.kind == kindStatus || c.kind == kindClose):
	case code == statusOK && c.kind == kindNames: // as some servers put the end of a listing
		c.Err = io.EOF
	case code == statusEOF && (c.kind == kindRead || c.kind == kindNames):
		c.Err = io.EOF
	default: // OK too, where more than that was asked for
		c.Err = &StatusError{Code: code, Message: message}
	}
	return nil
}
