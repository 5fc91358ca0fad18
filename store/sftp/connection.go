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
// belongs to the server or to the directory is in session, and so are the channels of
// all connections (pool); each lane names its connection. A session has one connection
// today. With several, the loss of one would be the end of the session.
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

// gone reports whether the connection has ended. Its channels end before it is known
// why, so that a failure on one waits a moment for the answer.
func (c *connection) hasEnded() bool {
	select {
	case <-c.Done():
		return true
	case <-time.After(250 * time.Millisecond):
		return false
	}
}

// outlive ends the connection when a channel on it ends: what a server cuts
// once is not to be relied on.
func (s *session) endWithChannel(c *connection, channel *wire.Session) {
	<-channel.Done()
	_ = s.loseConnection(c, channel.Err())
}

// lost ends the session's connection for err, unless it has ended, and gives the
// reason.
func (s *session) lost(err error) error { return s.loseConnection(s.conn, err) }

// lostOn is lost for one connection. Nobody learns of a loss before that is noted which
// it tells of the server: whoever does may dial again at once.
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
// the whole connection: a server may have died of their number.
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

// watch ends the connection when the server leaves requests on it unanswered. The
// session ends with the connection.
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
					s.limits.oneWriteChannel.Store(true) // it may be that, and costs little if not
				}
				c.Abort(c.Unanswered("no answer to " + u.What))
			}
		}
	}
}
