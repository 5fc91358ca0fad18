package connector

import (
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/config"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// world is a set of connectors over sources in memory, in a bubble of time.
type world struct {
	t      *testing.T
	dir    string
	ledger *ledger.Ledger
	set    *Set
	stop   func()

	src   *storetest.Memory
	lock  func(string) (func(), error)
	clock func() time.Time // the wall clock; nil: that of the bubble
	files int              // made by copies

	mu     sync.Mutex
	login  func() error                                             // what a login answers with; nil: it works
	tried  []time.Time                                              // logins
	share  func(filesync.Destination) (filesync.Destination, error) // what the share answers a login with; nil: it works
	mounts []time.Time                                              // logins at the share
	ended  []PassReport
	health []Health // changes of it
}

// answer sets what a login answers with.
func (w *world) answer(login func() error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.login = login
}

// answerShare sets what a login at the share answers with.
func (w *world) answerShare(share func(filesync.Destination) (filesync.Destination, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.share = share
}

func (w *world) shares() []time.Time  { w.mu.Lock(); defer w.mu.Unlock(); return slices.Clone(w.mounts) }
func (w *world) logins() []time.Time  { w.mu.Lock(); defer w.mu.Unlock(); return slices.Clone(w.tried) }
func (w *world) passes() []PassReport { w.mu.Lock(); defer w.mu.Unlock(); return slices.Clone(w.ended) }
func (w *world) changes() []Health    { w.mu.Lock(); defer w.mu.Unlock(); return slices.Clone(w.health) }

// inBubble runs a test in a bubble of synctest.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, dir: dir, src: storetest.NewMemory()}
		w.src.Put("a", "one", time.Now().Add(-48*time.Hour))
		defer func() {
			w.end()
			w.ledger.Close()
		}()
		var err error
		if w.ledger, err = ledger.Open(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		test(t, w)
	})
}

// connectorNamed is a configuration with an automatic sync.
func (w *world) connectorNamed(name, sync string) *config.Connector {
	w.t.Helper()
	s, err := config.ParseSchedule(sync)
	if err != nil {
		w.t.Fatal(err)
	}
	return &config.Connector{
		Name: name, Sync: s, TimeZone: config.TimeZone{Location: time.UTC}, Retention: config.Duration(1000 * time.Hour),
		Files: config.Files{DestinationDirectoryPath: filepath.Join(w.dir, "to-"+name), AfterCopy: config.AfterCopy{Action: config.Leave}},
	}
}

func configOf(cs ...*config.Connector) *config.Config {
	c := &config.Config{Connectors: map[string]*config.Connector{}}
	for _, each := range cs {
		c.Connectors[each.Name] = each
	}
	return c
}

// start starts the program: a set of these connectors that runs.
func (w *world) start(cs ...*config.Connector) *Connector {
	w.t.Helper()
	parts := Parts{
		Source: func(context.Context, *config.Connector, status.Observer) (Source, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.tried = append(w.tried, time.Now())
			if w.login != nil {
				if err := w.login(); err != nil {
					return nil, err
				}
			}
			return w.src, nil
		},
		Destination: func(_ context.Context, cfg *config.Connector, _ int64, _ status.Observer) (filesync.Destination, error) {
			d, err := local.Open(cfg.Files.DestinationDirectoryPath, pending.NewOwner(w.ledger.Owner(), "c", 0))
			if err != nil {
				return nil, err
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.mounts = append(w.mounts, time.Now())
			if w.share != nil {
				return w.share(d)
			}
			return d, nil
		},
		Lock: w.lock,
		Now:  w.clock,
		OnPass: func(_ string, p PassReport) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ended = append(w.ended, p)
		},
		OnHealth: func(_ string, h Health) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.health = append(w.health, h)
		},
	}
	var err error
	if w.set, err = NewSet(w.t.Context(), configOf(cs...), parts, w.ledger); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.set.Run(ctx)
	}()
	w.stop = func() { cancel(); <-ended }
	return w.connector(cs[0].Name)
}

func (w *world) connector(name string) *Connector {
	w.t.Helper()
	c, err := w.set.Get(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// end ends the program.
func (w *world) end() {
	if w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// pass lets time go by until everything has come to rest.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func apply(t *testing.T, c *Connector) *Run {
	t.Helper()
	r, err := c.Apply()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
