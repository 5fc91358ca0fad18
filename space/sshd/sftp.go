package sshd

import (
	"encoding/binary"
	"errors"
	"io"

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

// refuseRequests refuses requests on a channel that already serves SFTP.
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
	stream := newStream(c, s)
	defer stream.forget()
	defer s.addChannel(stream)()
	// No allocator is used. Requests keep slices of its pages after these are used
	// again (the attributes of OPEN), and each page is as large as the largest packet.
	g := newGuard(s, handlers)
	g.onAppend = stream.orderWrites
	server := sftp.NewRequestServer(stream, g.handlers(), sftp.WithStartDirectory("/"))
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
