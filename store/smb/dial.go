package smb

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strconv"
	"strings"

	smb2 "github.com/cloudsoda/go-smb2"

	"sftpconnector/status"
)

// credits is how many requests may be under way at a time, as far as the server
// agrees; a write counts as one for each 64 KiB.
const credits = 256

// Open logs in to the server and opens the directory on the share, which is
// made if its parent exists. Every error is a *status.Error with the word
// Destination Unavailable, whose cause says in words what is wrong.
func Open(ctx context.Context, cfg Config) (*Destination, error) {
	cfg = cfg.withDefaults()
	s, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	d := newDestination(cfg, s)
	if err := d.openRoot(ctx); err != nil {
		s.close()
		return nil, err
	}
	return d, nil
}

// connect gives a session with the share.
func connect(ctx context.Context, cfg Config) (*session, error) {
	addr := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	dialing, cancel := context.WithTimeout(ctx, cfg.Timeouts.Dial)
	defer cancel()
	tcp, err := cfg.Dial(dialing, "tcp", addr)
	if err != nil {
		return nil, unavailable("connect to", addr, of(ctx, err, explainConnect))
	}
	w := newWire(tcp)
	life, stop := context.WithCancel(context.Background())
	s := &session{target: cfg.Target, operation: cfg.Timeouts.Operation, wire: w, life: life, stop: stop}
	if err := s.login(ctx, cfg, addr); err != nil {
		w.Close()
		stop()
		return nil, err
	}
	s.begin()
	return s, nil
}

// login does the handshake, logs in, and opens the share.
func (s *session) login(ctx context.Context, cfg Config, addr string) *status.Error {
	within, cancel := context.WithTimeout(ctx, cfg.Timeouts.Login)
	defer cancel()
	// The library looks at its context only between two steps.
	defer context.AfterFunc(within, func() { s.wire.end(within.Err()) })()
	user, domain := cfg.login()
	dialer := &smb2.Dialer{MaxCreditBalance: credits, Initiator: &smb2.NTLMInitiator{User: user, Password: cfg.Password, Domain: domain}}
	var login *smb2.Session
	err := guarded(func() (err error) {
		login, err = dialer.DialConn(within, s.wire, cfg.Host)
		return err
	})
	if err != nil {
		return unavailable("log in to", addr, of(ctx, s.cause(err), explainLogin))
	}
	var share *smb2.Share
	err = guarded(func() (err error) {
		share, err = login.WithContext(within).Mount(`\\` + cfg.Host + `\` + cfg.Share)
		return err
	})
	if err != nil {
		return unavailable("open", `\\`+cfg.Host+`\`+cfg.Share, of(ctx, s.cause(err), func(err error) *explainedError { return explainMount(cfg.Share, err) }))
	}
	s.share = share.WithContext(s.life)
	return nil
}

// cause gives the reason why the connection ended, if it has, and else err.
func (s *session) cause(err error) error {
	if why := s.wire.reason(); why != nil {
		return why
	}
	return err
}

// of explains err, unless it is only that the caller does not want any more.
func of(ctx context.Context, err error, explain func(error) *explainedError) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if explained, ok := errors.AsType[*explainedError](err); ok {
		return explained
	}
	return explain(err)
}

// openRoot looks at the directory, and makes the last of its path. With the
// rest missing, a disk of the server is not mounted, and what stands in its
// place must not be filled.
func (d *Destination) openRoot(ctx context.Context) error {
	if d.root == "" {
		return nil
	}
	where := d.s.target.String()
	info, err := ask(ctx, d.s, func() (fs.FileInfo, error) { return d.s.share.Stat(d.root) }, nil)
	if errors.Is(err, fs.ErrNotExist) {
		if err = d.makeRoot(ctx); err != nil {
			return unavailable("make destination directory", where, of(ctx, err, explainAccess))
		}
		return nil
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return unavailable("open destination directory", where, of(ctx, err, explainAccess))
	}
	return nil
}

func (d *Destination) makeRoot(ctx context.Context) error {
	err := d.s.tell(ctx, func() error { return d.s.share.Mkdir(d.root, 0o777) })
	above := d.root[:max(0, strings.LastIndexByte(d.root, '\\'))]
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &explainedError{"no such directory above it: " + above + " is missing on the share", "", err}
	case errors.Is(err, fs.ErrExist):
		return nil
	case err == nil:
		if err := d.flushAt(ctx, above); isLost(err) {
			return err
		}
	}
	return err
}
