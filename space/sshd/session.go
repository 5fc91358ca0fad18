package sshd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// maxChannels is how many channels a connection may have, as in OpenSSH.
const maxChannels = 10

// keepalive is the request that asks whether the other side is alive. Any answer will
// do (OpenSSH).
const keepalive = "keepalive@openssh.com"

// session is one client that is logged in.
type session struct {
	server  *Server
	client  *client
	conn    *ssh.ServerConn
	space   string // a Space that exists
	cuts    int    // of the Space, at the login
	address string
	since   time.Time

	tasks sync.WaitGroup // all goroutines of the session

	active                          atomic.Int64 // time of the last request or answer, after since
	running                         atomic.Int64 // handlers that are running
	writers                         atomic.Int64 // files that are open for writing
	waiting                         atomic.Int64 // requests without an answer
	received, sent, stored, fetched atomic.Int64
	stopping                        atomic.Bool // no more files may be opened

	changes chan struct{} // wakes watchStop

	mu       sync.Mutex
	end      Reason // the first one counts
	channels map[*stream]struct{}
	open     int // channels, also those without SFTP

	openFiles int // Server.open guards it
}

func newSession(s *Server, c *client, conn *ssh.ServerConn) *session {
	g := conn.Permissions.ExtraData[grantKey{}].(grant)
	return &session{
		server: s, client: c, conn: conn,
		space: g.space, cuts: g.cuts, address: c.address, since: time.Now(),
		changes: make(chan struct{}, 1), channels: map[*stream]struct{}{},
	}
}

func (s *session) log() *slog.Logger {
	return s.server.options.Log.With("space", s.space, "address", s.address)
}

func (s *session) info() Session {
	return Session{
		Space: s.space, Address: s.address, Client: printable(string(s.conn.ClientVersion())), Since: s.since,
		Received: s.received.Load(), Sent: s.sent.Load(), Stored: s.stored.Load(), Fetched: s.fetched.Load(),
	}
}

// run serves the client until it ends, is cut, or ctx ends and its files are written.
// All goroutines of the session have ended when it returns.
func (s *session) run(ctx context.Context, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	s.log().Info("logged in", "client", s.info().Client)
	s.server.options.OnEvent(Event{Kind: Connected, Session: s.info()})
	gone := make(chan struct{})
	s.tasks.Go(func() { s.answerRequests(requests) })
	s.tasks.Go(func() { s.keepAlive(gone) })
	s.tasks.Go(func() { s.watchIdle(gone) })
	s.tasks.Go(func() { s.watchStop(ctx, gone) })
	for c := range channels { // until the connection ends
		s.touch()
		s.accept(c)
	}
	close(gone)
	s.tasks.Wait()
	s.conn.Close()
	why, err := s.ended()
	info := s.info()
	s.log().Info("logged out", "why", why, "err", err, "after", time.Since(s.since).Round(time.Millisecond),
		"received", info.Received, "sent", info.Sent, "stored", info.Stored, "fetched", info.Fetched)
	s.server.options.OnEvent(Event{Kind: Closed, Reason: why, Session: info})
}

// accept accepts a channel for a session, and no other kind.
func (s *session) accept(c ssh.NewChannel) {
	if c.ChannelType() != "session" {
		_ = c.Reject(ssh.Prohibited, "this server is for SFTP only")
		return
	}
	s.mu.Lock()
	full := s.open == maxChannels || s.stopping.Load()
	if !full {
		s.open++
	}
	s.mu.Unlock()
	switch {
	case s.stopping.Load():
		_ = c.Reject(ssh.ResourceShortage, "the server stops")
		return
	case full:
		_ = c.Reject(ssh.ResourceShortage, fmt.Sprintf("a connection may have %d channels", maxChannels))
		return
	}
	channel, requests, err := c.Accept()
	if err != nil {
		s.channelClosed()
		return
	}
	s.tasks.Go(func() {
		defer s.channelClosed()
		s.serveChannel(channel, requests)
		for range requests { // until the client has closed it too
		}
	})
}

// channelClosed counts a channel out.
func (s *session) channelClosed() {
	s.mu.Lock()
	s.open--
	s.mu.Unlock()
	s.changed()
}

