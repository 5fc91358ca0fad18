package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is the far side of a session: it has its answers ready, and ends after them.
type scripted struct {
	answers io.Reader
	ready   chan struct{} // closed when the answers after VERSION may be read
	first   io.Reader
	closed  chan struct{}
	once    sync.Once
	asked   func() // called at each Write, if not nil
}

func newScripted(version, answers []byte) *scripted {
	return &scripted{answers: bytes.NewReader(answers), first: bytes.NewReader(version),
		ready: make(chan struct{}), closed: make(chan struct{})}
}

func (s *scripted) Read(p []byte) (int, error) {
	if n, err := s.first.Read(p); err == nil {
		return n, nil
	}
	select {
	case <-s.ready:
		return s.answers.Read(p)
	case <-s.closed:
		return 0, io.ErrClosedPipe
	}
}

func (s *scripted) Write(p []byte) (int, error) {
	if s.asked != nil {
		s.asked()
	}
	return len(p), nil
}

func (s *scripted) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// packet makes one, with its length.
func packet(typ byte, parts ...any) []byte {
	b := []byte{0, 0, 0, 0, typ}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case string:
			b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

var plainVersion = packet(typeVersion, 3)

// ask sends one request of each kind, ids 1 to 10, and gives the calls in their order.
func ask(s *Session) []*Call {
	done := make(chan *Call, 10)
	calls := make([]*Call, 10)
	for i := range calls {
		calls[i] = &Call{Done: done, Tag: i, Buf: make([]byte, 16)}
	}
	s.Open(calls[0], "a")
	s.Read(calls[1], "h", 0, 16)
	s.Fstat(calls[2], "h")
	s.OpenDir(calls[3], "d")
	s.ReadDir(calls[4], "h")
	s.ReadLink(calls[5], "l")
	s.Lstat(calls[6], "a")
	s.RealPath(calls[7], ".")
	s.Statvfs(calls[8], ".")
	_ = s.Write(context.Background(), calls[9], "h", 0, []byte("x"))
	return calls
}

const (
	idOpen = iota + 1
	idRead
	idFstat
	idOpenDir
	idReadDir
	idReadLink
	idLstat
	idRealPath
	idStatvfs
	idWrite
)

// converse feeds the answers to a session with one request of each kind under
// way, until all of them have come back.
func converse(t testing.TB, answers []byte) ([]*Call, error) {
	t.Helper()
	rwc := newScripted(plainVersion, answers)
	s, err := New(context.Background(), rwc)
	if err != nil {
		t.Fatal(err)
	}
	calls := ask(s)
	close(rwc.ready)
	for range calls {
		select {
		case <-calls[0].Done:
		case <-time.After(10 * time.Second):
			t.Fatal("a call never came back")
		}
	}
	<-s.Done()
	return calls, s.Err()
}

func TestAnswers(t *testing.T) {
	attr := []byte{0, 0, 0, 0xd, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0x81, 0xa4, 0, 0, 0, 1, 0, 0, 0, 2}
	answers := bytes.Join([][]byte{
		packet(typeHandle, idOpenDir, "dir"),
		packet(typeData, idRead, "0123456789"),
		packet(typeHandle, idOpen, "file"),
		packet(typeAttrs, idFstat, attr),
		packet(typeName, idReadDir, 2, "x", "-rw x", attr, "..", "", 0),
		packet(typeName, idReadLink, 1, "target", "", 0),
		packet(typeStatus, idLstat, CodeNoSuchFile, "gone\x1b[2J\n", "en"),
		packet(typeStatus, idRealPath, CodeFailure), // no message, as old servers do
	}, nil)
	calls, err := converse(t, answers)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the session ended with %v", err)
	}
	if calls[0].Handle != "file" || calls[3].Handle != "dir" {
		t.Errorf("the handles are %q and %q", calls[0].Handle, calls[3].Handle)
	}
	if got := string(calls[1].Buf[:calls[1].N]); got != "0123456789" {
		t.Errorf("the data are %q", got)
	}
	a := calls[2].Attr
	if mode, ok := a.Mode(); a.Size() != 7 || a.ModTime().Unix() != 2 || !ok || mode != 0o644 {
		t.Errorf("the attributes are %+v", a)
	}
	var names []string
	for n, a := range calls[4].Names() {
		names = append(names, fmt.Sprintf("%s %s %d", n.File, n.Long, a.Size()))
	}
	if got := strings.Join(names, "|"); got != "x -rw x 7|..  -1" || calls[4].CountNames() != 2 {
		t.Errorf("the names are %q", got)
	}
	if calls[5].Text != "target" {
		t.Errorf("the link leads to %q", calls[5].Text)
	}
	if err := calls[6].Err; !errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Errorf("a file that is not there: %v", err)
	}
	if e, ok := errors.AsType[*StatusError](calls[6].Err); !ok || e.Message != "gone?[2J?" {
		t.Errorf("the message is %+v", e)
	}
	if err := calls[7].Err; err == nil || err.Error() != "the server answered: failure" {
		t.Errorf("a failure: %v", err)
	}
}

