package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Source is a directory on a server and all below it, over one connection. It
// is a sync.Source, a sync.Linker and a sync.Consumer. Once the connection is
// lost it stays so: all calls then answer with a *status.Error, and another
// Source has to be opened.
type Source struct {
	conn    *Connection
	cfg     Config
	limits  *Limits
	prefix  string // the root and a slash
	control *control
	pool    *pool
	gate    *gate
	buffers *buffers

	maxEntries int // in one directory
	close      context.CancelFunc

	realMu   sync.Mutex
	realRoot string // the root with its links resolved, once it is known
	copies   copies // large files being read
}

var (
	_ filesync.Source   = (*Source)(nil)
	_ filesync.Linker   = (*Source)(nil)
	_ filesync.Locator  = (*Source)(nil)
	_ filesync.Consumer = (*Source)(nil)
)

// entriesLimit is how many entries a directory may have: a listing that goes
// on and on is no progress.
const entriesLimit = 10_000_000

// errDropped is a connection that was lost while one more channel was opened.
var errDropped = errors.New("the connection was lost while one more channel was opened")

// Open connects to the server and starts SFTP. It reports the stages up to and
// with "sftp" to observe; Probe does the work of the stage "list". Every error
// is a *status.Error. ctx has no hold on the Source afterwards.
func Open(ctx context.Context, cfg Config, observe status.Observer) (*Source, error) {
	cfg = cfg.withDefaults()
	if cfg.Limits == nil {
		cfg.Limits = new(Limits)
	}
	conn, err := Connect(ctx, cfg, observe)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	s, err := open(ctx, conn, cfg)
	if errors.Is(err, errTogether) {
		_ = conn.Close()
		if conn, err = Connect(ctx, cfg, nil); err == nil {
			s, err = open(ctx, conn, cfg)
		}
	}
	stage := status.Stage{Stage: status.StageSFTP, OK: err == nil, MS: time.Since(start).Milliseconds()}
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		stage.Detail = err.Error()
		observe.Report(stage)
		return nil, err
	}
	stage.Detail = s.describe()
	observe.Report(stage)
	return s, nil
}

func open(ctx context.Context, conn *Connection, cfg Config) (*Source, error) {
	limits := cfg.Limits
	life, end := context.WithCancel(context.Background())
	s := &Source{
		conn: conn, cfg: cfg, limits: limits, prefix: slash(rootPath(cfg.Root)),
		gate: newGate(limits), buffers: newBuffers(limits), maxEntries: entriesLimit, close: end,
	}
	s.pool = &pool{dial: s.dialLane, limits: limits, max: maxChannels, life: life}
	if cfg.Connections > 0 {
		s.pool.max = min(cfg.Connections, maxChannels)
	}
	if err := s.start(ctx); err != nil {
		end()
		return nil, err
	}
	go s.watch(life)
	return s, nil
}

// errTogether is the failure of two channels that were opened side by side, on a
// server that may well take them one after the other, or one alone.
var errTogether = errors.New("the first two channels could not be opened together")

// start opens the control channel and the first data channel, if the server
// takes one beside it.
func (s *Source) start(ctx context.Context) error {
	var err error
	switch {
	case !s.pool.mayGrow():
		err = s.startControl(ctx)
	case s.limits.oneByOne.Load():
		err = s.startInTurn(ctx)
	default:
		err = s.startTogether(ctx)
	}
	if err == nil && len(s.pool.lanes) == 0 {
		s.pool.lanes = []*lane{{port: controlPort{s.control}, meter: s.control.meter}}
		s.pool.max = 0
	}
	return err
}

// startInTurn opens the data channel when the control channel stands.
func (s *Source) startInTurn(ctx context.Context) error {
	if err := s.startControl(ctx); err != nil {
		return err
	}
	s.pool.opening++
	if _, err := s.pool.grow(ctx); ctx.Err() != nil || errors.Is(err, errDropped) {
		return s.startError(ctx, err)
	}
	return nil
}

// startTogether opens both at once, which saves round trips.
func (s *Source) startTogether(ctx context.Context) error {
	known := s.limits.channels.Load()
	grown := make(chan error, 1)
	s.pool.opening++
	go func() {
		_, err := s.pool.grow(ctx)
		grown <- err
	}()
	err := s.startControl(ctx)
	data := <-grown
	switch {
	case ctx.Err() != nil:
		return s.startError(ctx, cmp.Or(err, data))
	case errors.Is(data, errDropped), err != nil && data == nil:
		s.limits.oneByOne.Store(true)
		return fmt.Errorf("%w: %w", errTogether, cmp.Or(err, data))
	case err != nil:
		s.limits.channels.Store(known) // it was no channel too many that failed
	}
	return err
}

// startControl opens the control channel.
func (s *Source) startControl(ctx context.Context) error {
	ch, err := s.conn.OpenSFTP(ctx)
	if err != nil {
		return s.startError(ctx, err)
	}
	timed, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Operation)
	defer cancel()
	if s.control, err = newControl(timed, ch); err != nil {
		return s.startError(ctx, err)
	}
	return nil
}

// startError gives a failure to start SFTP its word.
func (s *Source) startError(ctx context.Context, err error) error {
	if ctx.Err() == nil && !errors.Is(err, ErrNoChannel) && s.gone() {
		return s.conn.Err()
	}
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	word := status.SFTPUnavailable
	switch {
	case ctx.Err() != nil:
		word, err = status.ConnectionTimedOut, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		word, err = status.ConnectionTimedOut, fmt.Errorf("no answer for %v", s.cfg.Timeouts.Operation)
	}
	return &status.Error{Word: word, Op: "start SFTP on", Target: s.cfg.addr(), Err: err}
}

