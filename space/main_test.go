package space_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/space"
	"sftpconnector/space/spool"
	"sftpconnector/space/sshd"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// id is the Space of most tests.
const id = "us_sp_123"

// rig is a server with Spaces that imports into directories, until the test ends.
type rig struct {
	*testing.T
	dir    string // "to/ID" in it are the destinations
	cfg    *config.Config
	ledger *ledger.Ledger
	spaces *space.Spaces
	set    *connector.Set

	mu        sync.Mutex
	delivered []string // to all, in order
	events    []sshd.Event
	fetching  func(context.Context)        // before a Fetch or Link begins; may be nil
	fetched   func(filesync.Entry)         // before one returns; may be nil
	copies    bool                         // nothing is linked
	publish   func([]filesync.Publication) // before files get their names; may be nil
	left      atomic.Bool                  // the destination says once that it has pending files left
}

// newRig starts one. adjust may change its settings.
func newRig(t *testing.T, adjust func(*rig)) *rig {
	t.Helper()
	r := prepare(t, adjust)
	r.run()
	return r
}

// prepare opens the Spaces of one, which does not run yet.
func prepare(t *testing.T, adjust func(*rig)) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir()}
	r.cfg = &config.Config{
		DataDirectory: filepath.Join(r.dir, "data"),
		SpaceServer: config.SpaceServer{
			Listen: "127.0.0.1:0", MaximumFileSize: 1e6, InboxQuota: 10e6, Connections: 50, ConnectionsSpace: 20, IdleTimeout: config.Duration(time.Minute),
		},
		Spaces: map[string]*config.Space{},
	}
	r.add(id, config.ReplaceSameName)
	for _, dir := range []string{"data", "to"} {
		if err := os.Mkdir(filepath.Join(r.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if adjust != nil {
		adjust(r)
	}
	var err error
	if r.ledger, err = ledger.Open(t.Context(), r.cfg.DataDirectory); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.ledger.Close() })
	if r.spaces, err = space.Open(t.Context(), space.Options{Config: r.cfg, Ledger: r.ledger, OnSession: r.happened}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) add(id string, same config.SameName) {
	r.cfg.Spaces[id] = &config.Space{
		Name: id, DestinationDirectoryPath: filepath.Join(r.dir, "to", id), SameName: same, Retention: config.Duration(time.Hour),
	}
}

// run has the Spaces receive and import, as the daemon does.
func (r *rig) run() {
	l := r.ledger
	set, err := connector.NewSet(r.Context(), connectors(r.cfg), connector.Parts{
		Source: func(_ context.Context, c *config.Connector, _ status.Observer) (connector.Source, error) {
			src, err := r.spaces.Source(c.Space.Name)
			if err != nil {
				return nil, err
			}
			return source{src.(*spool.Source), r}, nil
		},
		Destination: func(_ context.Context, c *config.Connector, _ int64, _ status.Observer) (filesync.Destination, error) {
			d, err := local.Open(c.Files.DestinationDirectoryPath, pending.NewOwner(l.Owner(), "c", 0))
			if err != nil {
				return nil, err
			}
			return destination{d, r}, nil
		},
		OnDelivered: func(_ string, d filesync.Delivered) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.delivered = append(r.delivered, d.Delivery.Target.Name)
		},
	}, l)
	if err != nil {
		r.Fatal(err)
	}
	r.set = set
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { set.Run(ctx) })
	running.Go(func() {
		if err := r.spaces.Run(ctx, set); err != nil {
			r.Error(err)
		}
	})
	r.Cleanup(func() {
		stop()
		running.Wait()
		r.spaces.Close()
	})
}

// connectors is a configuration with the connectors of its Spaces.
func connectors(c *config.Config) *config.Config {
	all := *c
	all.Connectors = space.Connectors(c)
	return &all
}

