package sftptest

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// queue is how many requests of a channel are read ahead.
	queue = 64
	// held is how many answers are shuffled together, and shuffleWait how long
	// one waits for others.
	held        = 8
	shuffleWait = 5 * time.Millisecond
)

// session is the SFTP server on one channel. Requests are answered one by one
// in their order, as OpenSSH's sftp-server does.
type session struct {
	*conn
	ch      ssh.Channel
	out     *bufio.Writer
	handles map[string][]*handle // the newest of each is the last
	inUse   int                  // of those
	opened  int
	answer  []byte   // the answer under construction, its space used again
	shuffle [][]byte // answers held back
}

func newSession(c *conn, ch ssh.Channel) *session {
	return &session{conn: c, ch: ch, out: bufio.NewWriterSize(ch, 64<<10), handles: map[string][]*handle{}}
}

// serve answers requests until the channel ends.
func (s *session) serve() {
	requests := make(chan []byte, queue)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(requests)
		in := bufio.NewReaderSize(s.ch, 64<<10)
		for {
			p, err := readPacket(in)
			if err != nil {
				return
			}
			select {
			case requests <- p:
			case <-done:
				return
			}
		}
	}()
	s.loop(requests)
	for _, all := range s.handles {
		for _, h := range slices.Clone(all) {
			s.close(h)
		}
	}
	close(done)
	_, _ = s.ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{0}))
	s.ch.Close()
	<-ended
}

func (s *session) loop(requests <-chan []byte) {
	for {
		p, ok := s.next(requests)
		if !ok || !s.handle(p) {
			_ = s.flush()
			return
		}
	}
}

// next gives the next request. When none is there yet, it sends all answers first.
func (s *session) next(requests <-chan []byte) ([]byte, bool) {
	select {
	case p, ok := <-requests:
		return p, ok
	default:
	}
	if len(s.shuffle) > 0 {
		select {
		case p, ok := <-requests:
			return p, ok
		case <-time.After(shuffleWait):
		}
	}
	if s.flush() != nil {
		return nil, false
	}
	p, ok := <-requests
	return p, ok
}

func (s *session) flush() error {
	rand.Shuffle(len(s.shuffle), func(i, j int) { s.shuffle[i], s.shuffle[j] = s.shuffle[j], s.shuffle[i] })
	for _, a := range s.shuffle {
		_, _ = s.out.Write(a) // an error stays in the writer until Flush
	}
	s.shuffle = nil
	return s.out.Flush()
}

// handle answers one request, and reports whether the session goes on.
func (s *session) handle(p []byte) bool {
	f := s.srv.faults.Load()
	in := &fields{b: p}
	op := Op(in.byte())
	if op != OpInit {
		n := int(s.requests.Add(1))
		s.srv.count(func(c *Counts) { c.Requests++; c.Ops[op]++ })
		switch {
		case f.DieAtRequest > 0 && n >= f.DieAtRequest:
			if s.die(f) {
				return false
			}
		case f.FreezeAtRequest > 0 && n >= f.FreezeAtRequest:
			s.freeze()
			<-s.closed
			return false
		case f.SilentAtRequest > 0 && n >= f.SilentAtRequest, slices.Contains(f.Unanswered, op):
			return true
		}
	}
	if !s.sleep(f.Delay) {
		return false
	}
	id := uint32(0)
	if op != OpInit {
		id = in.uint32()
	}
	s.answer = append(s.answer[:0], 0, 0, 0, 0) // the length comes last
	data := s.dispatch(f, op, id, in)
	if f.DieAtHandles > 0 && s.inUse >= f.DieAtHandles {
		if f.ConnectionDies {
			s.die(f)
		}
		return false
	}
	n := len(s.answer) - 4
	copy(s.answer, appendUint32(nil, uint32(n)))
	if op == OpWrite && f.DieAtWrite > 0 && s.writes.Add(1) >= int64(f.DieAtWrite) && s.die(f) {
		return false
	}
	if f.ShuffleReads && op == OpRead || f.ShuffleWrites && op == OpWrite {
		s.shuffle = append(s.shuffle, bytes.Clone(s.answer))
		if len(s.shuffle) >= held && s.flush() != nil {
			return false
		}
	} else if !s.srv.hold.Load().takes(op, s.ch, s.answer) {
		if _, err := s.out.Write(s.answer); err != nil {
			return false
		}
	}
	return data == 0 || s.afterData(f, data)
}

