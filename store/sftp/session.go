package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	"sftpconnector/sshclient"
	"sftpconnector/status"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// session is a directory on a server, with its connection and its channels. Source and
// Destination share it. A session whose connection is lost stays lost.
type session struct {
	conn    *connection
	cfg     Config
	limits  *Limits
	prefix  string // the root and a slash
	pool    *pool
	handles *handleLimiter
	buffers *buffers
	// gatherSlot has room for one: the listing that may gather more than gatherFreely.
	gatherSlot chan struct{}
	// extraChannels are watched like those of the pool. extension reports whether the
	// server announced an extension.
	extraChannels []*dataChannel
	extension     func(name string) bool

	oneChannel bool         // at the start; another one may come later
	maxEntries int          // in one directory
	untyped    atomic.Int64 // bytes of items that are kept to be tried by OPENDIR
	copies     copies
	ctx        context.Context // ends with the session
	cancel     context.CancelFunc
}

// entriesLimit is how many entries a directory may have. A listing without an end is no
// progress.
const entriesLimit = 10_000_000

// errLostOpening means that the connection was lost while one more channel was opened.
var errLostOpening = errors.New("the connection was lost while one more channel was opened")

// errOpenedTogether means that two channels could not be opened at the same time. The
// server may take them one after the other, or one alone.
var errOpenedTogether = errors.New("the first two channels could not be opened together")

// openSession connects to the server and has start open the first channels. It reports
// the stages up to "sftp". If start fails because it opened more than one channel, it
// is called again on a new connection.
func openSession(ctx context.Context, cfg Config, observe status.Observer, start func(context.Context, *session) error) (*session, error) {
	cfg.Config = cfg.WithDefaults()
	if cfg.Limits == nil {
		cfg.Limits = new(Limits)
	}
	conn, err := sshclient.Dial(ctx, cfg.Config, observe)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	cfg.Limits.meet(conn.ServerVersion(), began)
	s, err := startSession(ctx, conn, cfg, start)
	// Two channels at once may be too many, and then two at all.
	for range 2 {
		together, dropped := errors.Is(err, errOpenedTogether), errors.Is(err, errLostOpening)
		if !together && !dropped {
			break
		}
		if !together {
			cfg.Limits.setDataChannels(0)
		}
		_ = conn.Close()
		if conn, err = sshclient.Dial(ctx, cfg.Config, nil); err == nil {
			cfg.Limits.meet(conn.ServerVersion(), time.Now())
			s, err = startSession(ctx, conn, cfg, start)
		}
	}
	stage := status.Stage{Stage: status.StageSFTP, OK: err == nil, MS: time.Since(began).Milliseconds()}
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

func startSession(ctx context.Context, conn *sshclient.Connection, cfg Config, start func(context.Context, *session) error) (*session, error) {
	limits := cfg.Limits
	life, end := context.WithCancel(context.Background())
	s := &session{
		conn: &connection{Connection: conn, encoding: cfg.NameEncoding}, cfg: cfg, limits: limits, prefix: slash(rootPath(cfg.Root)),
		handles: newHandleLimiter(limits), buffers: newBuffers(limits), maxEntries: entriesLimit, ctx: life, cancel: end,
		gatherSlot: make(chan struct{}, 1),
	}
	s.pool = &pool{open: s.openDataChannel, limits: limits, max: maxChannels, ctx: life}
	if cfg.Connections > 0 {
		s.pool.max = min(cfg.Connections, maxChannels)
	}
	if err := start(ctx, s); err != nil {
		end()
		return nil, err
	}
	conn.KeepAlive(s.statRoot)
	go s.watch(life, s.conn)
	return s, nil
}

// statRoot asks for the attributes of the root directory. Any answer will do.
func (s *session) statRoot(ctx context.Context) error {
	return s.pool.first().stat(ctx, []string{s.path("")}, true, func(int, attrs, error) {})
}

// startError gives a failure to start SFTP its status word.
func (s *session) startError(ctx context.Context, err error) error {
	if ctx.Err() == nil && !errors.Is(err, sshclient.ErrNoChannel) && s.conn.hasEnded() {
		return s.conn.Err()
	}
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	word := status.SFTPUnavailable
	if e, ok := errors.AsType[*startError](err); ok {
		err = e
	}
	switch {
	case ctx.Err() != nil:
		word, err = status.ConnectionTimedOut, context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		word, err = status.ConnectionTimedOut, fmt.Errorf("no answer for %v", s.cfg.Timeouts.Operation)
	}
	e := &status.Error{Word: word, Op: "start SFTP on", Target: s.cfg.Addr(), Err: err}
	if errors.Is(err, sshclient.ErrNoChannel) {
		e.Hint = "The login works but the server lets this user open no session: have its administrator allow some (OpenSSH: MaxSessions), or see whether too many are open."
	}
	if _, other := errors.AsType[*wire.VersionError](err); other {
		e.Hint = "SFTP version 3 is what nearly all servers speak. Have the server's administrator allow it for this user."
	}
	return e
}

// openDataChannel opens one more data channel.
func (s *session) openDataChannel(ctx context.Context) (*dataChannel, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeouts.Operation)
	defer cancel()
	conn := s.conn
	ch, err := conn.openSFTP(ctx)
	if err == nil {
		m := newMeter(ch)
		var session *wire.Session
		if session, err = wire.New(ctx, m); err == nil {
			if n := s.limits.channelHandles.Load(); n > 0 {
				session.LimitHandles(int(n))
			}
			if s.cfg.NameEncoding != nil {
				session.GrowNames(namesGrow)
			}
			go s.endWithChannel(conn, session)
			return &dataChannel{conn: conn, meter: m, channel: &wireChannel{
				session: session, limits: s.limits, buffers: s.buffers,
				ordered: conn.isOpenSSH() && hasOpenSSH(session.Extensions()),
			}}, nil
		}
	}
	if !errors.Is(err, sshclient.ErrNoChannel) && conn.hasEnded() {
		return nil, fmt.Errorf("%w: %w", errLostOpening, err)
	}
	return nil, err
}

