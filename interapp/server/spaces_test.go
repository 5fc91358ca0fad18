package server_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	"sftpconnector/space"
	"sftpconnector/space/sshd"
	"sftpconnector/sync/ledger"
)

const (
	opsKey   = "sk_0123456789abcdef"     // opens us_1
	otherKey = "sk_fedcba9876543210"     // opens us_2
	anyKey   = "sk_of_all_0123456789abc" // opens all
)

// openSpaces opens us_1 and us_2 in a directory of their own. Nobody is let in
// yet.
func openSpaces(t testing.TB) *space.Spaces {
	t.Helper()
	o := space.Options{Config: &config.Config{
		DataDirectory: t.TempDir(),
		SpaceServer: config.SpaceServer{
			Listen: "127.0.0.1:0", PublicHost: "sftp.example.com", MaximumFileSize: 1000, InboxQuota: 5000,
			SecretKeys: []config.SecretKey{
				{Name: "ops", Key: opsKey, Spaces: []string{"us_1"}}, {Name: "other", Key: otherKey, Spaces: []string{"us_2"}}, {Name: "any", Key: anyKey, Spaces: []string{"*"}},
			},
		},
		Spaces: map[string]*config.Space{"us_1": {Name: "us_1"}, "us_2": {Name: "us_2", MaximumFileSize: 2000}},
	}}
	l, err := ledger.Open(t.Context(), o.Config.DataDirectory)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	o.Ledger = l
	s, err := space.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// importers are the connectors of Spaces, which may be nil. Their destinations are
// beside the directory, and exist if its parent does.
func importers(s *space.Spaces, dir string) map[string]*config.Connector {
	if s == nil {
		return nil
	}
	spaces := map[string]*config.Space{}
	for _, id := range s.IDs() {
		spaces[id] = &config.Space{Name: id, DestinationDirectoryPath: filepath.Join(filepath.Dir(dir), id), Retention: config.Duration(time.Hour)}
	}
	return space.Connectors(&config.Config{Spaces: spaces})
}

// receive lets clients of the Spaces in until the test ends.
func (d *daemon) receive() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.spaces.Run(ctx, d.set) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
}