// reload goes over to other settings, as the daemon does. between, which may be
// nil, is called when the Spaces have and their connectors have not.
func (r *rig) reload(change func(*config.Config), between func()) {
	r.Helper()
	next := *r.cfg
	next.Spaces = map[string]*config.Space{}
	for id, s := range r.cfg.Spaces {
		own := *s
		next.Spaces[id] = &own
	}
	change(&next)
	if err := r.spaces.Reload(r.Context(), &next); err != nil {
		r.Error(err)
	}
	if between != nil {
		between()
	}
	if _, err := r.set.Reload(r.Context(), connectors(&next)); err != nil {
		r.Error(err)
	}
	r.cfg = &next
}

func (r *rig) happened(e sshd.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// source tells the rig when a file was read.
type source struct {
	*spool.Source
	rig *rig
}

func (s source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	if s.rig.fetching != nil {
		s.rig.fetching(ctx)
	}
	if s.rig.fetched != nil {
		w = &notifyingWriter{w, e, s.rig}
	}
	return s.Source.Fetch(ctx, e, from, w)
}

func (s source) Link(ctx context.Context, e filesync.Entry, link func(path string) error) (filesync.Entry, error) {
	if s.rig.copies {
		return filesync.Entry{}, errors.ErrUnsupported
	}
	if s.rig.fetching != nil {
		s.rig.fetching(ctx)
	}
	return s.Source.Link(ctx, e, func(path string) error {
		if s.rig.fetched != nil {
			s.rig.fetched(e)
		}
		return link(path)
	})
}

// notifyingWriter is where a file is copied to.
type notifyingWriter struct {
	io.WriterAt
	e   filesync.Entry
	rig *rig
}

func (w *notifyingWriter) WriteAt(p []byte, off int64) (int, error) {
	w.rig.fetched(w.e)
	return w.WriterAt.WriteAt(p, off)
}

// destination tells the rig when files are about to get their names.
type destination struct {
	*local.Destination
	rig *rig
}

func (d destination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	if d.rig.publish != nil {
		d.rig.publish(batch)
	}
	return d.Destination.Publish(ctx, batch)
}

func (d destination) NeedsSweep() bool {
	return d.Destination.NeedsSweep() || d.rig.left.Swap(false)
}

// login is a client of a Space, until the test ends.
func (r *rig) login(id string) *sftp.Client {
	r.Helper()
	made, err := r.spaces.Create(r.Context(), id, "")
	if err != nil {
		r.Fatal(err)
	}
	c, err := r.dial(id, made.Password())
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func (r *rig) dial(id, password string) (*sftp.Client, error) {
	conn, err := net.DialTimeout("tcp", r.spaces.Addr().String(), 10*time.Second)
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
		User: id, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.FixedHostKey(r.spaces.HostKeys()[0]),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	})
	if err != nil {
		return nil, err
	}
	files, err := sftp.NewClient(ssh.NewClient(c, channels, requests))
	if err != nil {
		return nil, err
	}
	r.Cleanup(func() { files.Close() })
	return files, nil
}

func (r *rig) put(c *sftp.Client, name, content string) {
	r.Helper()
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err == nil {
		if _, err = f.ReadFrom(strings.NewReader(content)); err == nil {
			err = f.Close()
		}
	}
	if err != nil {
		r.Error(err)
	}
}

// until waits for a condition.
func (r *rig) until(what string, is func() bool) {
	r.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.Fatalf("it did not come to this: %s", what)
		}
	}
}

// arrives waits until a destination has the files, whose contents follow their
// names, and nothing else, and the inbox nothing; and checks what was told.
func (r *rig) arrives(id string, files ...string) {
	r.Helper()
	want := map[string]string{}
	for i := 0; i < len(files); i += 2 {
		want[files[i]] = files[i+1]
	}
	var got map[string]string
	r.until("the files have arrived", func() bool {
		got = map[string]string{}
		names, _ := filepath.Glob(filepath.Join(r.dir, "to", id, "*"))
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil && !strings.HasPrefix(filepath.Base(name), ".") { // else it is on its way
				r.Fatal(err)
			}
			got[filepath.Base(name)] = string(text)
		}
		st, err := r.spaces.Status(id)
		if err != nil {
			r.Fatal(err)
		}
		return maps.Equal(got, want) && st.Files == 0 && st.Bytes == 0
	})
}

// deliveries are the names that were told of, sorted.
func (r *rig) deliveries() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.delivered))
}
