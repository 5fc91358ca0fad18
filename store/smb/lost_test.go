package smb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/pending"
	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	filesync "sftpconnector/sync"
)

func wantLost(t *testing.T, op string, err error) {
	t.Helper()
	if !errors.Is(err, filesync.ErrDisconnected) || !status.Is(err, status.DestinationUnavailable) {
		t.Errorf("%s: %v, want a lost connection", op, err)
	}
}

// Once the connection is lost, every call says so; another Destination goes on.
func TestLost(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d := open(t, config(s, ""))
	defer d.Close()
	ctx := t.Context()
	data := text(20 << 20)
	deliver(t, d, "standing", data[:5])
	reader, err := d.Open(ctx, "standing")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := write(ctx, d, "whole", data[:10])
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Begin(ctx, file("large", data), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WriteAt(data[:9<<20], 0); err != nil {
		t.Fatal(err)
	}
	kept, err := p.Checkpoint(ctx, 9<<20)
	if err != nil || kept.Prefix != 9<<20 {
		t.Fatal(kept, err)
	}
	s.Restart()

	if _, err := p.WriteAt(data[9<<20:], 9<<20); err != nil {
		wantLost(t, "WriteAt", err)
	}
	// What was durable before can be gone on from.
	if again, err := p.Checkpoint(ctx, 20<<20); err != nil || again != kept {
		t.Errorf("Checkpoint: %+v, %v; it was %+v", again, err, kept)
	}
	_, err = p.WriteAt(data[9<<20:], 9<<20)
	wantLost(t, "WriteAt", err)
	_, err = p.Finish(ctx)
	wantLost(t, "Finish", err)
	if err := p.Keep(); err != nil {
		t.Errorf("Keep: %v", err)
	}
	wantLost(t, "Sync", d.Sync(ctx, []filesync.Pending{whole})[0])
	wantLost(t, "Publish", d.Publish(ctx, []filesync.Publication{{Pending: whole}})[0])
	wantLost(t, "Abort", whole.Abort(ctx))
	_, err = d.Stat(ctx, []string{"standing"})
	wantLost(t, "Stat", err)
	_, err = d.Stat(ctx, []string{"a", "b", "c", "d", "e", "f"})
	wantLost(t, "Stat of many", err)
	_, err = d.Open(ctx, "standing")
	wantLost(t, "Open", err)
	_, err = d.Begin(ctx, file("x", nil), nil)
	wantLost(t, "Begin", err)
	_, err = d.Begin(ctx, file("large", data), &kept)
	wantLost(t, "Begin again", err)
	wantLost(t, "Persist", d.Persist(ctx, []string{"standing"})[0])
	wantLost(t, "Sweep", d.Sweep(ctx, func(string) bool { return false }))
	wantLost(t, "Probe", d.Probe(ctx))
	_, err = reader.ReadAt(make([]byte, 1), 0)
	wantLost(t, "ReadAt", err)

	again := open(t, config(s, ""))
	defer again.Close()
	if err := again.Sweep(ctx, func(id string) bool { return id == kept.ID }); err != nil {
		t.Fatal(err)
	}
	p, err = again.Begin(ctx, file("large", data), &kept)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.WriteAt(data[kept.Prefix:], kept.Prefix); err == nil {
		_, err = p.Finish(ctx)
	}
	if err == nil {
		err = publish(ctx, again, p, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	wantThere(t, s, "large", data)
	wantFiles(t, s, "large", "standing")
}

// A server that swallows everything is given up on, and keeps nobody who does
// not want to wait any more.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	patient := open(t, config(s, ""))
	defer patient.Close()
	cfg := config(s, "")
	cfg.Timeouts.Operation = 500 * time.Millisecond
	d := open(t, cfg)
	defer d.Close()
	s.Freeze()
	defer s.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	gone := make(chan error, 1)
	go func() { gone <- patient.Probe(ctx) }()
	started := time.Now()
	_, err := d.Begin(t.Context(), file("x", nil), nil)
	wantLost(t, "Begin", err)
	if took := time.Since(started); took < 400*time.Millisecond || took > 4*time.Second {
		t.Errorf("it was noticed after %v", took)
	}
	if err := <-gone; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Probe without patience: %v", err)
	}
}

// Every call ends when its context does, also one that waits for what was
// written before, and for room to write more. The session lives on, and closes
// what nobody waits for any more.
func TestFrozenAndCancelled(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d := open(t, config(s, ""))
	defer d.Close()
	deliver(t, d, "standing", []byte("data"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, err := d.Open(ctx, "standing")
	if err != nil {
		t.Fatal(err)
	}
	begin := func(name string) filesync.Pending {
		p, err := d.Begin(ctx, file(name, text(12<<20)), nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	pendings := map[string]filesync.Pending{"Checkpoint": nil, "Finish": nil, "Abort": nil, "Keep": nil}
	for name := range pendings {
		pendings[name] = begin(name)
	}
	large := begin("WriteAt")
	s.Freeze()
	defer s.Thaw()
	for _, p := range pendings {
		if _, err := p.WriteAt(text(1000), 0); err != nil {
			t.Fatal(err)
		}
	}
	calls := map[string]func() error{
		"WriteAt":    func() error { _, err := large.WriteAt(text(12<<20), 0); return err },
		"Checkpoint": func() error { _, err := pendings["Checkpoint"].Checkpoint(ctx, 1000); return err },
		"Finish":     func() error { _, err := pendings["Finish"].Finish(ctx); return err },
		"Abort":      func() error { return pendings["Abort"].Abort(ctx) },
		"Keep":       func() error { pendings["Keep"].Keep(); return context.Canceled },
		"ReadAt":     func() error { _, err := reader.ReadAt(make([]byte, 4), 0); return err },
	}
	var all sync.WaitGroup
	for name, call := range calls {
		all.Go(func() {
			if err := call(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	// Four short writes and as many long ones as there is room for, and the read.
	for smb.Waiting(d) < 4+15+1 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	all.Wait()
	if err := reader.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("Close: %v", err)
	}
	s.Thaw()
	if _, err := d.Stat(t.Context(), []string{"standing"}); err != nil {
		t.Errorf("the session: %v", err)
	}
	for name, p := range pendings {
		if err := p.Abort(t.Context()); err != nil {
			t.Errorf("%s, aborted: %v", name, err)
		}
	}
	if err := large.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	wantFiles(t, s, "standing")
}

// A server that leaves the protocol is as good as lost.
func TestGarbled(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	cfg := config(s, "")
	var garble atomic.Bool
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &garbled{c, &garble}, err
	}
	d := open(t, cfg)
	defer d.Close()
	garble.Store(true)
	for range 2 {
		_, err := d.Stat(t.Context(), []string{"x"})
		wantLost(t, "Stat", err)
	}
}

type garbled struct {
	net.Conn
	now *atomic.Bool
}

func (c *garbled) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.now.Load() {
		b[0] = 0x85
	}
	return n, err
}

// The session is cut at any moment of a delivery: what stands under its name
// is whole, and the next session completes the rest.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	const files, cuts = 12, 20
	random := rand.New(rand.NewPCG(1, 2))
	want := map[string][]byte{}
	for i := range files {
		want[fmt.Sprintf("d%d/x%d.csv", i%3, i)] = text(1 + random.IntN(600<<10))
	}
	whole := traffic(t, s, want)
	for cut := range cuts {
		if err := os.RemoveAll(filepath.Join(s.Dir, "to")); err != nil {
			t.Fatal(err)
		}
		cfg := config(s, "to")
		at := random.Int64N(whole)
		cfg.Dial = cutting(at)
		d, err := smb.Open(t.Context(), cfg)
		if err == nil {
			deliverSome(t.Context(), d, want)
			d.Close()
		}
		standing := wantWhole(t, filepath.Join(s.Dir, "to"), want)
		d = open(t, config(s, "to"))
		if err := d.Sweep(t.Context(), func(string) bool { return false }); err != nil {
			t.Errorf("cut %d: Sweep: %v", cut, err)
		}
		for name, data := range want {
			if !slices.Contains(standing, name) {
				deliver(t, d, name, data)
			}
		}
		d.Close()
		if all := wantWhole(t, filepath.Join(s.Dir, "to"), want); len(all) != files {
			t.Errorf("cut %d after %d bytes: %d files stand at the end", cut, at, len(all))
		}
	}
}

// traffic is how many bytes a whole delivery sends.
func traffic(t *testing.T, s *smbtest.Server, want map[string][]byte) int64 {
	t.Helper()
	var c *cutConn
	cfg := config(s, "to")
	cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		c = &cutConn{Conn: conn, left: 1 << 40}
		return c, err
	}
	d := open(t, cfg)
	defer d.Close()
	deliverSome(t.Context(), d, want)
	return 1<<40 - c.left
}

// deliverSome delivers side by side what goes.
func deliverSome(ctx context.Context, d *smb.Destination, want map[string][]byte) {
	done := make(chan bool)
	for name, data := range want {
		go func() {
			defer func() { done <- true }()
			p, err := write(ctx, d, name, data)
			if err == nil {
				publish(ctx, d, p, nil)
			}
		}()
	}
	for range want {
		<-done
	}
}

// cutting dials connections that break after so many bytes were sent, in the
// middle of a message if need be.
func cutting(after int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &cutConn{c, after}, err
	}
}

type cutConn struct {
	net.Conn
	left int64
}

func (c *cutConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	if err == nil && n < len(b) {
		c.Conn.Close()
		err = io.ErrClosedPipe
	}
	return n, err
}

// wantWhole wants what stands under the names to be whole, and gives them.
func wantWhole(t *testing.T, dir string, want map[string][]byte) (standing []string) {
	t.Helper()
	for name, data := range want {
		path := filepath.Join(dir, filepath.FromSlash(name))
		got, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		info, serr := os.Stat(path)
		if err != nil || serr != nil || string(got) != string(data) || info.ModTime().Unix() != then.Unix() {
			t.Errorf("%s: %d bytes stand there, not the %d of it, of %v (%v)", name, len(got), len(data), info.ModTime(), err)
		}
		standing = append(standing, name)
	}
	return standing
}

// The password is changed: a session goes on, the next one is refused until
// the configuration follows.
func TestPasswordChanged(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d := open(t, config(s, ""))
	defer d.Close()
	old := config(s, "")
	s.SetPassword("another one")
	deliver(t, d, "x", []byte("data"))
	expect(t, old, "wrong user or password")
	again := open(t, config(s, ""))
	defer again.Close()
	if err := again.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestReadOnlyShare(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{ReadOnly: true})
	d := open(t, config(s, ""))
	defer d.Close()
	expect(t, config(s, "new"), "no permission")
	if err := d.Probe(t.Context()); !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("Probe: %v", err)
	}
	for _, name := range []string{"x", "sub/x"} {
		if _, err := d.Begin(t.Context(), file(name, nil), nil); !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), "cannot be written") {
			t.Errorf("Begin of %s: %v", name, err)
		}
	}
	wantFiles(t, s)
	s.SetReadOnly(false)
	again := open(t, config(s, ""))
	defer again.Close()
	deliver(t, again, "sub/x", []byte("data"))
	wantThere(t, s, "sub/x", []byte("data"))
}