// afterData does what is due once file data was sent.
func (s *session) afterData(f *Faults, n int) bool {
	s.srv.count(func(c *Counts) { c.BytesRead += int64(n) })
	sent := s.sent.Add(int64(n))
	if f.DieAfterBytes > 0 && sent >= f.DieAfterBytes {
		_ = s.flush()
		if s.die(f) {
			return false
		}
	}
	if f.Bandwidth > 0 {
		_ = s.flush()
		return s.sleep(time.Duration(float64(n) / float64(f.Bandwidth) * float64(time.Second)))
	}
	return true
}

// sleep reports whether the connection still stands afterwards.
func (s *session) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-s.closed:
		return false
	}
}

// dispatch writes the answer to one request, and gives the number of bytes of
// file data in it.
func (s *session) dispatch(f *Faults, op Op, id uint32, in *fields) int {
	switch op {
	case OpInit:
		s.version(f)
		return 0
	case OpRead, OpWrite, OpClose, OpFstat, OpFsetstat, OpReaddir:
		return s.onHandle(f, op, id, in)
	case OpExtended:
		s.status(id, s.extended(f, id, in))
		return 0
	}
	p := s.abs(in.string())
	if in.err != nil {
		s.status(id, StatusBadMessage)
		return 0
	}
	if f.Fail != nil {
		if st := f.Fail(op, p); st != StatusOK {
			s.status(id, st)
			return 0
		}
	}
	s.onPath(f, op, id, p, in)
	return 0
}

// abs gives the path that the client means, otherwise as it wrote it.
func (s *session) abs(p string) string {
	switch {
	case p == "" || p == ".":
		return s.srv.Root
	case p[0] != '/':
		return s.srv.Root + "/" + p
	}
	return p
}

// answered stands for a status when the answer has been written already.
const answered Status = 1 << 31

func (s *session) head(kind byte, id uint32) {
	s.answer = appendUint32(append(s.answer, kind), id)
}

func (s *session) status(id uint32, st Status) {
	if st == answered {
		return
	}
	s.head(answerStatus, id)
	s.answer = appendUint32(s.answer, uint32(st))
	s.answer = appendString(s.answer, st.String())
	s.answer = appendString(s.answer, "")
}

func (s *session) statusOf(id uint32, err error) { s.status(id, statusOf(err)) }

func statusOf(err error) Status {
	switch {
	case err == nil:
		return StatusOK
	case errors.Is(err, io.EOF):
		return StatusEOF
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		return StatusNoSuchFile
	case errors.Is(err, fs.ErrPermission):
		return StatusPermissionDenied
	}
	return StatusFailure
}

// String gives the messages of OpenSSH.
func (st Status) String() string {
	switch st {
	case StatusOK:
		return "Success"
	case StatusEOF:
		return "End of file"
	case StatusNoSuchFile:
		return "No such file"
	case StatusPermissionDenied:
		return "Permission denied"
	case StatusBadMessage:
		return "Bad message"
	case StatusOpUnsupported:
		return "Operation unsupported"
	}
	return "Failure"
}

func (s *session) version(f *Faults) {
	s.answer = appendUint32(append(s.answer, answerVersion), cmp.Or(f.Version, 3))
	if f.NoExtensions {
		return
	}
	for _, name := range []string{"posix-rename@openssh.com", "fsync@openssh.com", "limits@openssh.com", "statvfs@openssh.com"} {
		if slices.Contains(f.Without, name) {
			continue
		}
		s.answer = appendString(appendString(s.answer, name), "1")
	}
}