// Close ends the connection. It does not wait for the server.
func (s *session) Close() error {
	if s.conn.Err() == nil {
		s.limits.lostWithHandles.Store(0)
	}
	s.cancel()
	return s.conn.Close()
}

// describe is the detail of the stage "sftp".
func (s *session) describe() string {
	var known []string
	for _, name := range []string{"limits", "posix-rename", "fsync", "hardlink", "statvfs"} {
		if s.extension(name + "@openssh.com") {
			known = append(known, name+"@openssh.com")
		}
	}
	detail := "version 3, no extensions that are used"
	if len(known) > 0 {
		detail = "version 3, " + strings.Join(known, ", ")
	}
	if s.oneChannel {
		detail += "; one channel only"
	}
	return detail
}

// rootPath is the configured root without trailing slashes. An empty root is the
// directory that the login leads to.
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
func (s *session) path(name string) string {
	if name == "" {
		return rootPath(s.cfg.Root)
	}
	return s.prefix + name
}

// entry makes an entry of a name and its attributes.
func entry(name string, a attrs) filesync.Entry {
	if !a.typed {
		a.mode |= fs.ModeIrregular
	}
	return filesync.Entry{Name: name, Size: a.size, ModTime: a.modTime, Mode: a.mode}
}

// failure gives the error of one file its operation and path, and one of the connection
// its status word. The error of a writer is left as it is.
func (s *session) failure(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*wire.EndError](err); ok {
		return s.lost(err)
	}
	if errors.Is(err, wire.ErrHandleReused) {
		s.noteHandleReused()
		return fmt.Errorf("%s %s: %w: %w", op, shown(cmp.Or(name, s.path(""))), filesync.ErrBeginAnew, err)
	}
	if s.rejectsOpenHandle(err) {
		return fmt.Errorf("%s %s: %w: %w", op, shown(name), filesync.ErrBeginAnew, err)
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

// shown quotes a path for a line of text where that is needed, as names come from the
// server.
func shown(name string) string {
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}
