package sftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// control is the first channel of a Source, for all that is neither listing
// nor reading: pkg/sftp's client, whose calls know no context, made to obey
// one. Calls that their caller has left end with the channel at the latest.
type control struct {
	client *sftp.Client
	meter  *meter
	names  *nameFilter

	mu   sync.Mutex
	next int
	ops  map[int]time.Time // under way, and since when

	listMu chan struct{} // has room for one: who lists (see controlPort)
	listed int64         // bytes of names that one listing may have
}

// newControl starts the client on a channel and closes that if ctx ends before.
func newControl(ctx context.Context, ch Channel) (*control, error) {
	m := newMeter(ch)
	c := &control{meter: m, names: &nameFilter{r: m}, ops: make(map[int]time.Time), listMu: make(chan struct{}, 1), listed: listedLimit}
	type result struct {
		client *sftp.Client
		err    error
	}
	started := make(chan result, 1)
	go func() {
		client, err := sftp.NewClientPipe(c.names, m)
		started <- result{client, err}
	}()
	select {
	case r := <-started:
		c.client = r.client
		if r.err != nil {
			_ = ch.Close()
			return nil, r.err
		}
		return c, nil
	case <-ctx.Done():
		_ = ch.Close()
		return nil, context.Cause(ctx)
	}
}

// call runs f beside the caller, who stops waiting for it when ctx ends.
func call[T any](ctx context.Context, c *control, f func(*sftp.Client) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if err := ctx.Err(); err != nil {
		return none, context.Cause(ctx)
	}
	id := c.begin()
	done := make(chan result, 1)
	go func() {
		v, err := f(c.client)
		c.end(id)
		done <- result{v, controlError(err)}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

func (c *control) begin() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	c.ops[c.next] = time.Now()
	return c.next
}

func (c *control) end(id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ops, id)
}

func (c *control) waiting() (n int, oldest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, since := range c.ops {
		if oldest.IsZero() || since.Before(oldest) {
			oldest = since
		}
	}
	return len(c.ops), oldest
}

// controlError turns the errors of pkg/sftp into those of package wire.
func controlError(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, filesync.ErrLimit) {
		return err
	}
	if e, ok := errors.AsType[*wire.EndError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*sftp.StatusError](err); ok {
		return wire.NewStatusError(e.Code, e.Error())
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &wire.StatusError{Code: wire.CodeNoSuchFile}
	case errors.Is(err, fs.ErrPermission):
		return &wire.StatusError{Code: wire.CodePermissionDenied}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &wire.EndError{Err: err}
}

// exec is call for what answers with an error alone.
func (c *control) exec(ctx context.Context, f func(*sftp.Client) error) error {
	_, err := call(ctx, c, func(cl *sftp.Client) (struct{}, error) { return struct{}{}, f(cl) })
	return err
}

func (c *control) lstat(ctx context.Context, path string) (attrs, error) {
	return call(ctx, c, func(cl *sftp.Client) (attrs, error) { return controlAttrs(cl.Lstat(path)) })
}

func (c *control) statPath(ctx context.Context, path string) (attrs, error) {
	return call(ctx, c, func(cl *sftp.Client) (attrs, error) { return controlAttrs(cl.Stat(path)) })
}

func (c *control) realPath(ctx context.Context, path string) (string, error) {
	return call(ctx, c, func(cl *sftp.Client) (string, error) { return cl.RealPath(path) })
}

func (c *control) readLink(ctx context.Context, path string) (string, error) {
	return call(ctx, c, func(cl *sftp.Client) (string, error) { return cl.ReadLink(path) })
}

// controlAttrs makes the best of pkg/sftp's answers, which do not tell what the
// server left out from zeros: no permissions and no size and no time is nothing said.
func controlAttrs(fi os.FileInfo, err error) (attrs, error) {
	if err != nil {
		return attrs{}, err
	}
	s, ok := fi.Sys().(*sftp.FileStat)
	if !ok {
		return attrs{}, fmt.Errorf("pkg/sftp answers with a %T", fi.Sys())
	}
	a := attrs{size: int64(s.Size), modTime: fi.ModTime()}
	a.mode, a.typed = wire.UnixMode(s.Mode)
	if a.size < 0 || a.size == 0 && !a.typed {
		a.size = -1
	}
	if s.Mtime == 0 {
		a.modTime = time.Time{}
	}
	return a, nil
}

// controlPort lists and reads over the control channel: for servers that allow no other.
type controlPort struct {
	*control
}

