//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/model"
	"sftpconnector/faults/powerfs"
	"sftpconnector/faults/product"
	"sftpconnector/faults/relay"
	"sftpconnector/faults/schedule"
	"sftpconnector/faults/sftpd"
	"sftpconnector/faults/tcpport"
)

// Options say with what a schedule is run.
type Options struct {
	Binary string // the product
	Dir    string // an empty directory, for all that the run needs
}

// world is everything around the product in one run.
type world struct {
	options  Options
	schedule schedule.Schedule
	random   *rand.Rand // of the power cuts; used by one goroutine at a time, under power

	clientKey ssh.Signer
	data      *powerfs.FS // the data directory, with the ledger and the inboxes
	disk      *powerfs.FS // the destinations
	faults    diskFaults
	daemon    *daemon
	api       *api
	apiPort   *tcpport.Port
	spacePort *tcpport.Port
	receiver  *receiver
	clock     string // file that shifts the wall clock of the daemon
	sites     map[string]*site
	spaces    map[string]*spaceSite

	power sync.Mutex // held by who ends and starts the daemon
	notes notes
	// closers undo what was started, the last first.
	closers []func() error
	reloads int // of the configuration, which is another one each time
}

// site is a connector with its server, its source and its destination.
type site struct {
	schedule.Connector
	root   string // of its server
	server server
	sftpd  *sftpd.Server // if that is the server
	relay  *relay.Relay
	line   relay.Line
	lineMu sync.Mutex
	// disturbing is held while a fault of the server is on.
	disturbing sync.Mutex
	login      login
	source     *source
	watcher    *watcher
	share      *share // of an SMB destination
	// destination is where the copies are, for the suite, and target what the
	// product is told of it.
	destination, target string

	mu       sync.Mutex
	planted  map[string][]modelSum
	taken    map[string]bool
	requests []*request
	failures []model.Problem // of the last Apply
}

// spaceSite is a Space with its clients and its destination.
type spaceSite struct {
	schedule.Space
	disk        *powerfs.FS // which the destination is on
	destination string
	watcher     *watcher
	mu          sync.Mutex
	uploads     []modelUpload
	names       map[string]*sync.Mutex
}

