// Package wire is a client's codec of SFTP version 3
// (draft-ietf-secsh-filexfer-02) for listing, reading and writing, built for speed: any
// number of requests may be under way on one channel, each is answered on a Go
// channel of the caller's choice, the bytes of a READ are copied once, into
// the caller's buffer, and those of a WRITE once, out of it.
//
// It trusts nothing that the server sends: a packet that is too long, cut
// short, of the wrong type or of an unknown id ends the session with an error.
package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPacket is the longest answer taken, without its length field: OpenSSH's
	// bound of 256 KiB, and some room for servers that leave the header out of it.
	maxPacket = 256<<10 + 1024

	// DefaultRead is the longest READ that every server has to take: the draft
	// asks for packets of 34000 bytes, of which 32 KiB are data.
	DefaultRead = 32 << 10

	// longestRead keeps an answer below OpenSSH's 256 KiB.
	longestRead = 255 << 10

	// maxText bounds a path or handle that is sent: servers end the session
	// when a packet is longer than the 34000 bytes that they must take.
	maxText = 32 << 10

	// What is kept of the extensions that a server announces, so that it does not
	// fill the memory with them: how many, and the bytes of each.
	maxExtensions = 64
	maxExtension  = 1 << 10

	// inputBuffer is small, so that the data of a large READ goes past it.
	inputBuffer = 4 << 10
)

// ErrClosed is the error of a session that was closed by its user.
var ErrClosed = errors.New("the session is closed")

// ProtocolError says what a server sent that SFTP does not allow. It ends the session.
type ProtocolError struct{ What string }

func (e *ProtocolError) Error() string { return "SFTP protocol error: " + e.What }

// Hint is what to check next.
func (e *ProtocolError) Hint() string {
	return "The server sends what SFTP does not allow: see the cause, and ask the server's administrator or maker; the next pass tries again."
}

// VersionError is a server that answers with another version of SFTP than the one
// that was asked for.
type VersionError struct{ Version uint32 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the server speaks SFTP version %d, version %d was asked for", e.Version, version)
}

// EndError is the error of every call of a session that has ended, and says why it has.
type EndError struct{ Err error }

func (e *EndError) Error() string { return "the SFTP session ended: " + e.Err.Error() }

// Unwrap gives the reason.
func (e *EndError) Unwrap() error { return e.Err }

// Session is one SFTP conversation on a channel. Its methods may be called
// concurrently and, but for Write, none of those that send a request wait for
// the network.
type Session struct {
	rwc        io.ReadWriteCloser
	in         *bufio.Reader
	extensions map[string]string
	maxNames   atomic.Uint32 // the longest NAME packet that is taken
	maxRead    atomic.Int32
	maxWrite   atomic.Int32
	maxHandles atomic.Int32

	handles handles // of the receiver

	wake chan struct{} // has room for one: there is something in out
	done chan struct{} // closed when the session has ended

	mu     sync.Mutex
	nextID uint32
	calls  map[uint32]*Call // under way, by id; nil when the session has ended
	order  answerOrder
	out    queue         // requests to be written
	room   chan struct{} // closed when some of them are; nil when nobody waits for that
	slots  slots
	err    error // why the session has ended
}

// New starts a session on a channel to an SFTP server and learns what the
// server can do. When ctx ends before that, or it fails, rwc is closed.
// The session owns rwc, whose Close must make its Read and Write return.
func New(ctx context.Context, rwc io.ReadWriteCloser) (*Session, error) {
	s := &Session{
		rwc:     rwc,
		in:      bufio.NewReaderSize(rwc, inputBuffer),
		handles: newHandles(),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		calls:   make(map[uint32]*Call),
	}
	started := make(chan error, 1)
	go func() { started <- s.negotiate() }()
	select {
	case err := <-started:
		if err != nil {
			_ = rwc.Close()
			return nil, fmt.Errorf("start the SFTP session: %w", err)
		}
	case <-ctx.Done():
		_ = rwc.Close()
		return nil, context.Cause(ctx)
	}
	s.maxNames.Store(maxPacket)
	s.maxRead.Store(DefaultRead)
	s.maxWrite.Store(DefaultWrite)
	go s.receive()
	go s.transmit()
	s.askLimits()
	return s, nil
}

