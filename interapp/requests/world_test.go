package requests_test

import (
	"context"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// old is a modification time that needs no second look.
var old = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

const secret = "a-token-of-the-tests"

// owner is who asks in the tests.
var owner = requests.Caller{Token: "t"}

// world is a program with one connector, "c", which can be ended and started again.
type world struct {
	t       *testing.T
	src     *storetest.Memory
	dir     string
	data    string
	zone    *time.Location
	service *requests.Service
	set     *connector.Set
	ledger  *ledger.Ledger
	run     func() // works on requests
	stop    func() // ends that
	end     func()

	changed func(interapp.RequestState) // is told of each change; may be nil

	mu     sync.Mutex
	refuse error // of opening the source
	gate   chan struct{}
	held   atomic.Int32 // fetches that wait for the gate
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, src: storetest.NewMemory(), dir: filepath.Join(t.TempDir(), "to"), data: t.TempDir(), zone: time.UTC}
	return w
}

// close makes fetches wait until the gate is opened.
func (w *world) close() (open func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	gate := make(chan struct{})
	w.gate = gate
	return sync.OnceFunc(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gate = nil
		close(gate)
	})
}

// start starts the program; run says whether it works on requests.
func (w *world) start(run bool) {
	w.t.Helper()
	var err error
	if w.ledger, err = ledger.Open(w.t.Context(), w.data); err != nil {
		w.t.Fatal(err)
	}
	cfg := &config.Config{Connectors: map[string]*config.Connector{"c": {
		Name: "c", Direction: config.Download, Retention: config.Duration(24 * time.Hour), TimeZone: config.TimeZone{Location: w.zone},
		Files: config.Files{SourceDirectoryPath: "/results", DestinationDirectoryPath: w.dir, Include: []string{"**"}, Exclude: []string{"*.no"}},
	}}}
	w.set, err = connector.NewSet(w.t.Context(), cfg, connector.Parts{
		Source: func(context.Context, *config.Connector, status.Observer) (connector.Source, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return source{w.src, w}, w.refuse
		},
		Destination: func(context.Context, *config.Connector, int64, status.Observer) (filesync.Destination, error) {
			return local.Open(w.dir, pending.NewOwner(w.ledger.Owner(), "c", 0))
		},
		OnDelivered: func(string, filesync.Delivered) { w.service.Delivered() },
	}, w.ledger)
	if err != nil {
		w.t.Fatal(err)
	}
	w.service, err = requests.New(requests.Options{Set: w.set, Ledger: w.ledger, Server: config.Server{
		ReplyToAllow: []string{"http://127.0.0.1:*"}, Tokens: []config.Token{{Name: "t", Token: secret}},
	}, OnChange: w.changed})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	w.run = func() {
		group.Go(func() {
			if err := w.service.Run(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	if run {
		w.run()
	}
	w.stop = func() { cancel(); group.Wait() }
	w.end = sync.OnceFunc(func() {
		cancel()
		w.set.Stop()
		group.Wait()
		w.ledger.Close()
	})
	w.t.Cleanup(w.end)
}

// source is a Memory that can be tried, and held up.
type source struct {
	*storetest.Memory
	w *world
}

func (source) Probe(context.Context) error { return nil }

func (s source) Fetch(ctx context.Context, e filesync.Entry, from int64, to io.WriterAt) (filesync.Entry, error) {
	s.w.mu.Lock()
	gate := s.w.gate
	s.w.mu.Unlock()
	if gate != nil {
		s.w.held.Add(1)
		select {
		case <-gate:
		case <-ctx.Done():
			return filesync.Entry{}, context.Cause(ctx)
		}
	}
	return s.Memory.Fetch(ctx, e, from, to)
}

func (w *world) accept(r interapp.Request) interapp.RequestState {
	w.t.Helper()
	s, err := w.service.Accept(w.t.Context(), "c", "t", r)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// ended waits for the answer of a request.
func (w *world) ended(id string) interapp.RequestState {
	w.t.Helper()
	var s interapp.RequestState
	w.until("request "+id+" ends", func() bool {
		var err error
		if s, err = w.service.Wait(w.t.Context(), owner, id); err != nil {
			w.t.Fatal(err)
		}
		return s.Ended()
	})
	return s
}

// until waits for a condition.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit.C:
			w.t.Fatalf("not within 20 s: %s", what)
		}
	}
}
