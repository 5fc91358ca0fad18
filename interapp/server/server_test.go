package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
	"sftpconnector/interapp/server"
	"sftpconnector/space"
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

// daemon is a server in front of one connector, "results", which copies from
// memory to a directory and remembers in a real ledger.
type daemon struct {
	t       testing.TB
	src     *storetest.Memory
	spaces  *space.Spaces // nil: there are none
	dir     string
	set     *connector.Set
	ledger  *ledger.Ledger
	asked   *requests.Service
	metrics *server.Metrics
	events  *server.Events
	api     *server.Server
	http    *httptest.Server

	mu       sync.Mutex
	gate     chan struct{} // a fetch waits for it to close; nil: it does not
	fetching chan struct{} // gets a value when a fetch waits
	refuse   error         // of opening the source
	lock     error         // of another process

	opening func(context.Context) // before the source is opened; nil: nothing
}

// newDaemon starts a daemon. Its schedules do not run yet.
func newDaemon(t testing.TB, o server.Options) *daemon {
	t.Helper()
	d := &daemon{
		t: t, src: storetest.NewMemory(), spaces: o.Spaces, dir: filepath.Join(t.TempDir(), "to"),
		metrics: server.NewMetrics("v1.2.3"), events: server.NewEvents(), fetching: make(chan struct{}, 100),
	}
	d.src.OnFetch = func(filesync.Entry, int64) error { d.hold(); return nil }
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d.ledger = l
	cfg := &config.Config{Connectors: map[string]*config.Connector{"results": {
		Name: "results", Direction: config.Download, Retention: config.Duration(24 * time.Hour),
		Files:    config.Files{SourceDirectoryPath: "/results", DestinationDirectoryPath: d.dir, Include: []string{"**"}},
		TimeZone: config.TimeZone{Location: time.UTC},
		InterApp: config.InterApp{
			RequestClass: "GetFilesRequest", ReplyClass: "GetFilesResponse",
			Properties: config.InterAppProperties{
				FileNameFilter: "fileNameFilter", FileTimeFrom: "fileTimeFrom", FileTimeTo: "fileTimeTo", Timeout: "timeout",
				Success: "success", Description: "description", FileNames: "fileNames", DestinationDirectoryPath: "destinationDirectoryPath",
			},
		},
	}}}
	maps.Copy(cfg.Connectors, importers(d.spaces, d.dir))
	d.set, err = connector.NewSet(t.Context(), cfg, connector.Parts{
		Source: d.source,
		Destination: func(_ context.Context, c *config.Connector, _ int64, _ status.Observer) (filesync.Destination, error) {
			return local.Open(c.Files.DestinationDirectoryPath, pending.NewOwner(l.Owner(), "c", 0))
		},
		HostKey: func(_ context.Context, c *config.Connector, trust *interapp.TrustRequest) (interapp.ServerHostKey, error) {
			key := interapp.ServerHostKey{Connector: c.Name, Host: "memory:22", Type: "ssh-ed25519", Fingerprint: "SHA256:" + strings.Repeat("B", 43), Remembered: []string{}}
			if trust != nil && trust.Fingerprint != key.Fingerprint {
				return key, connector.ErrNotTrusted
			}
			key.Trusted = trust != nil
			return key, nil
		},
		Lock: func(string) (func(), error) { d.mu.Lock(); defer d.mu.Unlock(); return func() {}, d.lock },
		OnPass: func(name string, p connector.PassReport) {
			d.metrics.ObservePass(name, p)
			d.events.Pass(name, p)
		},
		OnHealth: d.events.Health,
		OnDelivered: func(name string, f filesync.Delivered) {
			d.events.Delivered(name, f)
			d.asked.Delivered()
		},
	}, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.set.Stop)
	d.serveRequests(l)
	o.Set, o.Requests, o.Ledger, o.Metrics, o.Events, o.Version = d.set, d.asked, l, d.metrics, d.events, "v1.2.3"
	d.api = server.New(o)
	d.http = httptest.NewUnstartedServer(nil)
	d.http.Config = server.NewHTTPServer(d.api)
	d.http.Start()
	t.Cleanup(d.http.Close)
	return d
}

// serveRequests takes requests until the test ends. Replies may be posted to this
// machine.
func (d *daemon) serveRequests(l *ledger.Ledger) {
	d.t.Helper()
	var err error
	d.asked, err = requests.New(requests.Options{
		Set: d.set, Ledger: l, Server: config.Server{ReplyToAllow: []string{"http://127.0.0.1:*"}},
		OnPosting: d.metrics.ObservePosting,
		OnChange: func(r interapp.RequestState) {
			d.metrics.ObserveRequest(r)
			d.events.Request(r)
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.asked.Run(ctx) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			d.t.Error(err)
		}
	})
}

