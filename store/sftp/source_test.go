package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"

	"go.uber.org/goleak"
)

// openSource opens a Source that is closed, without a goroutine left, when the test ends.
func openSource(t *testing.T, cfg Config) *Source {
	t.Helper()
	before := goleak.IgnoreCurrent()
	s, err := Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		start := time.Now()
		s.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("Close took %v", d)
		}
		if server, ok := serverOf.Load(cfg.Port); ok {
			server.(func())() // its goroutines are not ours
		}
		goleak.VerifyNone(t, before)
	})
	return s
}

// serverOf has the Stop of the in-process servers, by port.
var serverOf sync.Map

// faulty starts a Faulty server.
func faulty(t *testing.T, f sftptest.Faults) *sftptest.Faulty {
	t.Helper()
	s := sftptest.StartFaulty(t, f)
	serverOf.Store(s.Port, s.Stop)
	return s
}

// onServers runs a test on the real servers, and on the faulty one with each of the
// faults that a Source has to work with.
func onServers(t *testing.T, test func(t *testing.T, e sftptest.Endpoint)) {
	t.Run("OpenSSH", func(t *testing.T) { test(t, sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint) })
	t.Run("OpenSSH one channel", func(t *testing.T) {
		test(t, sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{MaxSessions: 1}).Endpoint)
	})
	t.Run("ProFTPD", func(t *testing.T) { test(t, sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}).Endpoint) })
	for name, f := range map[string]sftptest.Faults{
		"plain":             {},
		"no extensions":     {NoExtensions: true},
		"short reads":       {MaxRead: 1000},
		"reads of 100 KiB":  {MaxRead: 100 << 10},
		"long READs fail":   {RefuseReadOver: 32 << 10},
		"one channel":       {MaxChannels: 1},
		"one channel short": {MaxChannels: 1, MaxRead: 1000},
		"two channels":      {MaxChannels: 2},
		"one open file":     {MaxOpenFiles: 1},
		"shuffled":          {ShuffleReads: true},
		"no attributes":     {NoAttributes: true},
		"no FSTAT":          {Fail: sftptest.Refuse(sftptest.StatusOpUnsupported, sftptest.OpFstat)},
		"lexical":           {LexicalRealpath: true},
	} {
		t.Run(name, func(t *testing.T) { test(t, faulty(t, f).Endpoint) })
	}
}

// memory is a file that is being written.
type memory struct {
	mu sync.Mutex
	b  []byte
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if end := int(off) + len(p); end > len(m.b) {
		m.b = append(m.b, make([]byte, end-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// old is a modification time of long ago.
var old = time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)

// put writes a file below the root of a server.
func put(t *testing.T, e sftptest.Endpoint, name string, content []byte) filesync.Entry {
	t.Helper()
	path := filepath.Join(e.Root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	return filesync.Entry{Name: name, Size: int64(len(content)), ModTime: old, Mode: 0o644}
}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

// allOf lists a directory.
func allOf(t *testing.T, s *Source, dir string) map[string]filesync.Entry {
	t.Helper()
	found := map[string]filesync.Entry{}
	for e, err := range s.List(t.Context(), dir) {
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := found[e.Name]; twice {
			t.Errorf("%q is listed twice", e.Name)
		}
		found[e.Name] = e
	}
	return found
}

func TestSource(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		sizes := []int{0, 1, 999, 1000, 1001, 32 << 10, 32<<10 + 1, 200_000, 255 << 10, 255<<10 + 1, 256 << 10, 1 << 20, 10<<20 + 7}
		want := map[string][]byte{}
		for _, n := range sizes {
			name := fmt.Sprintf("sub/file %d é.bin", n)
			want[name] = noise(n)
			put(t, e, name, want[name])
		}
		s := openSource(t, byKey(e))
		if err := s.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if root := allOf(t, s, ""); len(root) != 1 || !root["sub"].Mode.IsDir() {
			t.Fatalf("the root holds %v", root)
		}
		found := allOf(t, s, "sub")
		if len(found) != len(want) {
			t.Fatalf("%d of %d files are listed", len(found), len(want))
		}
		var wg sync.WaitGroup
		for name, content := range want {
			entry := found[name]
			if entry.Size != int64(len(content)) || !entry.ModTime.Equal(old) || !entry.Mode.IsRegular() {
				t.Errorf("%s is listed as %+v", name, entry)
			}
			wg.Go(func() { fetchAll(t, s, entry, content) })
		}
		wg.Wait()
		stats, err := s.Stat(t.Context(), []string{"sub", "gone", "sub/file 1 é.bin"})
		if err != nil {
			t.Fatal(err)
		}
		if !stats[0].Entry.Mode.IsDir() || !errors.Is(stats[1].Err, os.ErrNotExist) || stats[2].Entry.Size != 1 {
			t.Errorf("the results are %+v", stats)
		}
	})
}

// fetchAll reads a file whole and from its middle.
func fetchAll(t *testing.T, s *Source, e filesync.Entry, content []byte) {
	for _, from := range []int64{0, e.Size / 3} {
		var m memory
		got, err := s.Fetch(t.Context(), e, from, &m)
		if err != nil {
			t.Errorf("Fetch: %v", err)
			return
		}
		if !got.SameVersion(e) || got.Name != e.Name {
			t.Errorf("%s: the handle says %+v, the listing %+v", e.Name, got, e)
		}
		if from < e.Size && !bytes.Equal(m.b[from:], content[from:]) || int64(len(m.b)) > e.Size {
			t.Errorf("%s: other bytes came from %d on", e.Name, from)
		}
	}
}

func TestErrorsOfOneFile(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		s := openSource(t, byKey(e))
		put(t, e, "there.csv", []byte("abc"))
		_, err := s.Fetch(t.Context(), filesync.Entry{Name: "a/b.csv", Size: 3}, 0, &memory{})
		if !errors.Is(err, os.ErrNotExist) || err.Error() != "read a/b.csv: no such file" {
			t.Errorf("a file that is not there: %v", err)
		}
		for e, err := range s.List(t.Context(), "nowhere") {
			if !errors.Is(err, os.ErrNotExist) || err.Error() != "list nowhere: no such file" {
				t.Errorf("a directory that is not there: %v, %v", e, err)
			}
		}
		_, err = s.Fetch(t.Context(), filesync.Entry{Name: "there.csv", Size: 4}, 0, &memory{})
		if !errors.Is(err, filesync.ErrChanged) || !strings.HasPrefix(err.Error(), "read there.csv: ") {
			t.Errorf("a file that is shorter: %v", err)
		}
		_, err = s.Fetch(t.Context(), filesync.Entry{Name: "there.csv", Size: 2}, 0, &memory{})
		if !errors.Is(err, filesync.ErrChanged) || !strings.HasPrefix(err.Error(), "read there.csv: ") {
			t.Errorf("a file that is longer: %v", err)
		}
		full := errors.New("no space left")
		_, err = s.Fetch(t.Context(), filesync.Entry{Name: "there.csv", Size: 3}, 0, failing{full})
		if !errors.Is(err, full) {
			t.Errorf("the writer's error comes as %v", err)
		}
	})
}

