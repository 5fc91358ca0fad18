package sftp

import (
	"context"
	"errors"
	"time"

	"sftpconnector/store/sftp/wire"
)

// maxStatsInFlight leaves room for the reads beside a batch of STATs.
const maxStatsInFlight = 64

// wireChannel is a channel that package wire speaks on.
type wireChannel struct {
	session *wire.Session
	limits  *Limits
	buffers *buffers
	ordered bool // the server answers in the order of the requests
}

func (ch *wireChannel) unanswered() (wire.Unanswered, bool) { return ch.session.Unanswered() }

// readSize is how many bytes a READ asks for.
func (ch *wireChannel) readSize() int { return ch.limits.readSizeFor(ch.session.MaxRead()) }

// handle waits for the answer to an OPEN or OPENDIR that was sent with c. If ctx ends
// first, the handle is closed once it comes.
func (ch *wireChannel) handle(ctx context.Context, c *wire.Call) (wire.Handle, error) {
	select {
	case <-c.Done:
		return c.Handle, c.Err
	case <-ctx.Done():
		go func() {
			if <-c.Done; c.Err == nil {
				ch.session.CloseHandle(c.Handle, nil)
			}
		}()
		return "", context.Cause(ctx)
	}
}

func (ch *wireChannel) open(ctx context.Context, path string) (file, error) {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	start := time.Now()
	ch.session.Open(c, path)
	h, err := ch.handle(ctx, c)
	if err != nil {
		return nil, err
	}
	ch.limits.noteRoundTrip(time.Since(start))
	return &wireFile{wireChannel: ch, h: h}, nil
}

func (ch *wireChannel) stat(ctx context.Context, paths []string, follow bool, got func(int, attrs, error)) error {
	ask := ch.session.Lstat
	if follow {
		ask = ch.session.Stat
	}
	done := make(chan *wire.Call, min(len(paths), maxStatsInFlight))
	next := 0
	for ; next < cap(done); next++ {
		ask(&wire.Call{Done: done, Tag: next}, paths[next])
	}
	for range paths {
		select {
		case c := <-done:
			if _, lost := errors.AsType[*wire.EndError](c.Err); lost {
				return c.Err
			}
			got(c.Tag, attrsOf(c.Attr), c.Err)
			if next < len(paths) {
				c.Tag = next
				ask(c, paths[next])
				next++
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func attrsOf(a wire.Attr) attrs {
	mode, typed := a.Mode()
	return attrs{size: a.Size(), modTime: a.ModTime(), mode: mode, typed: typed}
}