// negotiate exchanges INIT and VERSION.
func (s *Session) negotiate() error {
	if _, err := s.rwc.Write([]byte{0, 0, 0, 5, typeInit, 0, 0, 0, version}); err != nil {
		return err
	}
	var head [5]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(head[:])
	if head[4] != typeVersion || length < 5 || length > maxPacket {
		return &ProtocolError{"no VERSION packet came first"}
	}
	payload := make([]byte, length-1)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		return err
	}
	r := reader{b: payload}
	if v := r.uint32(); v != version {
		return &VersionError{v}
	}
	s.extensions = make(map[string]string)
	for len(r.b) > 0 && !r.bad {
		name, data := r.text(), r.text()
		if len(s.extensions) < maxExtensions && len(name)+len(data) <= maxExtension {
			s.extensions[string(name)] = string(data)
		}
	}
	if r.bad {
		return &ProtocolError{"a malformed VERSION packet"}
	}
	return nil
}

// askLimits asks for the longest READ and WRITE by limits@openssh.com, where
// the server has it, and does not wait for the answer.
func (s *Session) askLimits() {
	if _, ok := s.extensions[LimitsExtension]; !ok {
		return
	}
	c := &Call{Then: func(c *Call) {
		if c.Err == nil {
			s.adopt(c.limits)
		}
	}}
	s.request(c, kindLimits, typeExtended, LimitsExtension, nil)
}

// Extensions gives the extensions that the server announced, with their data.
// The map must not be changed.
func (s *Session) Extensions() map[string]string { return s.extensions }

// MaxRead is the longest READ, in bytes, that the server says it answers whole:
// DefaultRead until it has said so. A server that answers in order has, once it
// has answered any call.
func (s *Session) MaxRead() int { return int(s.maxRead.Load()) }

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err is the *EndError of a session that has ended; nil before.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close ends the session, the calls under way, and the channel.
func (s *Session) Close() error {
	s.fail(ErrClosed)
	return nil
}

// request queues one request: its type, the next id, a path or the name of an
// extension, and what follows that.
func (s *Session) request(c *Call, k kind, typ byte, name string, tail []byte) {
	s.requestOn(c, "", k, typ, name, tail)
}

// onHandle queues one request about an open handle.
func (s *Session) onHandle(c *Call, k kind, typ byte, h Handle, tail []byte) {
	s.requestOn(c, h, k, typ, string(h), tail)
}

// requestOn is request for what is about the handle on, "" for none.
func (s *Session) requestOn(c *Call, on Handle, k kind, typ byte, name string, tail []byte) {
	c.kind, c.on, c.Err, c.N = k, on, nil, 0
	if len(name)+len(tail) > maxText {
		c.finish(errTooLong)
		return
	}
	s.mu.Lock()
	if s.calls == nil {
		err := s.err
		s.mu.Unlock()
		c.finish(err)
		return
	}
	if k != kindHandle || s.slots.acquire(c, typ, name, tail) {
		s.enqueue(c, typ, name, tail, nil)
	}
	s.mu.Unlock()
	s.wakeUp()
}

// enqueue puts a request into the queue under the next id. The caller holds s.mu.
func (s *Session) enqueue(c *Call, typ byte, name string, tail, data []byte) {
	s.nextID++
	var head [13]byte
	binary.BigEndian.PutUint32(head[:], uint32(1+4+4+len(name)+len(tail)+len(data)))
	head[4] = typ
	binary.BigEndian.PutUint32(head[5:], s.nextID)
	binary.BigEndian.PutUint32(head[9:], uint32(len(name)))
	c.sent, c.typ, c.extension = time.Now(), typ, ""
	if typ == typeExtended {
		c.extension = name
	}
	s.calls[s.nextID] = c
	s.out.add(head[:])
	s.out.addText(name)
	s.out.add(tail)
	s.out.add(data)
}