type failing struct{ err error }

func (f failing) WriteAt([]byte, int64) (int, error) { return 0, f.err }

func TestProbe(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	put(t, srv.Endpoint, "file", nil)
	put(t, srv.Endpoint, "locked/x", nil)
	srv.Set(func(f *sftptest.Faults) { f.Fail = sftptest.Deny(srv.Root + "/locked") })
	ssh := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, ssh.Endpoint, "file", nil)
	for _, test := range []struct {
		e    sftptest.Endpoint
		dir  string
		want status.Word
	}{
		{srv.Endpoint, "/", status.ConnectionValid},
		{srv.Endpoint, "/gone", status.SourceDirectoryNotFound},
		{srv.Endpoint, "/file", status.SourceDirectoryNotFound},
		{srv.Endpoint, "/locked", status.PermissionDenied},
		{ssh.Endpoint, "/", status.ConnectionValid},
		{ssh.Endpoint, "/gone", status.SourceDirectoryNotFound},
		{ssh.Endpoint, "/file", status.SourceDirectoryNotFound},
	} {
		cfg := byKey(test.e)
		cfg.Root += test.dir
		s := openSource(t, cfg)
		if err := s.Probe(t.Context()); status.Of(err) != test.want {
			t.Errorf("%s: %v, not %s", test.dir, err, test.want)
		}
	}
}

func TestStageSFTP(t *testing.T) {
	var stages []status.Stage
	observe := func(s status.Stage) { stages = append(stages, s) }
	srv := faulty(t, sftptest.Faults{MaxChannels: 1})
	s, err := Open(t.Context(), byKey(srv.Endpoint), observe)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	last := stages[len(stages)-1]
	if last.Stage != status.StageSFTP || !last.OK || !strings.Contains(last.Detail, "version 3") || !strings.Contains(last.Detail, "one channel only") {
		t.Errorf("the last stage is %+v", last)
	}
	for name, f := range map[string]sftptest.Faults{
		"refused": {NoSFTP: true},
		"dying":   {DieAtChannel: 1},
	} {
		srv.Set(func(now *sftptest.Faults) { *now = f })
		stages = nil
		_, err = Open(t.Context(), byKey(srv.Endpoint), observe)
		last = stages[len(stages)-1]
		if last.Stage != status.StageSFTP || last.OK || status.Of(err) != map[string]status.Word{
			"refused": status.SFTPUnavailable, "dying": status.ConnectionLost,
		}[name] {
			t.Errorf("%s: %v, %+v", name, err, last)
		}
	}
}