func (d *daemon) source(ctx context.Context, c *config.Connector, observe status.Observer) (connector.Source, error) {
	if c.Space != nil {
		return d.spaces.Source(c.Space.Name)
	}
	d.mu.Lock()
	opening := d.opening
	d.mu.Unlock()
	if opening != nil {
		opening(ctx)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		observe.Report(status.Stage{Stage: status.StageConnect, Detail: d.refuse.Error()})
		return nil, d.refuse
	}
	observe.Report(status.Stage{Stage: status.StageConnect, OK: true, Detail: "memory"})
	return d.src, nil
}

// hold keeps a fetch waiting while the gate is closed.
func (d *daemon) hold() {
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate != nil {
		d.fetching <- struct{}{}
		<-gate
	}
}

// awaitFetch waits until a fetch stands at the gate.
func (d *daemon) awaitFetch() {
	d.t.Helper()
	select {
	case <-d.fetching:
	case <-time.After(20 * time.Second):
		d.t.Fatal("no file is fetched")
	}
}

// close closes the gate for the next fetch; the function that it returns opens it.
func (d *daemon) close() (open func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gate := make(chan struct{})
	d.gate = gate
	open = sync.OnceFunc(func() {
		d.mu.Lock()
		d.gate = nil
		d.mu.Unlock()
		close(gate)
	})
	d.t.Cleanup(open)
	return open
}

func (d *daemon) change(f func()) { d.mu.Lock(); defer d.mu.Unlock(); f() }

// answer is what came of a request.
type answer struct {
	code   int
	header http.Header
	body   string
}

// ask sends a request; each header is "Name: value".
func (d *daemon) ask(method, path, body string, headers ...string) answer {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.http.URL+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	got, err := d.http.Client().Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(b)}
}

// want fails the test unless the answer has the code, and decodes it into v.
func (a answer) want(t testing.TB, code int, v any) {
	t.Helper()
	if a.code != code {
		t.Fatalf("got %d, want %d: %s", a.code, code, a.body)
	}
	if v != nil {
		if err := json.Unmarshal([]byte(a.body), v); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
	}
}

// problem fails the test unless the answer is a problem whose detail has all
// of the texts.
func (a answer) problem(t testing.TB, code int, texts ...string) {
	t.Helper()
	var p interapp.Problem
	a.want(t, code, &p)
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		t.Errorf("content type %q of %s", kind, a.body)
	}
	if p.Status != code || p.Title != http.StatusText(code) {
		t.Errorf("problem %+v, want status %d", p, code)
	}
	for _, text := range texts {
		if !strings.Contains(p.Detail, text) {
			t.Errorf("detail %q lacks %q", p.Detail, text)
		}
	}
}

func TestApplyWaitsForItsOutcome(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("a/x.csv", "12345", old)
	var p interapp.Pass
	a := d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "")
	a.want(t, 200, &p)
	if p.State != "succeeded" || p.Files.Copied != 1 || p.Files.Bytes != 5 || !p.Ended() || p.Pass == "" {
		t.Errorf("pass %s", a.body)
	}
	for _, text := range []string{`"failures":[]`, `"connector":"results"`, `"connection_status":"Connection Valid"`, `"mode":"apply"`} {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s lacks %s", a.body, text)
		}
	}
	if strings.Contains(a.body, "$schema") || a.header.Get("Link") != "" {
		t.Errorf("schema links in %s %v", a.body, a.header)
	}
	if p.Started.Location() != time.UTC {
		t.Errorf("started %s is not UTC", p.Started)
	}
}

func TestApplyThatTakesLonger(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	for _, query := range []string{"", "?wait=10ms", "?wait=0s"} {
		a := d.ask("POST", "/api/v1/connectors/results/apply"+query, "")
		var p interapp.Pass
		a.want(t, 202, &p)
		if p.Ended() || p.Finished != nil {
			t.Errorf("%q: %s", query, a.body)
		}
		if at := a.header.Get("Location"); at != "/api/v1/connectors/results" {
			t.Errorf("%q: Location %q", query, at)
		}
	}
	d.awaitFetch()
	var c interapp.Connector
	d.ask("GET", "/api/v1/connectors/results", "").want(t, 200, &c)
	if c.Running == nil || c.Running.Mode != "apply" || c.Running.Pass == "" || c.Running.Progress == nil || c.LastPass != nil {
		t.Errorf("connector %+v", c)
	}
	var p interapp.Pass
	d.ask("POST", "/api/v1/connectors/results/apply", "").want(t, 202, &p)
	if p.State != "running" || p.Pass != c.Running.Pass || p.ConnectionStatus != "Connection Valid" {
		t.Errorf("a second Apply joins the first: %+v", p)
	}
	open()
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &p)
	d.ask("GET", "/api/v1/connectors/results", "").want(t, 200, &c)
	if c.Running != nil || c.LastPass == nil || c.LastPass.State != "succeeded" {
		t.Errorf("connector %+v", c)
	}
}

