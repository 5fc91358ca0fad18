package sftpd

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	// maxWaiting requests are read ahead of the one that is carried out.
	maxWaiting = 64
	// A batch of answers that is given in the opposite order is complete when it
	// has heldAnswers, or no request came for heldFor.
	heldAnswers = 8
	heldFor     = 20 * time.Millisecond
)

// errEnded ends a session.
var errEnded = errors.New("sftpd: session ended")

// session is one SFTP session: a channel. But for the reader of its packets, one
// goroutine does all of it, so that requests are answered in order.
type session struct {
	ctx     context.Context // of the connection
	server  *Server
	conn    io.Closer // the connection
	channel ssh.Channel
	root    *os.Root
	handles handles
	held    []packet // answers of a batch that is given in the opposite order
	same    string   // the handle that the next open file gets, unless ""
}

// run serves until the client ends the session, a fault does, or ctx ends. Then it
// closes the channel.
func (s *session) run() {
	ctx, cancel := context.WithCancel(s.ctx)
	requests := make(chan []byte, maxWaiting)
	var reading sync.WaitGroup
	err := s.greet()
	if err == nil {
		reading.Go(func() { readRequests(ctx, s.channel, requests) })
	}
	for err == nil {
		var p []byte
		if p, err = s.next(requests); err == nil {
			err = s.serve(p)
		}
	}
	cancel()
	s.handles.closeAll()
	if errors.Is(err, io.EOF) {
		s.channel.SendRequest("exit-status", false, make([]byte, 4))
	}
	s.channel.Close()
	reading.Wait()
}

// greet exchanges the versions.
func (s *session) greet() error {
	p, err := readPacket(s.channel)
	if err != nil {
		return err
	}
	if p[0] != typeInit {
		return errMalformed
	}
	version := newPacket(typeVersion).uint32(3)
	for _, e := range [][2]string{{PosixRename, "1"}, {StatVFS, "2"}, {Fsync, "1"}, {Limits, "1"}} {
		if s.server.offers(e[0]) {
			version = version.string(e[0]).string(e[1])
		}
	}
	return s.write(version.framed())
}

func readRequests(ctx context.Context, from io.Reader, requests chan<- []byte) {
	defer close(requests)
	for {
		p, err := readPacket(from)
		if err != nil {
			return
		}
		select {
		case requests <- p:
		case <-ctx.Done():
			return
		}
	}
}

// next gives the next request. Answers that are held wait for it no longer than
// heldFor.
func (s *session) next(requests <-chan []byte) ([]byte, error) {
	for {
		var complete <-chan time.Time
		if len(s.held) > 0 {
			complete = time.After(heldFor)
		}
		select {
		case p, ok := <-requests:
			if !ok {
				return nil, io.EOF
			}
			return p, nil
		case <-complete:
			if err := s.release(); err != nil {
				return nil, err
			}
		case <-s.ctx.Done():
			return nil, s.ctx.Err()
		}
	}
}

// serve carries out one request, with the fault that is due for it.
func (s *session) serve(p []byte) error {
	req, err := parse(p)
	switch {
	case err != nil:
		return s.send(result(req.id, err))
	case req.op == "":
		return s.send(result(req.id, errors.ErrUnsupported))
	}
	req.paths = s.subjects(req)
	delay, due := s.server.faults.pick(req.op, req.paths)
	if !s.wait(delay) {
		return errEnded
	}
	if due != nil {
		return s.inject(req, due)
	}
	return s.send(s.do(req))
}

// subjects are the paths of the files that a request is about.
func (s *session) subjects(req request) []string {
	if req.op.byHandle() || req.name == Fsync {
		h, err := s.handles.get(req.first)
		if err != nil {
			return nil
		}
		return []string{h.path}
	}
	paths := []string{clean(req.first)}
	if req.op == Rename {
		paths = append(paths, clean(req.more.string()))
	}
	return paths
}

// do carries out a request and gives its answer.
func (s *session) do(req request) packet {
	var p packet
	var err error
	switch req.op {
	case Open, Opendir:
		p, err = s.open(req)
	case Close:
		err = s.close(req)
	case Read:
		p, err = s.read(req)
	case Write:
		err = s.writeFile(req)
	case Readdir:
		p, err = s.readdir(req)
	case Stat, Lstat, Fstat:
		p, err = s.stat(req)
	case Setstat, Fsetstat:
		err = s.setstat(req)
	case Remove, Rmdir:
		err = s.remove(req)
	case Mkdir:
		err = s.mkdir(req)
	case Rename:
		err = s.rename(req)
	case Realpath, Readlink:
		p, err = s.resolve(req)
	case Extended:
		p, err = s.extended(req)
	}
	if err != nil || p == nil {
		return result(req.id, err)
	}
	return p
}

// send gives an answer to the client, or holds it with others.
func (s *session) send(p packet) error {
	if len(s.held) == 0 {
		return s.write(p.framed())
	}
	s.held = append(s.held, p)
	if len(s.held) < heldAnswers {
		return nil
	}
	return s.release()
}

// release gives the answers that are held, the last one first.
func (s *session) release() error {
	for len(s.held) > 0 {
		last := len(s.held) - 1
		if err := s.write(s.held[last].framed()); err != nil {
			return err
		}
		s.held = s.held[:last]
	}
	return nil
}

func (s *session) write(raw []byte) error {
	_, err := s.channel.Write(raw)
	return err
}

// wait waits, and says whether the connection is still open.
func (s *session) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}
