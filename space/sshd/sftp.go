package sshd

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// subsystem gives the name in the payload of a "subsystem" request (RFC 4254,
// section 6.5).
func subsystem(payload []byte) (name string, ok bool) {
	var request struct{ Name string }
	if err := ssh.Unmarshal(payload, &request); err != nil {
		return "", false
	}
	return request.Name, true
}

// serveChannel waits for the request for SFTP, refuses all others, and serves it.
func (s *session) serveChannel(c ssh.Channel, requests <-chan *ssh.Request) {
	defer c.Close()
	for r := range requests {
		s.touch()
		name, ok := "", false
		if r.Type == "subsystem" {
			name, ok = subsystem(r.Payload)
		}
		if !ok || name != "sftp" {
			_ = r.Reply(false, nil) // a failed write ends the connection, and the loop
			continue
		}
		handlers, err := s.handlers()
		if err != nil {
			s.log().Error("SFTP could not be started", "err", err)
			_ = r.Reply(false, nil)
			return
		}
		if r.Reply(true, nil) != nil {
			return
		}
		s.tasks.Go(func() { s.refuseRequests(requests) })
		s.serveSFTP(c, handlers)
		return
	}
}

// refuseRequests answers what a client asks of a channel that serves already.
func (s *session) refuseRequests(requests <-chan *ssh.Request) {
	for r := range requests {
		s.touch()
		_ = r.Reply(false, nil)
	}
}

// serveSFTP serves until the client ends the channel or the connection.
func (s *session) serveSFTP(c ssh.Channel, handlers sftp.Handlers) {
	defer func() {
		if p := recover(); p != nil { // pkg/sftp reads packets in this goroutine
			s.panicked("packet", p)
		}
	}()
	stream := &stream{Channel: c, session: s}
	defer stream.forget()
	defer s.opened(stream)()
	// No allocator: requests keep slices of its pages after these are used again
	// (the attributes of OPEN), and each page is as large as the largest packet.
	server := sftp.NewRequestServer(stream, newGuard(s, handlers).handlers(), sftp.WithStartDirectory("/"))
	err := server.Serve()
	status := uint32(0)
	if err != nil && !errors.Is(err, io.EOF) {
		s.log().Debug("SFTP ended", "err", printable(err.Error()))
		status = 1
	}
	// Clients take a channel without a status for a broken connection (RFC 4254,
	// section 6.10).
	_, _ = c.SendRequest("exit-status", false, binary.BigEndian.AppendUint32(nil, status))
}

// stream is the channel of one SFTP session, seen by pkg/sftp: it knows how many
// requests are not answered, and does not wait for ever for a client that does
// not read. pkg/sftp reads in one goroutine and writes in another.
type stream struct {
	ssh.Channel
	session *session
	in, out packets
	waiting atomic.Int64 // requests without an answer
}

func (c *stream) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	if n > 0 {
		c.session.touch()
		done := c.in.count(p[:n])
		c.waiting.Add(done)
		c.session.waiting.Add(done)
	}
	return n, err
}

// Write waits for the client to make room, at most Options.Idle.
func (c *stream) Write(p []byte) (int, error) {
	stalled := time.AfterFunc(c.session.server.options.Idle, func() { c.session.cut(EndStalled) })
	defer stalled.Stop()
	n, err := c.Channel.Write(p)
	c.session.touch()
	done := c.out.count(p[:n])
	c.waiting.Add(-done)
	c.session.waiting.Add(-done)
	c.session.changed()
	return n, err
}

// forget is called at the end: what was not answered will not be.
func (c *stream) forget() { c.session.waiting.Add(-c.waiting.Load()) }

// packets counts the SFTP packets that have passed completely. Each begins with
// its length in four bytes (draft-ietf-secsh-filexfer-02, section 3).
type packets struct {
	head [4]byte
	have int   // bytes of head
	rest int64 // bytes of the packet that are to come
}

// count looks at the next bytes and says how many packets end in them.
func (c *packets) count(p []byte) (done int64) {
	for len(p) > 0 {
		if c.have < len(c.head) {
			n := copy(c.head[c.have:], p)
			c.have += n
			p = p[n:]
			if c.have < len(c.head) {
				return done
			}
			c.rest = int64(binary.BigEndian.Uint32(c.head[:]))
		}
		n := min(int64(len(p)), c.rest)
		c.rest -= n
		p = p[n:]
		if c.rest == 0 {
			c.have = 0
			done++
		}
	}
	return done
}