// build starts everything but the daemon.
func build(ctx context.Context, o Options, s schedule.Schedule) (*world, error) {
	w := &world{options: o, schedule: s, random: rand.New(rand.NewSource(int64(s.Seed))), sites: map[string]*site{}, spaces: map[string]*spaceSite{}}
	if err := w.start(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) start(ctx context.Context) error {
	var err error
	if w.clientKey, err = newKey(w.path("client_key")); err != nil {
		return err
	}
	if w.data, err = w.mount("data"); err != nil {
		return err
	}
	if w.disk, err = w.mount("disk"); err != nil {
		return err
	}
	w.disk.Watch(w.diskChanged)
	w.data.Watch(w.diskChanged)
	if w.receiver, err = startReceiver(); err != nil {
		return err
	}
	w.closers = append(w.closers, w.receiver.close)
	for _, p := range []**tcpport.Port{&w.apiPort, &w.spacePort} {
		if *p, err = tcpport.Reserve("127.0.0.1:0"); err != nil {
			return err
		}
		w.closers = append(w.closers, (*p).Close)
	}
	for _, c := range w.schedule.Connectors {
		if err := w.addConnector(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	for _, s := range w.schedule.Spaces {
		w.addSpace(s)
	}
	w.clock = w.path("clock")
	w.api = newAPI(w.apiPort.Addr(), token)
	w.closers = append(w.closers, func() error { w.api.close(); return nil })
	w.daemon = newDaemon(w.path("daemon.log"), []string{product.ClockVariable + "=" + w.clock}, w.options.Binary, "run", "--config", w.path("config.yaml"))
	return os.WriteFile(w.path("config.yaml"), w.configuration(), 0o600)
}

func (w *world) path(name string) string { return filepath.Join(w.options.Dir, name) }

func (w *world) mount(name string) (*powerfs.FS, error) {
	dir := w.path(name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := powerfs.Mount(dir)
	if err != nil {
		return nil, err
	}
	w.closers = append(w.closers, f.Unmount)
	return f, nil
}

func (w *world) addConnector(ctx context.Context, c schedule.Connector) error {
	dir := w.path(c.Name)
	s := &site{Connector: c, root: filepath.Join(dir, "root"), planted: map[string][]modelSum{}, taken: map[string]bool{}}
	if err := directories(s.root); err != nil {
		return err
	}
	if err := w.startServer(s, dir); err != nil {
		return err
	}
	w.closers = append(w.closers, s.server.Close)
	var err error
	if s.relay, err = relay.Start(s.server.Addr()); err != nil {
		return err
	}
	w.closers = append(w.closers, s.relay.Close)
	from := filepath.Join(s.root, "out")
	switch {
	case c.Direction == "upload":
		from, s.destination, s.target = filepath.Join(dir, "outgoing"), filepath.Join(s.root, "in"), s.place().in
	case c.Destination == "smb":
		if s.share, err = startShare(ctx, filepath.Join(dir, "share")); err != nil {
			return err
		}
		w.closers = append(w.closers, s.share.close)
		s.destination, s.target = s.share.dir, s.share.path()
	default:
		s.destination = w.path("disk/" + c.Name)
		s.target = s.destination // which the product makes
	}
	if s.source, err = newSource(from, filepath.Join(dir, "staging"), w.schedule.Seed, c.Takes()); err != nil {
		return err
	}
	s.watcher = newWatcher(s.destination)
	w.sites[c.Name] = s
	return nil
}

func (w *world) startServer(s *site, dir string) error {
	s.login = login{user: "user", password: modelPassword, keyFile: w.path("client_key")}
	if s.Server == "openssh" {
		server, hostKey, err := startOpenSSH(dir, w.clientKey.PublicKey())
		if err != nil {
			return err
		}
		s.server, s.login.user, s.login.hostKey = server, server.user, hostKey
		return nil
	}
	server, err := startModel(s.root, w.clientKey.PublicKey())
	if err != nil {
		return err
	}
	s.server, s.sftpd, s.login.hostKey = server, server.Server, server.HostKey()
	return nil
}

// place is how the product names the directories of the server: the suite's own
// server shows its root alone.
func (s *site) place() place {
	root := s.root
	if s.Server != "openssh" {
		root = ""
	}
	return place{out: root + "/out", in: root + "/in", archive: root + "/archive"}
}

// archive is where originals are moved to, for the suite.
func (s *site) archive() string {
	if s.Direction == "upload" {
		return filepath.Join(filepath.Dir(s.source.dir), "sent")
	}
	return filepath.Join(s.root, "archive")
}

func (w *world) addSpace(s schedule.Space) {
	p := &spaceSite{Space: s, disk: w.disk, destination: w.path("disk/" + s.ID), names: map[string]*sync.Mutex{}}
	if s.Destination == "spool" {
		p.disk, p.destination = w.data, w.path("data/"+s.ID)
	}
	p.watcher = newWatcher(p.destination)
	w.spaces[s.ID] = p
}

// syncDirectory has a power cut leave the names in a directory alone.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// close ends everything, the last that was started first.
func (w *world) close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	return errors.Join(errs...)
}

// watchers run until ctx ends.
func (w *world) watch(ctx context.Context, group *sync.WaitGroup) {
	for _, s := range w.sites {
		every := 100 * time.Millisecond
		if s.onDisk() {
			every = time.Second
		}
		group.Go(func() { s.watcher.run(ctx, every) })
	}
	for _, s := range w.spaces {
		group.Go(func() { s.watcher.run(ctx, time.Second) })
	}
}

// onDisk reports whether the destination is on the disk that forgets.
func (s *site) onDisk() bool { return s.Direction == "download" && s.Destination == "power" }