// login logs in to a Space, and is refused or gives the session.
func (d *daemon) login(id, password string) (*sftp.Client, error) {
	d.t.Helper()
	raw, err := net.Dial("tcp", d.spaces.Addr().String())
	if err != nil {
		d.t.Fatal(err)
	}
	conn, channels, requests, err := ssh.NewClientConn(raw, "", &ssh.ClientConfig{
		User: id, Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		raw.Close()
		return nil, err
	}
	d.t.Cleanup(func() { conn.Close() })
	c, err := sftp.NewClient(ssh.NewClient(conn, channels, requests))
	if err != nil {
		d.t.Fatal(err)
	}
	return c, nil
}

// upload logs in with a password of its own and uploads a file.
func (d *daemon) upload(id, name, text string) *sftp.Client {
	d.t.Helper()
	l, err := d.spaces.Create(d.t.Context(), id, "")
	if err != nil {
		d.t.Fatal(err)
	}
	c, err := d.login(id, l.Password())
	if err != nil {
		d.t.Fatal(err)
	}
	f, err := c.Create(name)
	if err == nil {
		_, err = f.Write([]byte(text))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *daemon) until(what string, is func() bool) {
	d.t.Helper()
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(10 * time.Millisecond); !is(); {
		select {
		case <-tick.C:
		case <-deadline:
			d.t.Fatalf("it did not come to this: %s", what)
		}
	}
}

func (d *daemon) space(id string) (s interapp.Space) {
	d.t.Helper()
	d.ask("GET", "/api/v1/spaces/"+id, "").want(d.t, 200, &s)
	return s
}

func (d *daemon) spaceFiles(query string) (f interapp.SpaceFiles) {
	d.t.Helper()
	d.ask("GET", "/api/v1/spaces/us_1/files?"+query, "").want(d.t, 200, &f)
	return f
}

func TestSpaceBeforeAnyUpload(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	_, port, _ := net.SplitHostPort(d.spaces.Addr().String())
	s := d.space("us_1")
	if s.ID != "us_1" || s.ConnectionStatus != "Not Checked" || s.PublicHost != "sftp.example.com" || fmt.Sprint(s.PublicPort) != port {
		t.Errorf("%+v", s)
	}
	if s.Inbox != (interapp.Inbox{Quota: 5000, MaximumEntries: 200_000, MaximumFileSize: 1000}) || d.space("us_2").Inbox.MaximumFileSize != 2000 {
		t.Errorf("inbox %+v", s.Inbox)
	}
	if len(s.HostKeys) != 3 || s.HostKeys[0].Type != "ssh-ed25519" || !strings.HasPrefix(s.HostKeys[0].Fingerprint, "SHA256:") {
		t.Errorf("host keys %+v", s.HostKeys)
	}
	a := d.ask("GET", "/api/v1/spaces", "")
	var list interapp.SpaceList
	if a.want(t, 200, &list); len(list.Spaces) != 2 || list.Spaces[0].ID != "us_1" || list.Spaces[1].ID != "us_2" {
		t.Errorf("list %s", a.body)
	}
	for _, text := range []string{`"sessions":[]`, `"credentials":[]`, `"importing":null`, `"last_import":null`} {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s lacks %s", a.body, text)
		}
	}
	d.ask("GET", "/api/v1/spaces/us_3", "").problem(t, 404, `"us_3"`, "known: us_1, us_2")
	d.ask("GET", "/api/v1/spaces/us_1/files?state=nonsense", "").problem(t, 422)
}

// The way of a file from the client to the destination, as all that tell of it do.
func TestSpaceTellsOfAnUpload(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	d.receive()
	var mu sync.Mutex
	var told []interapp.Deliveries
	receiver := httptest.NewServer(&interapp.Receiver{AllowUnsigned: true, OnDeliveries: func(_ context.Context, v interapp.Deliveries) error {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, v)
		return nil
	}})
	t.Cleanup(receiver.Close)
	var sub interapp.Subscription
	d.ask("POST", "/api/v1/spaces/us_1/subscriptions", `{"file_name_filter":"*.csv","reply_to":"`+receiver.URL+`"}`).want(t, 201, &sub)
	if sub.Space != "us_1" || sub.Connector != "spaces/us_1" {
		t.Errorf("subscription %+v", sub)
	}
	bySpace, _ := d.listen("?space=us_1")
	byName, _ := d.listen("?connector=spaces%2Fus_1")
	other, stop := d.listen("?space=us_2")

	client := d.upload("us_1", "in.tmp", "12345") // which waits for its name
	if err := client.Mkdir("sub"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create("sub/part.tmp"); err != nil {
		t.Fatal(err)
	}
	f := d.spaceFiles("")
	if len(f.Inbox) == 0 || f.Inbox[0].Name != "in.tmp" || f.Inbox[0].State != "temporary" || f.Inbox[0].Size != 5 || len(f.Files) != 0 {
		t.Errorf("files before the import: %+v", f)
	}
	s := d.space("us_1")
	if s.Inbox.Files != 2 || s.Inbox.Bytes != 5 || len(s.Sessions) != 1 || s.Sessions[0].Bytes != 5 || s.Sessions[0].Address != "127.0.0.1" || len(s.Credentials) != 1 || s.Credentials[0].LastUsed == nil {
		t.Errorf("during the upload: %+v", s)
	}
	d.wantSamples(map[string]float64{
		`sftp_connector_space_inbox_bytes{space="us_1"}`: 5, `sftp_connector_space_inbox_files{space="us_1"}`: 2, `sftp_connector_space_sessions{space="us_1"}`: 1,
		`sftp_connector_space_sessions{space="us_2"}`: 0, `sftp_connector_spaces`: 2, `sftp_connector_space_inbox_quota_bytes{space="us_1"}`: 5000,
		`sftp_connector_space_uploads_refused_total{space="us_1"}`: 0,
	})
	if err := client.Rename("in.tmp", "in.csv"); err != nil {
		t.Fatal(err)
	}
	for _, events := range []<-chan event{bySpace, byName} {
		e := await(t, events, "file", func(interapp.FileEvent) bool { return true })
		if e.Space != "us_1" || e.Connector != "spaces/us_1" || e.Name != "in.csv" || e.State != "delivered" {
			t.Errorf("event %+v", e)
		}
		await(t, events, "pass", func(p interapp.PassEvent) bool { return p.Space == "us_1" && p.Files.Copied == 1 && p.Ended() })
	}
	d.until("the subscriber is told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == 1 })
	if v := told[0]; v.Space != "us_1" || v.Connector != "spaces/us_1" || v.Files[0].Name != "in.csv" || v.Destination != s.Destination {
		t.Errorf("told %+v", v)
	}
	text, err := os.ReadFile(filepath.Join(s.Destination, "in.csv"))
	if err != nil || string(text) != "12345" {
		t.Errorf("imported %q %v", text, err)
	}
	f = d.spaceFiles("")
	if len(f.Inbox) != 1 || f.Inbox[0].Name != "sub/part.tmp" || f.Inbox[0].State != "uploading" || len(f.Files) != 1 || f.Files[0].Name != "in.csv" || f.Files[0].State != "delivered" {
		t.Errorf("files after the import: %+v", f)
	}
	d.until("the import has ended", func() bool {
		s = d.space("us_1")
		return s.ConnectionStatus == "Connection Valid" && s.LastImport != nil
	})
	if s.LastImport.Files.Copied != 1 || s.LastImport.Space != "us_1" {
		t.Errorf("after the import: %+v", s)
	}
	d.wantSamples(map[string]float64{
		`sftp_connector_files_copied_total{connector="spaces/us_1"}`: 1, `sftp_connector_bytes_copied_total{connector="spaces/us_1"}`: 5, `sftp_connector_connectors`: 1,
	})
	stop()
	for e := range other {
		if strings.Contains(e.data, "us_1") {
			t.Errorf("the other Space hears of %+v", e)
		}
	}
}

func TestSpaceFilesAreFiltered(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	d.receive()
	client := d.upload("us_1", "a.tmp", "1")
	for _, name := range []string{"b.tmp", "c.tmp", "é[1].tmp"} {
		f, err := client.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "c.tmp" { // it stays open
			continue
		}
		f.Close()
	}
	for query, want := range map[string]string{
		"":                          "a.tmp b.tmp c.tmp é[1].tmp",
		"name=b":                    "b.tmp",
		"name=?.tmp":                "a.tmp b.tmp c.tmp",
		"name=%C3%A9*1*.tmp":        "é[1].tmp",
		"name=*[1]*":                "é[1].tmp",
		"name=*":                    "a.tmp b.tmp c.tmp é[1].tmp",
		"name=tm*":                  "",
		"state=uploading":           "c.tmp",
		"state=temporary":           "a.tmp b.tmp é[1].tmp",
		"state=temporary&name=b*":   "b.tmp",
		"state=delivered":           "",
		"cursor=f9":                 "",
		"limit=3":                   "a.tmp b.tmp c.tmp +1",
		"limit=1&state=interrupted": "",
	} {
		f := d.spaceFiles(query)
		var names []string
		for _, one := range f.Inbox {
			names = append(names, one.Name)
		}
		if f.More > 0 {
			names = append(names, fmt.Sprintf("+%d", f.More))
		}
		if got := strings.Join(names, " "); got != want || f.Files == nil || f.Inbox == nil {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
}

// A destination that fails is told of; what a file could not be imported for, too.
func TestSpaceTellsOfFailures(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	at := d.space("us_1").Destination
	if err := os.WriteFile(at, nil, 0o600); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	d.receive()
	d.upload("us_1", "a.csv", "1")
	var s interapp.Space
	d.until("the destination is found to fail", func() bool { // while it is tried again, the status is another
		s = d.space("us_1")
		return s.ConnectionStatus == "Destination Unavailable"
	})
	if s.Hint == "" || s.Error == "" || s.Inbox.Files != 1 {
		t.Errorf("%+v", s)
	}
	if d.space("us_2").ConnectionStatus == "Destination Unavailable" {
		t.Error("the other Space has it too")
	}
	var r interapp.RetryReply
	d.ask("POST", "/api/v1/spaces/us_1/retry", `{"paths":["a.csv"]}`).want(t, 200, &r)
	if r.Connector != "spaces/us_1" || len(r.Released) != 0 {
		t.Errorf("released %+v", r)
	}
}

func TestSpaceCredentials(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	d.receive()
	make := func() (c interapp.NewCredentials) {
		a := d.ask("POST", "/api/v1/spaces/us_1/credentials", "")
		a.want(t, 201, &c)
		if a.header.Get("Cache-Control") != "no-store" || !strings.Contains(a.body, `"dropped":[`) || !strings.Contains(a.body, `"expires":null`) {
			t.Errorf("%v %s", a.header, a.body)
		}
		return c
	}
	works := func(password string, want bool) {
		t.Helper()
		c, err := d.login("us_1", password)
		if (err == nil) != want {
			t.Errorf("login: %v, want %t", err, want)
		}
		if err == nil {
			c.Close()
		}
	}
	first, second := make(), make()
	if first.Space != "us_1" || first.Login.Username != "us_1" || first.Login.Host != "sftp.example.com" || first.ID == "" || first.ID == second.ID || first.Login.Password == second.Login.Password {
		t.Errorf("%+v %+v", first, second)
	}
	works(first.Login.Password, true)
	for _, path := range []string{"/api/v1/spaces", "/api/v1/spaces/us_1", "/api/v1/spaces/us_1/files", "/metrics"} {
		if a := d.ask("GET", path, ""); strings.Contains(a.body, first.Login.Password) || strings.Contains(a.body, opsKey) {
			t.Errorf("%s shows a secret", path)
		}
	}
	open, err := d.login("us_1", second.Login.Password)
	if err != nil {
		t.Fatal(err)
	}
	var gone interapp.RevokedCredentials
	d.ask("DELETE", "/api/v1/spaces/us_1/credentials/"+first.ID, "").want(t, 200, &gone)
	if gone.Space != "us_1" || len(gone.Revoked) != 1 || gone.Revoked[0].ID != first.ID {
		t.Errorf("%+v", gone)
	}
	if _, err := open.Getwd(); err == nil {
		t.Error("a session outlives a revocation")
	}
	works(first.Login.Password, false)
	works(second.Login.Password, true)
	d.ask("DELETE", "/api/v1/spaces/us_1/credentials/"+first.ID, "").problem(t, 404, first.ID, "us_1")
	d.ask("DELETE", "/api/v1/spaces/us_2/credentials/"+second.ID, "").problem(t, 404)
	for range 9 {
		make()
	}
	if n := len(d.space("us_1").Credentials); n != 8 {
		t.Errorf("%d passwords work", n)
	}
	d.ask("DELETE", "/api/v1/spaces/us_1/credentials", "").want(t, 200, &gone)
	if len(gone.Revoked) != 8 || len(d.space("us_1").Credentials) != 0 {
		t.Errorf("%+v", gone)
	}
	a := d.ask("DELETE", "/api/v1/spaces/us_1/credentials", "")
	if a.want(t, 200, nil); !strings.Contains(a.body, `"revoked":[]`) {
		t.Errorf("again: %s", a.body)
	}
	for _, method := range []string{"POST", "DELETE"} {
		d.ask(method, "/api/v1/spaces/us_3/credentials", "").problem(t, 404, "known: us_1, us_2")
	}
}

func TestNoSpaces(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for _, path := range []string{"", "/us_1", "/us_1/files", "/us_1/subscriptions"} {
		d.ask("GET", "/api/v1/spaces"+path, "").problem(t, 404, "receives no uploads", "space_server")
	}
	d.ask("POST", "/api/v1/spaces/us_1/credentials", "").problem(t, 404, "space_server")
	d.ask("DELETE", "/api/v1/spaces/us_1/credentials", "").problem(t, 404, "space_server")
	d.ask("GET", "/api/v1/events?space=us_1", "").problem(t, 404, "space_server")
	d.ask("GET", "/v1/auth/sftp-credentials?spaceId=us_1", "").problem(t, 404, "space_server")
}

// The connectors that import Spaces are not among those of the configuration.
func TestSpacesAreNoConnectors(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	var list interapp.ConnectorList
	d.ask("GET", "/api/v1/connectors", "").want(t, 200, &list)
	if len(list.Connectors) != 1 || list.Connectors[0].Name != "results" {
		t.Errorf("%+v", list)
	}
	d.ask("GET", "/api/v1/connectors/nobody", "").problem(t, 404, "known: results")
	for _, route := range access {
		if !strings.Contains(route.path, "/connectors/results") {
			continue
		}
		path := strings.Replace(route.path, "/results", "/spaces%2Fus_1", 1)
		d.ask(route.method, path, route.body).problem(t, 404, `"spaces/us_1"`, "/api/v1/spaces/ID")
	}
	d.ask("GET", "/api/v1/events?connector=spaces/us_3", "").problem(t, 404)
	d.ask("GET", "/api/v1/events?connector=results&space=us_1", "").problem(t, 422, "one of the two")
}

func TestSpaceSubscriptions(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	const all = "/api/v1/spaces/us_1/subscriptions"
	var sub interapp.Subscription
	a := d.ask("POST", all, `{"reply_to":"http://127.0.0.1:1"}`)
	a.want(t, 201, &sub)
	at := a.header.Get("Location")
	if at != all+"/"+sub.ID {
		t.Errorf("Location %q", at)
	}
	d.ask("GET", at, "").want(t, 200, &sub)
	var list interapp.SubscriptionList
	d.ask("GET", all, "").want(t, 200, &list)
	if len(list.Subscriptions) != 1 || list.Subscriptions[0].Space != "us_1" {
		t.Errorf("%+v", list)
	}
	d.ask("POST", at+"/send", "").problem(t, 409, sub.ID, "told of everything")
	// Another Space, and a connector, have it not.
	d.ask("GET", "/api/v1/spaces/us_2/subscriptions/"+sub.ID, "").problem(t, 404)
	d.ask("GET", "/api/v1/connectors/results/subscriptions/"+sub.ID, "").problem(t, 404)
	d.ask("GET", "/api/v1/spaces/us_3/subscriptions", "").problem(t, 404, "known: us_1, us_2")
	d.ask("DELETE", at+"/pending", "").want(t, 204, nil)
	d.ask("DELETE", at, "").want(t, 204, nil)
	d.ask("GET", at, "").problem(t, 404)
}

func TestSpaceLoginsAreCounted(t *testing.T) {
	m := server.NewMetrics("v1.2.3")
	count := func(kind sshd.EventKind, why sshd.Reason, n int) {
		for range n {
			m.ObserveSession(sshd.Event{Kind: kind, Reason: why})
		}
	}
	count(sshd.Connected, "", 2)
	count(sshd.Refused, sshd.RefusedLogin, 3)
	count(sshd.Refused, sshd.RefusedFull, 1)
	count(sshd.Refused, "made up", 1)
	count(sshd.Closed, sshd.EndClient, 1)
	d := newDaemon(t, server.Options{})
	api := server.New(server.Options{Set: d.set, Metrics: m})
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/metrics", nil))
	for result, n := range map[string]int{"connected": 2, "refused-login": 3, "refused-full": 1, "refused-space-full": 0, "refused-dropped": 0} {
		if line := fmt.Sprintf("sftp_connector_space_logins_total{result=%q} %d\n", result, n); !strings.Contains(w.Body.String(), line) {
			t.Errorf("no line %q", line)
		}
	}
	if strings.Contains(w.Body.String(), "made up") || strings.Contains(w.Body.String(), "client") {
		t.Error("labels that come from outside")
	}
}