// One directory that cannot be written is no fault of the share.
func TestOneDirectoryDenied(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{Share: []string{"veto files = /closed/"}})
	d := open(t, config(s, ""))
	defer d.Close()
	if err := os.Mkdir(filepath.Join(s.Dir, "closed"), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Begin(t.Context(), file("closed/x", nil), nil); err == nil || status.Is(err, status.DestinationUnavailable) {
		t.Errorf("Begin: %v", err)
	}
	deliver(t, d, "open/x", []byte("data"))
}

// A directory that this user may not write to is not flushed; all others are.
func TestOneDirectoryNotFlushed(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "share") // where another user comes by
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := smbtest.Options{Dir: dir}
	if os.Geteuid() == 0 { // who may write everywhere
		o.Share = []string{"force user = daemon"}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "theirs"), []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"sub": 0o777, ".": 0o555} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	s := smbtest.Start(t, o)
	d := open(t, config(s, ""))
	defer d.Close()
	if _, err := d.Begin(t.Context(), file("x", nil), nil); err == nil {
		t.Fatal("the directory can be written")
	}
	if err := d.Persist(t.Context(), []string{"theirs"})[0]; err != nil {
		t.Error(err)
	}
	deliver(t, d, "sub/new/x", []byte("data"))
	if !smb.FlushesDirectories(d) {
		t.Error("the directories are not flushed any more")
	}
}