// listedLimit bounds the memory of one listing, which pkg/sftp holds whole: bytes
// of NAME answers, half a million entries.
const listedLimit = 64 << 20

// list runs one at a time, so that its memory is bounded.
func (p controlPort) list(ctx context.Context, dir string, got func([]item) bool) error {
	select {
	case p.listMu <- struct{}{}:
		defer func() { <-p.listMu }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p.names.watch(p.listed, func() { cancel(filesync.ErrLimit) })
	defer p.names.watch(0, nil)
	infos, err := call(ctx, p.control, func(c *sftp.Client) ([]os.FileInfo, error) { return c.ReadDirContext(ctx, dir) })
	if err != nil {
		return err
	}
	prefix := slash(dir)
	items := make([]item, 0, len(infos))
	for _, fi := range infos {
		a, err := controlAttrs(fi, nil)
		if err != nil {
			return err
		}
		if !dots(fi.Name()) {
			items = append(items, item{path: prefix + fi.Name(), attrs: a})
		}
	}
	if len(items) > 0 {
		got(items)
	}
	return nil
}

func (p controlPort) stat(ctx context.Context, paths []string, follow bool, got func(int, attrs, error)) error {
	ask := p.lstat
	if follow {
		ask = p.statPath
	}
	type look struct {
		i   int
		a   attrs
		err error
	}
	looks := make(chan look, len(paths))
	free := make(chan struct{}, statsUnderWay)
	go func() {
		for i, path := range paths {
			free <- struct{}{}
			go func() {
				a, err := ask(ctx, path)
				<-free
				looks <- look{i, a, err}
			}()
		}
	}()
	for range paths {
		l := <-looks // each obeys ctx
		if _, lost := errors.AsType[*wire.EndError](l.err); lost || ctx.Err() != nil {
			return l.err
		}
		got(l.i, l.a, l.err)
	}
	return nil
}

func (p controlPort) open(ctx context.Context, name string) (file, error) {
	f, err := call(ctx, p.control, func(c *sftp.Client) (*sftp.File, error) {
		f, err := c.Open(name)
		if err == nil && ctx.Err() != nil {
			_ = f.Close() // its caller has gone
			return nil, context.Cause(ctx)
		}
		return f, err
	})
	if err != nil {
		return nil, err
	}
	return &controlFile{p.control, f}, nil
}

// controlFile is a file that is open on the control channel.
type controlFile struct {
	*control
	f *sftp.File
}

// Reads of a controlFile: no longer than a packet of pkg/sftp, whose ReadAt
// loops over short answers only then.
const (
	controlRead  = 32 << 10
	controlReads = 32
)

func (f *controlFile) copy(ctx context.Context, b *blocks, w io.WriterAt) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := int(min(controlReads, (b.left()+controlRead-1)/controlRead))
	results := make(chan error, workers)
	for range workers {
		go func() {
			err := f.read(ctx, b, w)
			if err != nil {
				cancel(err)
			}
			results <- err
		}()
	}
	var failed error
	for range workers {
		if err := <-results; err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

// read copies ranges until there is none left.
func (f *controlFile) read(ctx context.Context, b *blocks, w io.WriterAt) error {
	for {
		off, n := b.take(controlRead)
		if n == 0 {
			return nil
		}
		// The buffer is not used again when ctx ends: the read may still be under way.
		data, err := call(ctx, f.control, func(*sftp.Client) ([]byte, error) {
			buf := make([]byte, n)
			got, err := f.f.ReadAt(buf, off)
			if got == n {
				err = nil
			}
			return buf, err
		})
		if errors.Is(err, io.EOF) {
			return filesync.ErrChanged
		}
		if err != nil {
			return err
		}
		if _, err := w.WriteAt(data, off); err != nil {
			return err
		}
		b.done.Add(int64(n))
	}
}

func (f *controlFile) stat(ctx context.Context) (attrs, error) {
	return call(ctx, f.control, func(*sftp.Client) (attrs, error) { return controlAttrs(f.f.Stat()) })
}

func (f *controlFile) last(context.Context, int64, int, io.WriterAt, func()) (handleAttrs, lastState, error) {
	return handleAttrs{}, lastNotTried, nil
}

func (f *controlFile) close(then func()) {
	id := f.begin()
	go func() {
		_ = f.f.Close()
		f.end(id)
		if then != nil {
			then()
		}
	}()
}

// slash is a directory's path up to and with the slash before a name in it.
func slash(dir string) string {
	if path.Clean(dir) == "/" {
		return "/"
	}
	return dir + "/"
}
