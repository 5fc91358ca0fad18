package sftp

import (
	"context"
	"errors"

	"sftpconnector/store/sftp/wire"
)

// maxInFlight is how many requests about files a Destination has in flight on a
// channel.
const maxInFlight = 256

// ask sends one request on the first channel and waits for its answer. A server handles
// the requests of one channel in turn, so that two of them never run at the same time.
func (s *session) ask(ctx context.Context, send func(s *wire.Session, c *wire.Call)) error {
	ch := s.pool.first()
	_, err := ch.wire().ask(ctx, func(c *wire.Call) { send(ch.wire().session, c) })
	return err
}

// ask sends one request and waits for its answer.
func (p *wireChannel) ask(ctx context.Context, send func(c *wire.Call)) (*wire.Call, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	send(c)
	return c, c.Wait(ctx)
}

// askAll sends n requests, many at a time, and reports each answer, in any order. Its
// error is one of the connection or the context.
func (p *wireChannel) askAll(ctx context.Context, n int, send func(i int, c *wire.Call), got func(i int, c *wire.Call)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	done := make(chan *wire.Call, min(n, maxInFlight))
	next := 0
	for ; next < cap(done); next++ {
		send(next, &wire.Call{Done: done, Tag: next})
	}
	for range n {
		select {
		case c := <-done:
			if _, lost := errors.AsType[*wire.EndError](c.Err); lost {
				return c.Err
			}
			got(c.Tag, c)
			if next < n {
				c.Tag = next
				send(next, c)
				next++
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// statAndResolve asks for the attributes of a path and, at the same time, for its path
// with links resolved: "" when the server does not tell.
func (s *session) statAndResolve(ctx context.Context, path string, follow bool) (a attrs, real string, err error) {
	ch := s.pool.acquire(1)
	defer s.pool.release(ch, 1)
	p := ch.wire()
	lost := p.askAll(ctx, 2, func(i int, c *wire.Call) {
		switch {
		case i == 1:
			p.session.RealPath(c, path)
		case follow:
			p.session.Stat(c, path)
		default:
			p.session.Lstat(c, path)
		}
	}, func(i int, c *wire.Call) {
		switch {
		case i == 0:
			a, err = attrsOf(c.Attr), c.Err
		case c.Err == nil:
			real = c.Text
		}
	})
	if lost != nil {
		return attrs{}, "", lost
	}
	return a, real, err
}

// statAt asks for the attributes of a path and follows links.
func (s *session) statAt(ctx context.Context, path string) (attrs, error) {
	ch := s.pool.acquire(1)
	defer s.pool.release(ch, 1)
	return statByPath(ctx, ch, path)
}

// makeDir makes one directory.
func (s *session) makeDir(ctx context.Context, path string) error {
	return s.ask(ctx, func(s *wire.Session, c *wire.Call) { s.MakeDir(c, path) })
}