// A program that has a file open keeps it from being replaced, or from getting
// its name; the file says so, and can be delivered later. Samba minds readers
// of its own session only, Windows all.
func TestInUse(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d, scanner := open(t, config(s, "")), open(t, config(s, ""))
	defer d.Close()
	defer scanner.Close()
	deliver(t, d, "x", []byte("first"))
	standing := file("x", []byte("first"))
	p, err := write(t.Context(), d, "x", []byte("second"))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(who *smb.Destination, name string) {
		t.Helper()
		f, err := who.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		err = publish(t.Context(), d, p, &standing)
		if err == nil || status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), "program has") {
			t.Errorf("while %s is read: %v", name, err)
		}
		wantThere(t, s, "x", []byte("first"))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	refused(d, "x")
	refused(scanner, pending.Name("x", p.ID()))
	if err := publish(t.Context(), d, p, &standing); err != nil {
		t.Fatal(err)
	}
	wantThere(t, s, "x", []byte("second"))
	wantFiles(t, s, "x")
}

// A Destination that is closed while the server owes answers ends all that wait.
func TestClosedMeanwhile(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d := open(t, config(s, ""))
	s.Freeze()
	defer s.Thaw()
	const waiting = 8
	errs := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := d.Stat(t.Context(), []string{"x"})
			errs <- err
		}()
	}
	for smb.Waiting(d) < waiting {
		time.Sleep(time.Millisecond)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	for range waiting {
		wantLost(t, "Stat", <-errs)
	}
}
