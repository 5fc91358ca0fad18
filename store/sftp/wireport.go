package sftp

import (
	"context"
	"errors"
	"io"
	"time"

	"sftpconnector/store/sftp/wire"
)

const (
	// OpenSSH answers a READDIR with 100 names, about 20 KiB, so that a window
	// of 2 MiB holds more than these.
	maxReaddirs   = 32
	firstReaddirs = 2

	// manyNames in the first answer mean that more are likely to come. Servers
	// that send fewer at a time show it by their second.
	manyNames = 64

	// emptyAnswers is how many READDIRs may be answered with no name at all,
	// one after the other, before the listing counts as one that never ends.
	emptyAnswers = 1000

	// statsUnderWay keeps a batch of looks from crowding out the reads.
	statsUnderWay = 64
)

// wirePort is a data channel.
type wirePort struct {
	session *wire.Session
	limits  *Limits
	buffers *buffers
	ordered bool // the server answers in the order of the requests
}

func (p *wirePort) waiting() (int, time.Time) { return p.session.Waiting() }

// readSize is how long a READ is to be.
func (p *wirePort) readSize() int { return p.limits.readsOf(p.session.MaxRead()) }

// handle waits for the answer to an OPEN or OPENDIR that was sent with c. If
// ctx ends first, the handle is closed when it comes.
func (p *wirePort) handle(ctx context.Context, c *wire.Call) (wire.Handle, error) {
	select {
	case <-c.Done:
		return c.Handle, c.Err
	case <-ctx.Done():
		go func() {
			if <-c.Done; c.Err == nil {
				p.session.CloseHandle(c.Handle, nil)
			}
		}()
		return "", context.Cause(ctx)
	}
}

func (p *wirePort) open(ctx context.Context, path string) (file, error) {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	start := time.Now()
	p.session.Open(c, path)
	h, err := p.handle(ctx, c)
	if err != nil {
		return nil, err
	}
	p.limits.took(time.Since(start))
	return &wireFile{wirePort: p, h: h}, nil
}

func (p *wirePort) stat(ctx context.Context, paths []string, follow bool, got func(int, attrs, error)) error {
	ask := p.session.Lstat
	if follow {
		ask = p.session.Stat
	}
	done := make(chan *wire.Call, min(len(paths), statsUnderWay))
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

func (p *wirePort) list(ctx context.Context, dir string, got func([]item) bool) error {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	start := time.Now()
	p.session.OpenDir(c, dir)
	h, err := p.handle(ctx, c)
	if err != nil {
		return err
	}
	p.limits.took(time.Since(start))
	defer p.session.CloseHandle(h, nil)
	l := listing{port: p, h: h, prefix: slash(dir), answers: make(chan *wire.Call, maxReaddirs), depth: firstReaddirs}
	if p.limits.oneReaddir.Load() {
		l.depth = 1
	}
	return l.run(ctx, got)
}

// listing is one directory being read with several READDIRs under way on its
// handle. Servers answer them in order, or at least each name once.
type listing struct {
	port    *wirePort
	h       wire.Handle
	prefix  string
	answers chan *wire.Call
	idle    []*wire.Call
	depth   int  // how many READDIRs to keep under way
	asked   int  // how many are
	first   int  // names in the first answer: others as full mean that there is more
	eager   bool // there is more than fits into one answer
	empty   int  // answers without a name in a row
	batch   []item
	ended   bool
}

func (l *listing) run(ctx context.Context, got func([]item) bool) error {
	var failed error
	for {
		l.ask()
		if l.asked == 0 {
			return failed
		}
		var c *wire.Call
		select {
		case c = <-l.answers:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.asked--
		_, lost := errors.AsType[*wire.EndError](c.Err)
		switch {
		case lost:
			return c.Err
		case errors.Is(c.Err, io.EOF):
			if l.ended = true; l.port.ordered {
				return failed // what is still under way was asked behind the end
			}
		case c.Err != nil && l.ended:
			// It was sent before the end was known, and some servers know no
			// handle any more that is at its end.
		case c.Err != nil:
			l.ended, failed = true, c.Err
			if l.depth > 1 {
				l.port.limits.oneReaddir.Store(true)
			}
		default:
			if !l.take(c) {
				return errEmptyAnswers
			}
			l.ask() // before the batch is handed over, which may take its time
			if len(l.batch) > 0 && !got(l.batch) {
				return nil
			}
		}
		l.idle = append(l.idle, c)
	}
}

// ask keeps READDIRs under way until the end of the directory is known. Before
// it is clear that there is more than the first two give, it waits for both, so
// that a small directory takes no further round trip.
func (l *listing) ask() {
	if !l.eager && l.first > 0 && l.asked > 0 {
		return
	}
	for ; l.asked < l.depth && !l.ended; l.asked++ {
		c := &wire.Call{Done: l.answers}
		if n := len(l.idle); n > 0 {
			c, l.idle = l.idle[n-1], l.idle[:n-1]
		}
		l.port.session.ReadDir(c, l.h)
	}
}

// take turns an answer into the next batch. It is false when too many of
// them had nothing in them.
func (l *listing) take(c *wire.Call) bool {
	n := c.CountNames()
	if n == 0 {
		l.empty++
	} else {
		l.empty = 0
	}
	l.eager = n >= manyNames || l.first > 0
	if l.first == 0 {
		l.first = n
	}
	if n >= l.first && l.eager && !l.port.limits.oneReaddir.Load() {
		l.depth = min(2*l.depth, maxReaddirs)
	}
	l.batch = l.batch[:0]
	for name, attr := range c.Names() {
		if !dots(string(name.File)) {
			l.batch = append(l.batch, item{l.prefix + string(name.File), typeLetter(name.Long), attrsOf(attr)})
		}
	}
	return l.empty < emptyAnswers
}
