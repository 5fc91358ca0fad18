package connector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/sshclient"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = 2 * time.Minute

// rig is one connector between a server and a directory, in a set that runs.
type rig struct {
	t         *testing.T
	e         sftptest.Endpoint
	cfg       *config.Connector
	sftp      sftp.Config
	parts     connector.Parts
	dir       string // the destination
	data      string // of the ledger
	ledger    *ledger.Ledger
	set       *connector.Set
	connector *connector.Connector
	passes    chan connector.PassReport // automatic ones that ended

	fetches atomic.Int64 // of all sources
}

// counted is a source whose copies are counted.
type counted struct {
	*sftp.Source
	n *atomic.Int64
}

func (c counted) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	c.n.Add(1)
	return c.Source.Fetch(ctx, e, from, w)
}

// newRig connects a connector to a server. adjust may change its settings.
func newRig(t *testing.T, e sftptest.Endpoint, adjust ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, e: e, dir: filepath.Join(t.TempDir(), "to"), data: t.TempDir(), passes: make(chan connector.PassReport, 1000)}
	r.cfg = &config.Connector{
		Name: "c", Direction: config.Download, Sync: config.Schedule{Text: "N/A"},
		TimeZone: config.TimeZone{Location: time.UTC}, Retention: config.Duration(24 * time.Hour),
	}
	r.cfg.Files = config.Files{
		SourceDirectoryPath: e.Root, DestinationDirectoryPath: r.dir, Include: []string{"**"},
		Symlinks: config.FollowSymlinks, AfterCopy: config.AfterCopy{Action: config.Leave},
		OnConflict: config.FailOnConflict, Layout: config.Tree,
	}
	r.sftp = sftp.Config{
		Config: sshclient.Config{Host: e.Host, Port: e.Port, Username: e.User, KeyPairs: true, KeyPath: e.PrivateKeyPath,
			KnownHosts: sshclient.KnownHostsFile(e.KnownHosts)},
		Root: e.Root, Limits: new(sftp.Limits),
	}
	r.parts = connector.Parts{Source: r.source, Destination: r.destination}
	r.parts.OnPass = func(_ string, p connector.PassReport) {
		if p.Mode == filesync.Automatic {
			r.passes <- p
		}
	}
	for _, a := range adjust {
		a(r)
	}
	var err error
	if r.ledger, err = ledger.Open(t.Context(), r.data); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{Connectors: map[string]*config.Connector{"c": r.cfg}}
	if r.set, err = connector.NewSet(t.Context(), cfg, r.parts, r.ledger); err != nil {
		t.Fatal(err)
	}
	if r.connector, err = r.set.Get("c"); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.set.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		r.ledger.Close()
	})
	return r
}

func (r *rig) source(ctx context.Context, _ *config.Connector, observe status.Observer) (connector.Source, error) {
	s, err := sftp.Open(ctx, r.sftp, observe)
	if err != nil {
		return nil, err
	}
	return counted{s, &r.fetches}, nil
}

func (r *rig) destination(context.Context, *config.Connector, int64, status.Observer) (filesync.Destination, error) {
	d, err := local.Open(r.dir, pending.NewOwner(r.ledger.Owner(), "c", 0))
	if err != nil {
		return nil, err
	}
	return d, nil
}

// apply runs an Apply.
func (r *rig) apply() connector.PassReport {
	r.t.Helper()
	run, err := r.connector.Apply()
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	p, err := run.Wait(ctx)
	if err != nil {
		r.t.Fatalf("Apply: %v; it stood at %+v", err, run.Snapshot().Progress)
	}
	return p
}

// every sets the schedule.
func (r *rig) every(text string) {
	r.t.Helper()
	s, err := config.ParseSchedule(text)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.connector.SetSchedule(r.t.Context(), s); err != nil {
		r.t.Fatal(err)
	}
}

// tick waits for one automatic pass.
func (r *rig) tick() connector.PassReport {
	r.t.Helper()
	r.every("1s")
	defer r.settled()
	select {
	case p := <-r.passes:
		return p
	case <-time.After(patience):
		r.t.Fatal("no automatic pass came")
		return connector.PassReport{}
	}
}

// settled ends the automatic passes: none runs, and none is to come.
func (r *rig) settled() {
	r.t.Helper()
	r.every("N/A")
	await(r.t, "the last automatic pass to end", func() bool { return r.connector.Report().Running == nil })
	for len(r.passes) > 0 {
		<-r.passes
	}
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// want checks a pass: its outcome and its counts, written "copied=2 present=1".
func (r *rig) want(p connector.PassReport, outcome filesync.Outcome, counts string) {
	r.t.Helper()
	f := p.Result.Files
	var got []string
	for _, c := range []struct {
		name string
		n    int64
	}{{"copied", f.Copied}, {"present", f.Present}, {"waiting", f.Waiting}, {"excluded", f.Excluded},
		{"failed", f.Failed}, {"conflict", f.Conflict}, {"quarantined", f.Quarantined}, {"unsafe", f.Unsafe}} {
		if c.n != 0 {
			got = append(got, fmt.Sprintf("%s=%d", c.name, c.n))
		}
	}
	if p.Result.Outcome != outcome || strings.Join(got, " ") != counts {
		shown := p.Result.Failures[:min(5, len(p.Result.Failures))]
		r.t.Errorf("pass: %s %s, want %s %s (error %v, failures %v)", p.Result.Outcome, strings.Join(got, " "), outcome, counts, p.Result.Err, shown)
	}
}

// standing gives the paths of all files at the destination.
func (r *rig) standing() []string {
	r.t.Helper()
	var names []string
	err := filepath.WalkDir(r.dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(r.dir, p)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	return names
}

// old is a modification time that needs no second look.
var old = time.Date(2021, 2, 3, 4, 5, 6, 0, time.UTC)

// put writes a file on the server.
func put(t *testing.T, e sftptest.Endpoint, name string, data []byte, mod time.Time) {
	t.Helper()
	write(t, filepath.Join(e.Root, filepath.FromSlash(name)), data, mod)
}

func write(t *testing.T, path string, data []byte, mod time.Time) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err == nil {
		err = os.Chtimes(path, mod, mod)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wantFile checks that a file stands at the destination as it is on the server.
func (r *rig) wantFile(name string, data []byte) {
	r.t.Helper()
	got, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(name)))
	if err != nil || string(got) != string(data) {
		r.t.Errorf("%s: %d bytes that are not the %d wanted (%v)", name, len(got), len(data), err)
	}
}

// sprint writes counts as want takes them; those that are zero are left out.
func sprint(pairs ...any) string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != 0 {
			out = append(out, fmt.Sprintf("%s=%d", pairs[i], pairs[i+1]))
		}
	}
	return strings.Join(out, " ")
}
