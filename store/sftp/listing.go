package sftp

import (
	"context"
	"errors"
	"io"
	"path"

	"sftpconnector/store/sftp/wire"
)

const (
	// OpenSSH answers a READDIR with 100 names, about 20 KiB, so that a window of 2 MiB
	// holds the answers to more than these.
	maxReaddirs   = 32
	firstReaddirs = 2

	// manyNames in the first answer make it likely that more will come. Servers that
	// send fewer names at a time show that more come by their second answer.
	manyNames = 64

	// emptyAnswers is how many answers without a name in a row end a listing. OpenSSH's
	// client ends it with the first.
	emptyAnswers = 8

	// A batch ends with so many items, or bytes of their paths.
	batchItems = 512
	batchBytes = 64 << 10
)

// list gives the entries of a directory in batches, until got returns false. The name
// of an entry is the path as given, "/" and what the server sent. A batch is valid
// until got returns.
func (ch *wireChannel) list(ctx context.Context, dir string, got func([]item) bool) error {
	h, err := ch.openDir(ctx, dir)
	if err != nil {
		return err
	}
	d := &openDir{channel: ch, h: h}
	defer d.close()
	return newListing(d, dir).run(ctx, got)
}

// openDir opens a directory.
func (ch *wireChannel) openDir(ctx context.Context, dir string) (wire.Handle, error) {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	ch.session.OpenDir(c, dir)
	return ch.handle(ctx, c)
}

// listing reads one directory with several READDIRs in flight on its handle. Servers
// answer them in order, or at least with each name once.
type listing struct {
	dir      *openDir
	channel  *wireChannel
	path     string
	prefix   string
	realPath string // the directory's path by REALPATH, once it was asked for; "-": unknown
	answers  chan *wire.Call
	idle     []*wire.Call
	depth    int  // how many READDIRs to keep in flight
	inFlight int  // how many are in flight
	first    int  // names in the first answer: another one with as many means that there is more
	eager    bool // the directory does not fit into one answer
	empty    int  // answers without a name in a row
	batch    []item
	ended    bool
}

func newListing(d *openDir, path string) *listing {
	l := &listing{
		dir: d, channel: d.channel, path: path, prefix: slash(path),
		answers: make(chan *wire.Call, maxReaddirs), depth: 1,
	}
	if !l.channel.limits.oneReaddir.Load() {
		l.deepen(firstReaddirs)
	}
	return l
}

// deepen keeps so many READDIRs in flight, if there is room for their answers.
func (l *listing) deepen(depth int) {
	for ; l.depth < min(depth, maxReaddirs); l.depth++ {
		if !l.channel.buffers.acquireReaddir() {
			return
		}
	}
}

func (l *listing) run(ctx context.Context, got func([]item) bool) error {
	defer func() { l.channel.buffers.releaseReaddirs(l.depth - 1) }()
	var failed error
	for {
		if !l.ask() {
			return errRevoked
		}
		if l.inFlight == 0 {
			return failed
		}
		var c *wire.Call
		select {
		case c = <-l.answers:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.inFlight--
		_, lost := errors.AsType[*wire.EndError](c.Err)
		switch {
		case lost, errors.Is(c.Err, wire.ErrHandleReused):
			return c.Err
		case errors.Is(c.Err, io.EOF):
			if l.ended = true; l.channel.ordered {
				return failed // the READDIRs in flight were sent behind the end
			}
		case l.dir.isRevoked():
			return errRevoked
		case c.Err != nil && l.ended:
			// It was sent before the end was known, and some servers invalidate a
			// handle at its end.
		case c.Err != nil:
			l.ended, failed = true, c.Err
			if l.depth > 1 {
				l.channel.limits.oneReaddir.Store(true)
				failed = &holeError{c.Err}
			}
		default:
			if goOn, err := l.take(ctx, c, got); err != nil || !goOn {
				return err
			}
		}
		l.idle = append(l.idle, c)
	}
}

// ask keeps READDIRs in flight until the end of the directory is known. It waits for
// the first two answers before it sends more, so that a small directory takes no
// further round trip. It is false when the handle was revoked.
func (l *listing) ask() bool {
	if !l.eager && l.first > 0 && l.inFlight > 0 {
		return true
	}
	for ; l.inFlight < l.depth && !l.ended; l.inFlight++ {
		c := &wire.Call{Done: l.answers}
		if n := len(l.idle); n > 0 {
			c, l.idle = l.idle[n-1], l.idle[:n-1]
		}
		if !l.dir.ask(c) {
			return false
		}
	}
	return true
}

// take passes an answer on in batches. It sends the next READDIRs before, as got may
// take long.
func (l *listing) take(ctx context.Context, c *wire.Call, got func([]item) bool) (goOn bool, err error) {
	n := c.CountNames()
	if n == 0 {
		l.empty++
	} else {
		l.empty = 0
	}
	l.ended = l.ended || l.empty >= emptyAnswers
	l.eager = n >= manyNames || l.first > 0
	if l.first == 0 {
		l.first = n
	}
	if n >= l.first && l.eager && !l.channel.limits.oneReaddir.Load() {
		l.deepen(2 * l.depth)
	}
	if !l.ask() {
		return false, errRevoked
	}
	l.batch = l.batch[:0]
	bytes := 0
	for name, attr := range c.Names() {
		base := l.base(ctx, string(name.File))
		if isDot(base) {
			continue
		}
		l.batch = append(l.batch, item{l.prefix + base, typeLetter(name.Long), attrsOf(attr)})
		if bytes += len(l.prefix) + len(base); len(l.batch) == batchItems || bytes >= batchBytes {
			if !got(l.batch) {
				return false, nil
			}
			l.batch, bytes = l.batch[:0], 0
		}
	}
	return len(l.batch) == 0 || got(l.batch), nil
}

// base takes the directory's path off a name, as some servers send it with each. Any
// other name stays as it was sent.
func (l *listing) base(ctx context.Context, name string) string {
	dir, base := path.Split(name)
	if dir == "" || base == "" {
		return name
	}
	dir = path.Clean(dir)
	if dir == path.Clean(l.path) {
		return base
	}
	if !path.IsAbs(name) {
		return name
	}
	if l.realPath == "" {
		l.realPath = "-"
		if c, err := l.channel.ask(ctx, func(c *wire.Call) { l.channel.session.RealPath(c, l.path) }); err == nil {
			l.realPath = path.Clean(c.Text)
		}
	}
	if dir == l.realPath {
		return base
	}
	return name
}

// holeError is a listing that broke off because several READDIRs were in flight.
type holeError struct{ error }

func (e *holeError) Unwrap() error { return e.error }