// Whatever breaks the protocol ends the session, with all calls under way.
func TestBrokenAnswers(t *testing.T) {
	for name, answer := range map[string][]byte{
		"no id":                 {0, 0, 0, 1, typeStatus, 0, 0, 0, 9},
		"a packet too long":     {0xff, 0xff, 0xff, 0xff, typeData, 0, 0, 0, 1},
		"an unknown id":         packet(typeStatus, 99, 0),
		"the wrong type":        packet(typeAttrs, idOpen, 0),
		"an unknown type":       packet(77, idOpen),
		"data for no READ":      packet(typeData, idFstat, "x"),
		"more data than asked":  packet(typeData, idRead, strings.Repeat("x", 17)),
		"data cut short":        packet(typeData, idRead, 10, []byte("x")),
		"data without a length": packet(typeData, idRead),
		"data and more":         packet(typeData, idRead, "x", []byte("y")),
		"a status cut short":    packet(typeStatus, idOpen, []byte{0}),
		"a handle too long":     packet(typeHandle, idOpen, strings.Repeat("h", 257)),
		"a handle cut short":    packet(typeHandle, idOpen, 4, []byte("h")),
		"a million names":       packet(typeName, idReadDir, 1_000_000, "x", "", 0),
		"fewer names":           packet(typeName, idReadDir, 0, "x", "", 0),
		"attributes cut short":  packet(typeAttrs, idFstat, attrSize, 0),
		"numbers cut short":     packet(typeExtendedReply, idStatvfs, 0, 4096, 0),
		"a handle for a WRITE":  packet(typeHandle, idWrite, "h"),
		"extended without end":  packet(typeAttrs, idFstat, []byte{0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}),
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := converse(t, answer)
			if _, ok := errors.AsType[*ProtocolError](err); !ok {
				t.Errorf("the session ended with %v", err)
			}
			for _, c := range calls {
				if _, ok := errors.AsType[*EndError](c.Err); !ok {
					t.Errorf("call %d ended with %v", c.Tag, c.Err)
				}
			}
		})
	}
}

func TestBadStart(t *testing.T) {
	for name, first := range map[string][]byte{
		"nothing":        nil,
		"text":           []byte("Welcome to this server!\r\n"),
		"version 6":      packet(typeVersion, 6),
		"a status":       packet(typeStatus, 0, 0),
		"an extension":   packet(typeVersion, 3, "name without data"),
		"a long VERSION": {0xff, 0xff, 0xff, 0xff, typeVersion},
	} {
		rwc := newScripted(first, nil)
		close(rwc.ready)
		if s, err := New(t.Context(), rwc); err == nil {
			t.Errorf("%s: a session %v", name, s)
		}
		<-rwc.closed
	}
}

func TestStartObeysContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	rwc := newScripted(nil, nil)
	if _, err := New(ctx, rwc); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	<-rwc.closed
}

// A server that never answers the question for its limits is served without.
func TestStartDoesNotWaitForLimits(t *testing.T) {
	s, err := New(t.Context(), newScripted(packet(typeVersion, 3, LimitsExtension, "1"), nil))
	if err != nil {
		t.Fatal(err)
	}
	if s.MaxRead() != DefaultRead {
		t.Errorf("READs of %d bytes", s.MaxRead())
	}
	s.Close()
}

func TestLimits(t *testing.T) {
	for _, test := range []struct {
		answer []byte
		want   int
	}{
		{packet(typeExtendedReply, 1, 0, 262144, 0, 261120, 0, 261120, 0, 1019), 261120},
		{packet(typeExtendedReply, 1, 0, 0, 0, 0, 0, 0, 0, 0), DefaultRead},
		{packet(typeExtendedReply, 1, -1, -1, -1, -1, -1, -1, -1, -1), longestRead},
		{packet(typeStatus, 1, CodeUnsupported, "", ""), DefaultRead},
	} {
		rwc := newScripted(packet(typeVersion, 3, LimitsExtension, "1"), test.answer)
		writes := 0
		rwc.asked = func() {
			if writes++; writes == 2 { // INIT, limits@openssh.com
				close(rwc.ready)
			}
		}
		s, err := New(t.Context(), rwc)
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done() // the answer was the last
		if s.MaxRead() != test.want {
			t.Errorf("READs of %d bytes, not %d", s.MaxRead(), test.want)
		}
		s.Close()
	}
}

// serve gives a session with pkg/sftp's server, which knows nothing of this package.
func serve(t testing.TB, options ...sftp.ServerOption) *Session {
	t.Helper()
	near, far := net.Pipe()
	server, err := sftp.NewServer(far, options...)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve()
	s, err := New(t.Context(), near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		server.Close()
	})
	return s
}

