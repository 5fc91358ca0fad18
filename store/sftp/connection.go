package sftp

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"sftpconnector/charset"
	"sftpconnector/sshclient"
	"sftpconnector/status"
	"sftpconnector/store/sftp/wire"
)

// connection is one SSH connection of a session, with what belongs to it alone. What
// belongs to the server or to the directory is in session. The pool has the channels of
// all connections, and each channel names its connection. A session has one connection
// today. With several, the loss of one would end the session.
type connection struct {
	*sshclient.Connection
	encoding *charset.Encoding // of names on the server; nil: UTF-8
	loss     sync.Once         // notes what the end of the connection tells of the server
}

// openSFTP opens a channel to the server, on which names are UTF-8.
func (c *connection) openSFTP(ctx context.Context) (stream, error) {
	ch, err := c.OpenSubsystem(ctx, "sftp")
	if err != nil {
		return nil, err
	}
	return translateNames(&startChecker{subsystem: ch}, c.encoding), nil
}

// isOpenSSH reports whether the server says that it is OpenSSH.
func (c *connection) isOpenSSH() bool {
	return strings.HasPrefix(c.ServerVersion(), "SSH-2.0-OpenSSH")
}

// hasOpenSSH reports whether the extensions are those of OpenSSH's sftp-server: its
// sshd may well run another one.
func hasOpenSSH(extensions map[string]string) bool {
	for name := range extensions {
		if strings.HasSuffix(name, "@openssh.com") {
			return true
		}
	}
	return false
}

// hasEnded reports whether the connection has ended. A connection's channels end before
// the reason is known, so that this waits a moment for it.
func (c *connection) hasEnded() bool {
	select {
	case <-c.Done():
		return true
	case <-time.After(250 * time.Millisecond):
		return false
	}
}

// endWithChannel ends the connection when one of its channels ends: a server that cuts
// one channel is not relied on.
func (s *session) endWithChannel(c *connection, channel *wire.Session) {
	<-channel.Done()
	_ = s.loseConnection(c, channel.Err())
}

// lost ends the session's connection for err, unless it has ended, and gives the
// reason.
func (s *session) lost(err error) error { return s.loseConnection(s.conn, err) }

// loseConnection is lost for one connection. It notes what the loss tells of the server
// before anybody learns of it, as whoever does may dial again at once.
func (s *session) loseConnection(c *connection, err error) error {
	c.loss.Do(func() {
		cut := c.hasEnded()
		s.noteLoss(c, cut)
		if !cut {
			c.Abort(&status.Error{Word: status.ConnectionLost, Op: "talk to", Target: s.cfg.Addr(), Err: err})
		}
	})
	return c.Err()
}

// noteLoss notes how many handles were open on a channel of c that ended, alone or with
// the connection. The server may have died of their number.
func (s *session) noteLoss(c *connection, cut bool) {
	n, died := 0, false
	for _, ch := range s.pool.all() {
		session := ch.wire().session
		if ch.conn != c || session.Err() == nil {
			continue
		}
		n = max(n, openHandles(session))
		died = died || errors.Is(session.Err(), io.ErrUnexpectedEOF)
	}
	switch {
	case !cut && died:
		s.limits.channelDied(n)
	case cut && n >= manyHandles && !errors.Is(c.Err(), sshclient.ErrClosed):
		s.limits.connectionLost(n)
	}
}

// watch ends the connection when the server leaves a request on it unanswered. The
// session ends with its connection.
func (s *session) watch(life context.Context, c *connection) {
	limit := s.cfg.Timeouts.Operation
	tick := time.NewTicker(max(limit/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.Done():
			s.cancel()
			return
		case <-life.Done():
			return
		}
		for _, ch := range append(s.pool.all(), s.extraChannels...) {
			if ch.conn != c {
				continue
			}
			if u, ok := ch.unanswered(); ok && ch.meter.stalled(u, limit) {
				if s.pool.extra > 0 && len(s.pool.all()) > 1 {
					s.limits.oneWriteChannel.Store(true) // that may be the reason, and costs little if it is not
				}
				c.Abort(c.Unanswered("no answer to " + u.What))
			}
		}
	}
}