// A server that fails when two channels are opened together gets a new login, and one
// channel after the other from then on.
func TestStartsInTurn(t *testing.T) {
	srv := faulty(t, sftptest.Faults{DieAtChannel: 2, Deaths: 1})
	cfg := byKey(srv.Endpoint)
	cfg.Limits = new(Limits)
	allOf(t, openSource(t, cfg), "")
	if !cfg.Limits.openInTurn.Load() {
		t.Error("it is not remembered")
	}
	// A server that fails again gets one channel only.
	srv = faulty(t, sftptest.Faults{DieAtChannel: 2})
	cfg = byKey(srv.Endpoint)
	cfg.Limits = new(Limits)
	allOf(t, openSource(t, cfg), "")
	if n, known := cfg.Limits.dataChannels(); !known || n != 0 {
		t.Errorf("%d data channels are remembered, %v", n, known)
	}
	// Either of two calls may get the only channel.
	srv = faulty(t, sftptest.Faults{MaxChannels: 1})
	for range 20 {
		s := openSource(t, byKey(srv.Endpoint))
		if s.control == nil || s.pool.channels[0].wire() != s.control.wireChannel {
			t.Fatal("the only channel is not the one for control")
		}
	}
}

// The program behind the subsystem is no SFTP server.
func TestNoSFTPServer(t *testing.T) {
	for command, want := range map[string]status.Word{
		"/bin/false":         status.SFTPUnavailable,
		"/bin/cat":           status.SFTPUnavailable,
		"echo This account.": status.SFTPUnavailable,
		"sleep 60":           status.ConnectionTimedOut,
	} {
		cfg := byKey(sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Subsystem: command}).Endpoint)
		cfg.Timeouts.Operation = 2 * time.Second
		if _, err := Open(t.Context(), cfg, nil); status.Of(err) != want {
			t.Errorf("%s: %v, not %s", command, err, want)
		}
	}
}

func TestLost(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"dies in a file":          {DieAfterBytes: 3 << 20},
		"dies at a request":       {DieAtRequest: 12},
		"goes silent":             {SilentAtRequest: 12},
		"freezes":                 {FreezeAtRequest: 12},
		"one channel dies":        {MaxChannels: 1, DieAfterBytes: 3 << 20},
		"one channel goes silent": {MaxChannels: 1, SilentAtRequest: 12},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, f)
			content := noise(20 << 20)
			e := put(t, srv.Endpoint, "large.bin", content)
			cfg := byKey(srv.Endpoint)
			cfg.Timeouts.Operation = time.Second
			s := openSource(t, cfg)
			start := time.Now()
			_, err := s.Fetch(t.Context(), e, 0, &memory{})
			if status.Of(err) != status.ConnectionLost || !status.Is(err, status.ConnectionLost) {
				t.Errorf("Fetch: %v", err)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("it took %v to notice", d)
			}
			if strings.Contains(name, "silent") && !strings.Contains(err.Error(), " for 1s") {
				t.Errorf("Fetch: %v", err)
			}
			for _, err := range s.List(t.Context(), "") {
				if !status.Is(err, status.ConnectionLost) {
					t.Errorf("List: %v", err)
				}
			}
			if _, err := s.Stat(t.Context(), []string{"large.bin"}); !status.Is(err, status.ConnectionLost) {
				t.Errorf("Stat: %v", err)
			}
			if err := s.RemoveIf(t.Context(), e); !status.Is(err, status.ConnectionLost) {
				t.Errorf("RemoveIf: %v", err)
			}
			if err := s.Probe(t.Context()); !status.Is(err, status.ConnectionLost) {
				t.Errorf("Probe: %v", err)
			}
		})
	}
}

// A call returns when its context ends, whatever the server does.
func TestCancelled(t *testing.T) {
	for _, channels := range []int{0, 1} {
		srv := faulty(t, sftptest.Faults{MaxChannels: channels})
		e := put(t, srv.Endpoint, "a.bin", noise(1<<20))
		s := openSource(t, byKey(srv.Endpoint))
		srv.Freeze()
		defer srv.Thaw()
		for name, call := range map[string]func(context.Context) error{
			"Fetch":    func(ctx context.Context) error { _, err := s.Fetch(ctx, e, 0, &memory{}); return err },
			"Stat":     func(ctx context.Context) error { _, err := s.Stat(ctx, []string{"a.bin"}); return err },
			"RemoveIf": func(ctx context.Context) error { return s.RemoveIf(ctx, e) },
			"MoveIf":   func(ctx context.Context) error { return s.MoveIf(ctx, e, "x") },
			"Resolve":  func(ctx context.Context) error { _, _, err := s.Resolve(ctx, e); return err },
			"List": func(ctx context.Context) error {
				for _, err := range s.List(ctx, "") {
					return err
				}
				return nil
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			start := time.Now()
			err := call(ctx)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
				t.Errorf("%d channels: %s: %v after %v", channels, name, err, time.Since(start))
			}
		}
	}
}

func TestManyFilesAtOnce(t *testing.T) {
	onServers(t, func(t *testing.T, e sftptest.Endpoint) {
		var entries []filesync.Entry
		for i := range 300 {
			entries = append(entries, put(t, e, fmt.Sprintf("d%d/f%d", i%10, i), noise(i*50)))
		}
		s := openSource(t, byKey(e))
		var wg sync.WaitGroup
		for chunk := range slices.Chunk(entries, len(entries)/32+1) {
			wg.Go(func() {
				for _, f := range chunk {
					fetchAll(t, s, f, noise(int(f.Size)))
				}
			})
		}
		wg.Wait()
	})
}