// asker sends requests one by one.
type asker struct {
	t *testing.T
	*Session
	*Call
}

// answer waits for the answer to what was sent with the asker's Call.
func (a asker) answer() *Call {
	a.t.Helper()
	if err := a.Wait(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	return a.Call
}

func newAsker(t *testing.T, options ...sftp.ServerOption) asker {
	return asker{t, serve(t, options...), &Call{Done: make(chan *Call, 1)}}
}

func TestReadsAgainstServer(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	a := newAsker(t, sftp.ReadOnly())
	a.Session.Open(a.Call, name)
	h := a.answer().Handle

	const block = 30_000
	done := make(chan *Call, 20)
	got := make([]byte, len(content))
	n := 0
	for off := 0; off < len(content); off += block {
		place := got[off:min(off+block, len(got))]
		a.Session.Read(&Call{Done: done, Off: int64(off), Room: func(n int) []byte { return place[:n] }}, h, int64(off), len(place))
		n++
	}
	for range n {
		if c := <-done; c.Err != nil || c.N != len(c.Buf) {
			t.Errorf("%d bytes at %d: %v", c.N, c.Off, c.Err)
		}
	}
	if !bytes.Equal(got, content) {
		t.Error("other bytes came")
	}
	a.Buf = make([]byte, 1)
	a.Session.Read(a.Call, h, int64(len(content)), 1)
	if err := a.Wait(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	a.Fstat(a.Call, h)
	if size := a.answer().Attr.Size(); size != int64(len(content)) {
		t.Errorf("the size is %d", size)
	}
	closed := make(chan struct{})
	a.CloseHandle(h, func() { close(closed) })
	<-closed
	if n := a.Waiting(); n != 0 {
		t.Errorf("%d calls are under way", n)
	}
}

func TestPathsAgainstServer(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/f", nil, 0o600), os.Symlink("f", dir+"/l")); err != nil {
		t.Fatal(err)
	}
	a := newAsker(t, sftp.ReadOnly())
	a.Lstat(a.Call, dir+"/l")
	if mode, ok := a.answer().Attr.Mode(); !ok || mode.Type() != fs.ModeSymlink {
		t.Errorf("the link's mode is %v", mode)
	}
	a.Stat(a.Call, dir+"/l")
	if mode, ok := a.answer().Attr.Mode(); !ok || !mode.IsRegular() {
		t.Errorf("the target's mode is %v", mode)
	}
	a.ReadLink(a.Call, dir+"/l")
	if to := a.answer().Text; to != "f" {
		t.Errorf("the link leads to %q", to)
	}
	a.OpenDir(a.Call, dir)
	h := a.answer().Handle
	a.ReadDir(a.Call, h)
	if n := a.answer().CountNames(); n < 2 {
		t.Errorf("%d names", n)
	}
	a.Stat(a.Call, strings.Repeat("x/", maxText))
	if err := a.Wait(t.Context()); !errors.Is(err, errTooLong) {
		t.Errorf("a long path: %v", err)
	}
	a.Close()
	a.Stat(a.Call, dir)
	if err := a.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(packet(typeHandle, idOpen, "file"))
	f.Add(packet(typeData, idRead, "0123456789"))
	f.Add(packet(typeName, idReadDir, 1, "x", "", 0))
	f.Add(packet(typeName, idReadLink, 1, "x", "", 0))
	f.Add(packet(typeAttrs, idFstat, []byte{0x80, 0, 0, 0xf, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}))
	f.Add(packet(typeStatus, idLstat, 4, "failure", "en"))
	f.Add(packet(typeStatus, idWrite, 0, "", ""))
	f.Add(packet(typeExtendedReply, idStatvfs, make([]byte, 88)))
	f.Fuzz(func(t *testing.T, answers []byte) {
		calls, err := converse(t, answers)
		if err == nil {
			t.Fatal("the session goes on after its end")
		}
		names := 0
		for n, a := range calls[4].Names() {
			names++
			_, _ = a.Mode()
			if len(n.File)+len(n.Long)+12 > len(answers) {
				t.Fatal("a name is longer than all that came")
			}
		}
		if calls[4].Err == nil && names != calls[4].CountNames() {
			t.Fatalf("%d of %d names", names, calls[4].CountNames())
		}
		if len(calls[0].Handle) > maxHandle {
			t.Fatal("the handle is too long")
		}
	})
}

func FuzzVersion(f *testing.F) {
	f.Add(packet(typeVersion, 3, "a", "b"))
	f.Add(packet(typeVersion, 3, LimitsExtension, "1"))
	f.Fuzz(func(t *testing.T, first []byte) {
		rwc := newScripted(first, nil)
		close(rwc.ready)
		if s, err := New(t.Context(), rwc); err == nil {
			s.Close()
		}
	})
}