// addChannel notes the channel of an SFTP session, and gives a function that forgets
// it.
func (s *session) addChannel(c *stream) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels[c] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.channels, c)
	}
}

// handlers asks for the handlers of the Space. A panic there is an error.
func (s *session) handlers() (h sftp.Handlers, err error) {
	defer newGuard(s, h).protect("start", &err)()
	return s.server.options.Handlers(s.space)
}

// answerRequests answers requests that concern the whole connection: with yes if they
// ask whether the server is alive, else with no.
func (s *session) answerRequests(requests <-chan *ssh.Request) {
	for r := range requests {
		s.touch()
		_ = r.Reply(r.Type == keepalive, nil)
	}
}

// keepAlive asks whether the client is alive. Its answer renews the read deadline of
// the client.
func (s *session) keepAlive(gone <-chan struct{}) {
	ticker := time.NewTicker(s.server.options.Keepalive)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if _, _, err := s.conn.SendRequest(keepalive, true, nil); err != nil {
				return
			}
		case <-gone:
			return
		}
	}
}

// touch notes a request or an answer.
func (s *session) touch() { s.active.Store(int64(time.Since(s.since))) }

// watchIdle ends a session without requests.
func (s *session) watchIdle(gone <-chan struct{}) {
	idle := s.server.options.Idle
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-gone:
			return
		}
		if s.running.Load() > 0 {
			s.touch() // the handler takes its time, not the client
		}
		left := idle - (time.Since(s.since) - time.Duration(s.active.Load()))
		if left <= 0 {
			s.cut(EndIdle)
			return
		}
		timer.Reset(left)
	}
}

// watchStop ends the session when the server stops: once no file is open for writing
// and every request has its answer, or when the grace is over.
func (s *session) watchStop(ctx context.Context, gone <-chan struct{}) {
	select {
	case <-ctx.Done():
	case <-gone:
		return
	}
	s.stopping.Store(true)
	over := time.AfterFunc(s.server.options.Grace, func() { s.cut(EndStopped) })
	defer over.Stop()
	if !s.await(gone, func() bool { return s.writers.Load() == 0 && s.waiting.Load() == 0 }) {
		return
	}
	// A connection that is closed while the client sends something may lose the last
	// answer. A channel that is closed does not.
	s.closeChannels()
	if s.await(gone, func() bool { return s.channelCount() == 0 }) {
		s.cut(EndStopped)
	}
}

// await waits until done returns true. It is false if the connection is gone before.
func (s *session) await(gone <-chan struct{}, done func() bool) bool {
	for !done() {
		select {
		case <-s.changes:
		case <-gone:
			return false
		}
	}
	return true
}

func (s *session) closeChannels() {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.channels))
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // the client may have closed it
	}
}

func (s *session) channelCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// changed wakes watchStop.
func (s *session) changed() {
	select {
	case s.changes <- struct{}{}:
	default:
	}
}

// cut ends the session. The first reason counts.
func (s *session) cut(why Reason) {
	s.mu.Lock()
	if s.end == "" {
		s.end = why
	}
	s.mu.Unlock()
	s.client.hangUp()
}

// panicked ends the session after a panic, as its state is unknown.
func (s *session) panicked(operation string, p any) {
	s.log().Error("panic while serving SFTP", "operation", operation, "panic", p, "stack", string(debug.Stack()))
	s.cut(EndPanic)
}

// ended gives why the session has ended, and the error of the connection, nil if there
// is none worth telling.
func (s *session) ended() (Reason, error) {
	err := s.conn.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.end != "":
		return s.end, nil
	case isClientEnd(err):
		return EndClient, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return EndLost, errors.New("the client is silent")
	}
	return EndLost, errors.New(printable(err.Error()))
}

// isClientEnd reports whether the client has ended the connection, which did not break.
// Many clients just close it. Others send a message before (RFC 4253, section 11.1),
// for which x/crypto has no type of error.
func isClientEnd(err error) bool {
	return errors.Is(err, io.EOF) || strings.HasPrefix(err.Error(), "ssh: disconnect, ")
}
