package space

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/durable"
	"sftpconnector/interapp"
	"sftpconnector/space/credentials"
	"sftpconnector/space/spool"
	"sftpconnector/space/sshd"
	"sftpconnector/sync/ledger"
)

// ErrUnknown: there is no such Space.
var ErrUnknown = errors.New("no Space has this id")

// Spaces are the Spaces of a configuration, and the server that receives for
// them. Methods may be called concurrently.
type Spaces struct {
	mode        Mode
	dir         string // the data directory
	ledger      *ledger.Ledger
	log         *slog.Logger
	server      *sshd.Server // nil unless Receiving
	listener    net.Listener // nil unless Receiving
	listens     listener
	credentials *credentials.Store

	mu     sync.RWMutex
	cfg    config.SpaceServer
	keys   []credentials.Key
	public map[string]credentials.PublicKeys // of each Space that is configured, also if its spool is not open
	spaces map[string]*space
	tasks  sync.WaitGroup // the imports
	run    func(*space)   // starts the import of one; nil until Run
}

// space is one of them.
type space struct {
	id     string
	limits spool.Limits  // Spaces.mu guards it
	spool  *spool.Spool  // nil if it is not open, see Mode
	wake   chan struct{} // has room for one: something may be there to import
	end    context.CancelFunc
	ended  chan struct{} // closed when the import of it has ended
}

// Mode is what Spaces are opened for. The zero Mode is the daemon's.
type Mode int

const (
	// Receiving lets clients in, and imports what they upload, during Run.
	Receiving Mode = iota
	// Looking opens the spools that there are, and lets nobody in. There is no Run.
	Looking
	// Closed opens no spool either: there are the credentials and what the ledger has.
	Closed
)

// Options are what Spaces are made of.
type Options struct {
	Config *config.Config
	Mode   Mode
	Ledger *ledger.Ledger // keeps the indexes of the spools; it is closed after the Spaces
	Log    *slog.Logger
	// Descriptors is how many file descriptors its SSH server may use; 0: any number.
	Descriptors int
	// OnSession, which may be nil, is told of logins and their ends. It must not block.
	OnSession func(sshd.Event)
}

