package sshclient

import (
	"context"
	"time"
)

// KeepAlive gives the question that the server is asked when nothing has come
// from it for Timeouts.Keepalive, so that a dead one is noticed between
// operations too, and so that firewalls see traffic. Any answer will do. ask
// returns with the answer, with the end of the connection, or with its context.
//
// It has to be a question of SFTP. The usual one, a global request
// "keepalive@openssh.com", is answered by some servers (tinysshd) with
// SSH_MSG_UNIMPLEMENTED, on which x/crypto ends the connection, and by others
// with nothing.
func (c *Connection) KeepAlive(ask func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.question = ask
}

// keepAlive asks while the server is quiet.
func (c *Connection) keepAlive() {
	timer := time.NewTimer(c.timeouts.Keepalive)
	defer timer.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-timer.C:
		}
		c.mu.Lock()
		ask := c.question
		c.mu.Unlock()
		quiet := time.Since(c.t.lastHeard())
		switch {
		case ask == nil:
			timer.Reset(c.timeouts.Keepalive)
		case quiet < c.timeouts.Keepalive:
			timer.Reset(c.timeouts.Keepalive - quiet)
		case c.ping(ask):
			timer.Reset(c.timeouts.Keepalive)
		default:
			return
		}
	}
}

// ping asks once; false ends the watch. Any byte that comes counts as an
// answer: a busy line may delay the one to this question, and a server may
// never give it.
func (c *Connection) ping(ask func(context.Context) error) bool {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sent := time.Now()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_ = ask(ctx) // a refusal is an answer
	}()
	unanswered := time.NewTimer(c.timeouts.Operation)
	defer unanswered.Stop()
	for {
		select {
		case <-c.done:
			return false
		case <-answered:
			return true
		case <-unanswered.C:
			heard := c.t.lastHeard()
			if heard.Before(sent) {
				heard = sent
			}
			left := c.timeouts.Operation - time.Since(heard)
			if left <= 0 {
				c.Abort(c.Unanswered("no answer"))
				return false
			}
			unanswered.Reset(left)
		}
	}
}