func (s *Session) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// transmit writes what is queued, all of it at once, until the session ends.
func (s *Session) transmit() {
	var batch [][]byte
	for {
		select {
		case <-s.wake:
		case <-s.done:
			return
		}
		s.mu.Lock()
		batch = s.out.take(batch[:0])
		s.mu.Unlock()
		for i, block := range batch {
			if _, err := s.rwc.Write(block); err != nil {
				s.fail(err)
				return
			}
			batch[i] = nil
			s.mu.Lock()
			s.out.recycle(block)
			if s.room != nil {
				close(s.room)
				s.room = nil
			}
			s.mu.Unlock()
		}
	}
}

// GrowNames says that names become up to so many times as long on their way here:
// the bound of a NAME packet is as much higher from now on.
func (s *Session) GrowNames(times uint32) { s.maxNames.Store(times * maxPacket) }

// receive reads answers until the session ends.
func (s *Session) receive() {
	head := make([]byte, 9) // length, type, id
	var scratch []byte
	for {
		if _, err := io.ReadFull(s.in, head); err != nil {
			s.fail(err)
			return
		}
		length := binary.BigEndian.Uint32(head)
		typ, id := head[4], binary.BigEndian.Uint32(head[5:])
		if length < 5 || length > maxPacket && (typ != typeName || length > s.maxNames.Load()) {
			s.fail(&ProtocolError{fmt.Sprintf("a packet of %d bytes", length)})
			return
		}
		s.mu.Lock()
		c := s.calls[id]
		delete(s.calls, id)
		if c != nil {
			s.order.coming, s.order.comingID = c, id
		}
		s.mu.Unlock()
		if c == nil {
			s.fail(&ProtocolError{"an answer to no question"})
			return
		}
		var err error
		if c.kind == kindRead && typ == typeData {
			err = s.readData(c, int(length)-5)
		} else {
			scratch, err = s.readAnswer(c, typ, int(length)-5, scratch)
		}
		if err != nil {
			s.fail(err)
			c.finish(s.Err())
			return
		}
		s.came()
		s.settle(c)
	}
}

// readData reads the rest of a DATA packet into the place that the call has for it.
func (s *Session) readData(c *Call, length int) error {
	var head [4]byte
	if length < len(head) {
		return &ProtocolError{"a DATA packet that is cut short"}
	}
	p, err := s.in.Peek(len(head)) // not ReadFull, which would put head on the heap
	if err != nil {
		return err
	}
	copy(head[:], p)
	_, _ = s.in.Discard(len(head))
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n != int64(length-len(head)) {
		return &ProtocolError{"a DATA packet whose lengths disagree"}
	}
	if n > int64(c.asked) {
		return &ProtocolError{"more DATA than was asked for"}
	}
	if c.Room != nil {
		c.Buf = c.Room(int(n))
	}
	if _, err := io.ReadFull(s.in, c.Buf[:n]); err != nil {
		return err
	}
	c.N = int(n)
	return nil
}

// readAnswer reads the rest of any other packet and hands it to its call. The
// buffer of a NAME packet becomes the call's, whose old one comes back for the next.
func (s *Session) readAnswer(c *Call, typ byte, length int, scratch []byte) ([]byte, error) {
	if cap(scratch) < length {
		scratch = make([]byte, length)
	}
	scratch = scratch[:length]
	if _, err := io.ReadFull(s.in, scratch); err != nil {
		return scratch, err
	}
	if err := c.parse(typ, scratch); err != nil {
		return scratch, err
	}
	if c.kind == kindNames && typ == typeName {
		scratch, c.names = c.names, scratch
	}
	return scratch, nil
}

// fail ends the session, once; later errors change nothing.
func (s *Session) fail(err error) {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // an io.EOF of a session must not pass for the end of a file
	}
	err = &EndError{err}
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	calls, waiting := s.calls, s.slots.waiting
	s.calls, s.out, s.slots.waiting = nil, queue{}, nil
	s.mu.Unlock()
	close(s.done)
	_ = s.rwc.Close()
	for _, c := range calls {
		c.finish(err)
	}
	for _, o := range waiting {
		o.call.finish(err)
	}
}