// Open opens the spools and listens; nobody is let in until Run. A spool that
// cannot be opened is logged, and its Space is unknown until a Reload opens it.
// Without a space_server in the configuration there are no Spaces, and it gives nil.
// In other modes than Receiving it does not listen, and a spool that cannot be opened
// is the error.
func Open(ctx context.Context, o Options) (*Spaces, error) {
	c := o.Config
	if !c.SpaceServer.Enabled() {
		return nil, nil
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	store, err := OpenCredentials(c)
	if err != nil {
		return nil, err
	}
	s := &Spaces{mode: o.Mode, dir: c.DataDirectory, ledger: o.Ledger, log: o.Log, listens: listenerOf(c.SpaceServer), credentials: store, spaces: map[string]*space{}}
	if s.mode == Receiving {
		err = s.receive(ctx, o)
	} else {
		err = s.adopt(ctx, c)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// receive opens the spools and listens.
func (s *Spaces) receive(ctx context.Context, o Options) (err error) {
	c := o.Config
	s.server, err = sshd.New(sshd.Options{
		HostKeys:     sshd.HostKeyDirectory(filepath.Join(c.DataDirectory, "host_keys")),
		Authenticate: s.authenticate, AuthenticateKey: s.authenticateKey, Handlers: s.handlers,
		MaximumConnections: c.SpaceServer.Connections, MaximumConnectionsPerSpace: c.SpaceServer.ConnectionsSpace,
		Descriptors: o.Descriptors, Idle: c.SpaceServer.IdleTimeout.Std(), Log: o.Log, OnEvent: o.OnSession,
	})
	if err != nil {
		return err
	}
	if unopened := s.adopt(ctx, c); unopened != nil { // the others receive all the same
		o.Log.Error("not all Spaces receive uploads", "error", unopened)
	}
	if s.listener, err = net.Listen("tcp", c.SpaceServer.Listen); err != nil {
		return fmt.Errorf("space_server.listen: %w", err)
	}
	return nil
}

// OpenCredentials opens the passwords of the Spaces of a configuration. The
// daemon and the command line may have them open at the same time.
func OpenCredentials(c *config.Config) (*credentials.Store, error) {
	return credentials.Open(credentials.Options{
		Records: durable.Document{Path: filepath.Join(c.DataDirectory, "space_credentials.json"), Mode: 0o600},
		Key:     durable.Document{Path: filepath.Join(c.DataDirectory, "space_credentials.key")},
		Expiry:  c.SpaceServer.CredentialsExpiry.Std(),
	})
}

// adopt takes on a configuration: it opens the spools of new Spaces, and ends the
// Spaces that the configuration does not have. Their files stay. A Space that cannot be
// opened is left out, and the error says so.
func (s *Spaces) adopt(ctx context.Context, c *config.Config) error {
	public := map[string]credentials.PublicKeys{}
	for id, cfg := range c.Spaces {
		parsed, err := credentials.ParseKeys(cfg.PublicKeys)
		if err != nil {
			return fmt.Errorf("the Space %s: public_keys: %w", id, err)
		}
		public[id] = parsed
	}
	keys := make([]credentials.Key, 0, len(c.SpaceServer.SecretKeys))
	for _, k := range c.SpaceServer.SecretKeys {
		keys = append(keys, credentials.NewKey(k.Name, k.Key.Reveal(), k.Spaces))
	}
	s.retire(c)
	fresh, err := s.openNew(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.keys = c.SpaceServer, keys
	s.credentials.SetExpiry(c.SpaceServer.CredentialsExpiry.Std())
	for _, one := range fresh {
		s.spaces[one.id] = one
		if s.run != nil {
			s.run(one)
		}
	}
	for id, one := range s.spaces {
		one.limits = limitsOf(c, c.Spaces[id])
		if one.spool != nil {
			one.spool.SetLimits(one.limits)
		}
		one.wakeImport() // its connector may be a new one, that does not know yet how its destination is
	}
	old := s.public
	s.public = public
	for id, had := range old { // nobody comes in any more by what was there
		if slices.ContainsFunc(had, func(k ssh.PublicKey) bool { return !public[id].Has(k) }) {
			s.log.Info("public keys revoked", "space", id, "sessions_cut", s.disconnect(id))
		}
	}
	return err
}

// retire ends the Spaces that a configuration has no more.
func (s *Spaces) retire(c *config.Config) {
	var gone []*space
	s.mu.Lock()
	for id, one := range s.spaces {
		if c.Spaces[id] == nil {
			gone = append(gone, one)
			delete(s.spaces, id)
		}
	}
	maps.DeleteFunc(s.public, func(id string, _ credentials.PublicKeys) bool { return c.Spaces[id] == nil })
	s.mu.Unlock()
	for _, one := range gone {
		s.disconnect(one.id)
		one.end()
		if one.ended != nil {
			<-one.ended
		}
		one.spool.Close()
	}
}

// openNew opens the spools of the Spaces that there are not yet.
func (s *Spaces) openNew(ctx context.Context, c *config.Config) (opened []*space, err error) {
	for id, cfg := range c.Spaces {
		if _, err := s.find(id); err == nil {
			continue
		}
		one := &space{id: id, limits: limitsOf(c, cfg), wake: make(chan struct{}, 1), end: func() {}}
		if oerr := s.openSpool(ctx, one); oerr != nil {
			err = errors.Join(err, oerr)
			continue
		}
		opened = append(opened, one)
	}
	return opened, err
}

func (s *Spaces) openSpool(ctx context.Context, one *space) (err error) {
	o := spool.Options{
		Directory: filepath.Join(s.dir, "spool", one.id),
		Inbox:     filepath.Join(s.dir, "spaces", one.id), // where uploads were before there were spools
		Limits:    one.limits, OnChange: one.wakeImport, Log: s.log.With("space", one.id),
	}
	if s.mode == Closed || s.mode == Looking && !exists(o.Directory) && !exists(o.Inbox) {
		return nil // a look at it does not make it
	}
	if s.mode == Looking {
		o.Quiet = time.Nanosecond // no client writes
	}
	if o.Index, err = s.ledger.Spool(ctx, interapp.SpaceConnector(one.id)); err == nil {
		one.spool, err = spool.Open(ctx, o)
	}
	if err != nil {
		return fmt.Errorf("the Space %s: %w", one.id, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// wakeImport has the import look for files.
func (one *space) wakeImport() {
	select {
	case one.wake <- struct{}{}:
	default: // it will
	}
}

// limitsOf are a Space's own limits, or else the server's.
func limitsOf(c *config.Config, s *config.Space) spool.Limits {
	return spool.Limits{
		MaximumFileSize: int64(cmp.Or(s.MaximumFileSize, c.SpaceServer.MaximumFileSize)),
		Quota:           int64(cmp.Or(s.InboxQuota, c.SpaceServer.InboxQuota)),
		KeepEach:        s.SameName == config.KeepBoth,
	}
}

// Unopened reports whether a Space of the configuration is not open: its spool could
// not be opened, which another Reload tries again.
func (s *Spaces) Unopened(c *config.Config) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.spaces) < len(c.Spaces)
}

// Reload goes over to another configuration. What the listener is made of takes
// effect at the next start, which the log says. The error names the Spaces that
// could not be opened: they receive nothing until another Reload opens them, and
// the others have gone over.
func (s *Spaces) Reload(ctx context.Context, c *config.Config) error {
	if listenerOf(c.SpaceServer) != s.listens {
		s.log.Warn("reload: space_server.listen, connections, connections_per_space and idle_timeout take effect at the next start")
	}
	return s.adopt(ctx, c)
}

// listener is what the listener is made of, which no reload changes.
type listener struct {
	listen                        string
	connections, connectionsSpace int
	idle                          config.Duration
}

func listenerOf(c config.SpaceServer) listener {
	return listener{c.Listen, c.Connections, c.ConnectionsSpace, c.IdleTimeout}
}

func (s *Spaces) find(id string) (*space, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if one := s.spaces[id]; one != nil {
		return one, nil
	}
	return nil, fmt.Errorf("the Space %q: %w", id, ErrUnknown)
}

func (s *Spaces) authenticate(_ context.Context, id, _ string, password []byte) bool {
	_, err := s.credentials.Check(id, password)
	if err != nil && !errors.Is(err, credentials.ErrRefused) {
		s.log.Error("passwords cannot be checked", "error", err)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, configured := s.public[id]
	return err == nil && configured
}

func (s *Spaces) authenticateKey(_ context.Context, id string, key ssh.PublicKey) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.public[id].Has(key)
}

func (s *Spaces) handlers(id string) (sftp.Handlers, error) {
	one, err := s.find(id)
	if err != nil {
		return sftp.Handlers{}, err
	}
	return one.spool.Handlers(), nil
}

// Source is the spool of a Space, for its connector.
func (s *Spaces) Source(id string) (connector.Source, error) {
	one, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if one.spool == nil {
		return nil, fmt.Errorf("the Space %q: its inbox is not open", id)
	}
	return one.spool.Source(), nil
}

// Known gives ErrUnknown unless there is a Space of that id.
func (s *Spaces) Known(id string) error {
	_, err := s.find(id)
	return err
}

// Receiving reports whether the Spaces were opened to receive uploads.
func (s *Spaces) Receiving() bool { return s.mode == Receiving }

// IDs gives the ids of all Spaces, in order.
func (s *Spaces) IDs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.spaces))
}

// Addr is where the server listens, in the mode Receiving.
func (s *Spaces) Addr() net.Addr { return s.listener.Addr() }

// HostKeys are the keys that clients are shown; none unless the mode is Receiving.
func (s *Spaces) HostKeys() []ssh.PublicKey {
	if s.server == nil {
		return nil
	}
	return s.server.HostKeys()
}

// disconnect cuts the sessions of a Space, and gives their number.
func (s *Spaces) disconnect(id string) int {
	if s.server == nil {
		return 0
	}
	return s.server.Disconnect(id)
}

// Public is the host and port that clients are told.
func (s *Spaces) Public() (host string, port int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.listener == nil {
		return PublicAddress(s.cfg, s.cfg.Listen)
	}
	return PublicAddress(s.cfg, s.listener.Addr().String())
}

// PublicAddress is what clients of a server are told; listens is the address at
// which it listens, and what they are told where the configuration says nothing.
func PublicAddress(c config.SpaceServer, listens string) (host string, port int) {
	own, digits, _ := net.SplitHostPort(listens)
	host, port = c.PublicHost, c.PublicPort
	if host == "" {
		host = own
	}
	if port == 0 {
		port, _ = strconv.Atoi(digits)
	}
	return host, port
}

// Close closes the spools, after Run and after the passes that read them.
func (s *Spaces) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.spaces {
		if one.spool != nil {
			one.spool.Close()
		}
	}
	if s.listener != nil {
		s.listener.Close()
	}
	if err := s.credentials.Close(); err != nil {
		s.log.Warn("the last uses of passwords are not noted", "error", err)
	}
}