// A client that goes away while it waits does not end the pass.
func TestApplyOutlivesItsClient(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", d.http.URL+"/api/v1/connectors/results/apply?wait=1m", nil)
	gone := make(chan error, 1)
	go func() { gone <- d.send(r) }()
	d.awaitFetch()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	open()
	var p interapp.Pass
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &p)
	var list interapp.PassList
	d.ask("GET", "/api/v1/connectors/results/passes", "").want(t, 200, &list)
	if first := list.Passes[len(list.Passes)-1]; first.State != "succeeded" || first.Files.Copied != 1 {
		t.Errorf("the first pass: %+v", first)
	}
}

func TestApplyFails(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.change(func() { d.lock = connector.ErrBusy })
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").problem(t, 409, "another process", "try again")
	d.change(func() {
		d.lock = nil
		d.refuse = &status.Error{Word: status.ConnectionRefused, Op: "connect", Target: "127.0.0.1:1"}
	})
	var p interapp.Pass
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &p)
	if p.State != "failed" || p.ConnectionStatus != "Connection Refused" || p.Hint == "" || p.Error == "" {
		t.Errorf("pass %+v", p)
	}
	d.set.Stop()
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").problem(t, 503, "stopped", "try again")
}

func TestCheck(t *testing.T) {
	d := newDaemon(t, server.Options{})
	var c interapp.Check
	d.ask("POST", "/api/v1/connectors/results/check", "").want(t, 200, &c)
	if c.ConnectionStatus != "Connection Valid" || len(c.Stages) != 3 || !c.Stages[2].OK {
		t.Errorf("check %+v", c)
	}
	d.change(func() { d.refuse = &status.Error{Word: status.HostNotFound, Op: "resolve", Target: "nowhere"} })
	d.ask("POST", "/api/v1/connectors/results/check", "").want(t, 200, &c)
	if c.ConnectionStatus != "Host Not Found" || c.Hint == "" || c.Stages[0].OK {
		t.Errorf("check %+v", c)
	}
	var list interapp.ConnectorList
	d.ask("GET", "/api/v1/connectors", "").want(t, 200, &list)
	if len(list.Connectors) != 1 || list.Connectors[0].ConnectionStatus != "Host Not Found" {
		t.Errorf("list %+v", list)
	}
}