// dialLane opens one more data channel.
func (s *Source) dialLane(ctx context.Context) (*lane, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Operation)
	defer cancel()
	ch, err := s.conn.OpenSFTP(ctx)
	if err == nil {
		m := newMeter(ch)
		var session *wire.Session
		if session, err = wire.New(ctx, m); err == nil {
			go s.outlive(session)
			return &lane{meter: m, port: &wirePort{
				session: session, limits: s.limits, buffers: s.buffers,
				ordered: strings.HasPrefix(s.conn.ServerVersion(), "SSH-2.0-OpenSSH"),
			}}, nil
		}
	}
	if !errors.Is(err, ErrNoChannel) && s.gone() {
		return nil, fmt.Errorf("%w: %w", errDropped, err)
	}
	return nil, err
}

// gone reports whether the connection is. Its channels end before it is known
// why, so that a failure on one waits a moment for the answer.
func (s *Source) gone() bool {
	select {
	case <-s.conn.Done():
		return true
	case <-time.After(250 * time.Millisecond):
		return false
	}
}

// outlive ends the connection when a session on it ends: what a server cuts
// once is not to be relied on.
func (s *Source) outlive(session *wire.Session) {
	<-session.Done()
	_ = s.lost(session.Err())
}

// lost gives the reason why the connection is gone, which it is after that.
func (s *Source) lost(err error) error {
	if !s.gone() {
		s.conn.Abort(&status.Error{Word: status.ConnectionLost, Op: "talk to", Target: s.cfg.addr(), Err: err})
	}
	if err := s.conn.Err(); err != nil {
		return err
	}
	return &status.Error{Word: status.ConnectionLost, Op: "talk to", Target: s.cfg.addr(), Err: err}
}

// watch ends the connection when the server leaves questions unanswered.
func (s *Source) watch(life context.Context) {
	limit := s.cfg.Timeouts.Operation
	tick := time.NewTicker(max(limit/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.conn.Done():
			s.close()
			return
		case <-life.Done():
			return
		}
		watched := append(s.pool.all(), &lane{port: controlPort{s.control}, meter: s.control.meter})
		for _, l := range watched {
			if n, oldest := l.waiting(); n > 0 && l.meter.stalled(oldest, limit) {
				s.conn.Abort(&status.Error{
					Word: status.ConnectionLost, Op: "talk to", Target: s.cfg.addr(),
					Err: fmt.Errorf("no answer for %v", limit),
				})
			}
		}
	}
}

// Close ends the connection. It does not wait for the server.
func (s *Source) Close() error {
	s.close()
	return s.conn.Close()
}

// Probe opens the root directory and reads the beginning of it. The error is a
// *status.Error: SourceDirectoryNotFound, PermissionDenied, or one of the connection.
func (s *Source) Probe(ctx context.Context) error {
	var err error
	for _, err = range s.List(ctx, "") {
		break
	}
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	root := s.path("")
	e := &status.Error{Word: status.SourceDirectoryNotFound, Op: "list", Target: shown(root), Err: errors.Unwrap(err)}
	switch {
	case ctx.Err() != nil:
		e.Word = status.ConnectionTimedOut
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, fs.ErrPermission):
		e.Word = status.PermissionDenied
	default:
		a, err := s.control.statPath(ctx, root)
		if err == nil && a.typed && !a.mode.IsDir() {
			e.Err = errors.New("it is not a directory")
		} else if errors.Is(err, fs.ErrPermission) {
			e.Word = status.PermissionDenied
		}
	}
	return e
}

// describe is the detail of the stage "sftp".
func (s *Source) describe() string {
	var known []string
	for _, name := range []string{"limits", "posix-rename", "fsync", "hardlink", "statvfs"} {
		if _, ok := s.control.client.HasExtension(name + "@openssh.com"); ok {
			known = append(known, name+"@openssh.com")
		}
	}
	detail := "version 3, no extensions that are used"
	if len(known) > 0 {
		detail = "version 3, " + strings.Join(known, ", ")
	}
	if _, one := s.pool.lanes[0].port.(controlPort); one {
		detail += "; one channel only"
	}
	return detail
}

// rootPath is the configured root without what a path of its own does not need.
// An empty one is where the login leads to.
func rootPath(root string) string {
	trimmed := strings.TrimRight(root, "/")
	switch {
	case root == "":
		return "."
	case trimmed == "":
		return "/"
	}
	return trimmed
}

// path is an entry's path on the server.
func (s *Source) path(name string) string {
	if name == "" {
		return rootPath(s.cfg.Root)
	}
	return s.prefix + name
}

// entry is what attributes say of a name.
func entry(name string, a attrs) filesync.Entry {
	if !a.typed {
		a.mode |= fs.ModeIrregular
	}
	return filesync.Entry{Name: name, Size: a.size, ModTime: a.modTime, Mode: a.mode}
}

// failure gives the error of one file its operation and path, and one of the
// connection its word. A writer's error is left as it is.
func (s *Source) failure(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*wire.EndError](err); ok {
		return s.lost(err)
	}
	_, refused := errors.AsType[*wire.StatusError](err)
	ours := errors.Is(err, filesync.ErrChanged) || errors.Is(err, filesync.ErrLimit) || errors.Is(err, filesync.ErrOutside)
	if !refused && !ours {
		return err
	}
	if name == "" {
		name = s.path("")
	}
	return fmt.Errorf("%s %s: %w", op, shown(name), err)
}

// shown makes a path fit for a line of text: names come from the server.
func shown(name string) string {
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