func TestFilesAndRetry(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for _, name := range []string{"a.csv", "b.csv", "sub/c.csv", "bad.csv"} {
		d.src.Put(name, "x", old)
	}
	d.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "bad.csv" {
			return errors.New("broken sector")
		}
		return nil
	}
	var p interapp.Pass
	for range filesync.MaxTries { // Apply does not wait between the tries
		d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &p)
		if p.State != "partial" {
			t.Fatalf("pass %+v", p)
		}
	}
	if len(p.Failures) != 1 || p.Failures[0].Name != "bad.csv" {
		t.Errorf("failures %+v", p.Failures)
	}
	var names []string
	cursor := ""
	for {
		var page interapp.FilePage
		d.ask("GET", "/api/v1/connectors/results/files?limit=1&cursor="+cursor, "").want(t, 200, &page)
		for _, f := range page.Files {
			names = append(names, f.Name+" "+f.State)
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if len(names) != 4 || names[0] != "bad.csv quarantined" {
		t.Errorf("files %q", names)
	}
	for query, want := range map[string]int{"state=quarantined": 1, "state=delivered": 3, "state=present": 0, "name=sub": 1, "name=*.csv&state=delivered": 3} {
		a := d.ask("GET", "/api/v1/connectors/results/files?"+query, "")
		var page interapp.FilePage
		if a.want(t, 200, &page); len(page.Files) != want || page.Files == nil {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	d.src.Put("a.csv", "another", old.Add(time.Hour)) // delivered again, it is the last
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &p)
	var last interapp.FilePage
	d.ask("GET", "/api/v1/connectors/results/files?order=delivered&limit=1", "").want(t, 200, &last)
	if len(last.Files) != 1 || last.Files[0].Name != "a.csv" || last.Cursor != "" {
		t.Errorf("the last delivery: %+v", last)
	}
	d.ask("GET", "/api/v1/connectors/results/files?order=delivered&state=present", "").problem(t, 422, "order")
	d.ask("GET", "/api/v1/connectors/results/files?order=size", "").problem(t, 422, "query.order")
	var r interapp.RetryReply
	d.ask("POST", "/api/v1/connectors/results/retry", `{"paths":["a.csv"]}`).want(t, 200, &r)
	if len(r.Released) != 0 || r.Released == nil {
		t.Errorf("released %q", r.Released)
	}
	d.ask("POST", "/api/v1/connectors/results/retry", "").want(t, 200, &r)
	if len(r.Released) != 1 || r.Released[0] != "bad.csv" {
		t.Errorf("released %q", r.Released)
	}
	var list interapp.PassList
	d.ask("GET", "/api/v1/connectors/results/passes?limit=2", "").want(t, 200, &list)
	if len(list.Passes) != 2 || list.Passes[0].Pass != p.Pass || list.Passes[0].State != "partial" {
		t.Errorf("passes %+v", list)
	}
}

// Ten thousand connectors with a thousand failures each would not be a list.
func TestListShowsFewFailures(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.OnFetch = func(filesync.Entry, int64) error { return errors.New("broken sector") }
	for i := range 12 {
		d.src.Put(fmt.Sprintf("%d.csv", i), "x", old)
	}
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	var one interapp.Connector
	d.ask("GET", "/api/v1/connectors/results", "").want(t, 200, &one)
	var list interapp.ConnectorList
	d.ask("GET", "/api/v1/connectors", "").want(t, 200, &list)
	if all, few := len(one.LastPass.Failures), len(list.Connectors[0].LastPass.Failures); all != 12 || few != 10 {
		t.Errorf("%d failures, %d in the list; want 12 and 10", all, few)
	}
}

func TestSchedule(t *testing.T) {
	d := newDaemon(t, server.Options{})
	var s interapp.Schedule
	for text, want := range map[string]string{"15m": "15m", "*/15 6-22 * * 1-5": "*/15 6-22 * * 1-5", "n/a": "N/A"} {
		d.ask("PUT", "/api/v1/connectors/results/schedule", `{"automatic_sftp_file_sync":"`+text+`"}`).want(t, 200, &s)
		var c interapp.Connector
		d.ask("GET", "/api/v1/connectors/results", "").want(t, 200, &c)
		if s.AutomaticSFTPFileSync != want || c.Schedule != want || (c.NextPass == nil) != (want == "N/A") {
			t.Errorf("%s: %+v %+v", text, s, c)
		}
	}
	const schedule = "/api/v1/connectors/results/schedule"
	d.ask("PUT", schedule, `{"automatic_sftp_file_sync":"15m"}`).want(t, 200, &s)
	if s.InFile != "N/A" || len(s.Next) != 5 {
		t.Errorf("set: %+v", s)
	}
	var preview, now interapp.Schedule
	d.ask("GET", schedule+"?automatic_sftp_file_sync=@daily", "").want(t, 200, &preview)
	if preview.AutomaticSFTPFileSync != "@daily" || preview.InFile != "" || len(preview.Next) != 5 || preview.Next[4].Sub(preview.Next[0]) != 96*time.Hour {
		t.Errorf("preview: %+v", preview)
	}
	d.ask("GET", schedule+"?automatic_sftp_file_sync=0+0+30+2+*", "").problem(t, 422, "automatic_sftp_file_sync: never comes")
	d.ask("GET", schedule, "").want(t, 200, &now)
	if now.AutomaticSFTPFileSync != "15m" || now.InFile != "N/A" || len(now.Next) != 5 {
		t.Errorf("after a preview: %+v", now)
	}
	var file interapp.Schedule
	d.ask("DELETE", schedule, "").want(t, 200, &file)
	if file.AutomaticSFTPFileSync != "N/A" || file.InFile != "" || len(file.Next) != 0 {
		t.Errorf("the file's: %+v", file)
	}
}

func TestHealth(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.ask("GET", "/healthz", "").want(t, 200, nil)
	d.ask("GET", "/readyz", "").problem(t, 503, "schedules")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.set.Run(ctx); close(ended) }()
	deadline := time.Now().Add(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); d.ask("GET", "/readyz", "").code != 200; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("never ready")
		}
	}
	cancel()
	<-ended
	d.ask("GET", "/readyz", "").problem(t, 503)
	d.ask("GET", "/healthz", "").want(t, 200, nil)
}

// No client holds a connection for ever, and an answer may take as long as an
// Apply may be waited for.
func TestTimeouts(t *testing.T) {
	s := server.NewHTTPServer(newDaemon(t, server.Options{}).api)
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.IdleTimeout == 0 || s.WriteTimeout <= interapp.MaxWait {
		t.Errorf("%+v", s)
	}
}
