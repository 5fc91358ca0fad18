package sftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// uploading is a test of uploads to one server.
type uploading struct {
	*testing.T
	*Destination
	root string
}

// uploadTo opens a Destination on a server, for a parallel test.
func uploadTo(t *testing.T, e sftptest.Endpoint, change func(c *Config)) *uploading {
	t.Helper()
	cfg := byKey(e)
	if change != nil {
		change(&cfg)
	}
	return &uploading{t, openDestination(t, cfg), e.Root}
}

// uploadFaulty is uploadTo for a new Faulty server.
func uploadFaulty(t *testing.T, f sftptest.Faults, change func(c *Config)) (*uploading, *sftptest.Faulty) {
	t.Helper()
	t.Parallel()
	s := sftptest.StartFaulty(t, f)
	return uploadTo(t, s.Endpoint, change), s
}

func direct(c *Config) { c.Direct = true }

func uploadEntry(name string, data []byte) filesync.Entry {
	return filesync.Entry{Name: name, Size: int64(len(data)), ModTime: old, Mode: 0o644}
}

func (u *uploading) must(err error) {
	u.Helper()
	if err != nil {
		u.Fatal(err)
	}
}

// abandon removes a pending file that may have gone.
func (u *uploading) abandon(p filesync.Pending) {
	u.Helper()
	if err := p.Abort(u.Context()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		u.Error(err)
	}
}

// write writes and finishes a file.
func (u *uploading) write(name string, data []byte) (filesync.Pending, filesync.Entry, error) {
	p, err := u.Begin(u.Context(), uploadEntry(name, data), nil)
	if err != nil {
		return nil, filesync.Entry{}, err
	}
	if _, err := p.WriteAt(data, 0); err != nil {
		return p, filesync.Entry{}, err
	}
	e, err := p.Finish(u.Context())
	return p, e, err
}

func (u *uploading) publish(p filesync.Pending, replaces *filesync.Entry) error {
	if err := u.Sync(u.Context(), []filesync.Pending{p})[0]; err != nil {
		return err
	}
	return u.Publish(u.Context(), []filesync.Publication{{Pending: p, Replaces: replaces}})[0]
}

// deliver does all of it.
func (u *uploading) deliver(name string, data []byte) (filesync.Entry, error) {
	p, e, err := u.write(name, data)
	if err == nil {
		err = u.publish(p, nil)
	}
	return e, err
}

func (u *uploading) at(name string) string { return filepath.Join(u.root, filepath.FromSlash(name)) }

func (u *uploading) want(name string, data []byte) {
	u.Helper()
	if got, err := os.ReadFile(u.at(name)); err != nil || !bytes.Equal(got, data) {
		u.Errorf("%s has %d bytes, not the %d that were written: %v", name, len(got), len(data), err)
	}
}

// files are the names of all files, hidden ones included.
func (u *uploading) files() (names []string) {
	u.Helper()
	u.must(filepath.WalkDir(u.root, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(p, u.root+"/"))
		}
		return err
	}))
	return names
}

func (u *uploading) wantFiles(want ...string) {
	u.Helper()
	if got := u.files(); strings.Join(got, "|") != strings.Join(want, "|") {
		u.Errorf("files %q, want %q", got, want)
	}
}

// A server that refuses everything that can be refused still gets its files, and is not
// asked for the same again and again.
func TestUploadsToOneThatRefuses(t *testing.T) {
	refuse := sftptest.Refuse(sftptest.StatusOpUnsupported, sftptest.OpRename, sftptest.OpSetstat, sftptest.OpFsetstat, sftptest.OpFstat, sftptest.OpExtended)
	u, s := uploadFaulty(t, sftptest.Faults{NoReadWrite: true, Fail: refuse}, direct)
	u.must(u.Probe(t.Context()))
	large := noise(largeFile + 12_345)
	e, err := u.deliver("d/large", large)
	u.must(err)
	u.want("d/large", large)
	if e.Size != int64(len(large)) || e.ModTime.Equal(old) || time.Since(e.ModTime) > time.Hour {
		t.Errorf("it is said to stand as %+v", e)
	}
	s.ResetCounts()
	var entries []filesync.Entry
	data := noise(5000)
	for i := range 300 {
		entries = append(entries, uploadEntry(fmt.Sprintf("d/%d/%d", i%3, i), data))
	}
	u.must(uploadAll(t.Context(), u.Destination, entries, data))
	for _, e := range entries {
		u.want(e.Name, data)
	}
	ops := s.Counts().Ops
	for _, op := range []sftptest.Op{sftptest.OpRename, sftptest.OpSetstat, sftptest.OpFsetstat, sftptest.OpFstat} {
		if n := ops[op]; n > 0 {
			t.Errorf("%d requests of type %d, which it has refused before", n, op)
		}
	}
	if n := ops[sftptest.OpExtended]; n > maxChannels { // each new channel asks for its limits
		t.Errorf("%d requests for extensions", n)
	}
}

func TestUploadWithoutRename(t *testing.T) {
	for _, refusal := range []sftptest.Status{sftptest.StatusOpUnsupported, sftptest.StatusPermissionDenied, sftptest.StatusFailure} {
		t.Run(refusal.String(), func(t *testing.T) {
			refuse := sftptest.Refuse(refusal, sftptest.OpRename, sftptest.OpExtended)
			u, _ := uploadFaulty(t, sftptest.Faults{Without: []string{wire.FsyncExtension}, Fail: refuse}, nil)
			p, _, err := u.write("x", []byte("data"))
			u.must(err)
			err = u.publish(p, nil)
			if err == nil || !strings.Contains(err.Error(), "files.upload_name: direct") || errors.Is(err, filesync.ErrConflict) {
				t.Errorf("got %v", err)
			}
			if _, whole := errors.AsType[*status.Error](err); whole {
				t.Errorf("%v concerns the whole destination", err)
			}
			u.must(p.Abort(t.Context()))
			u.wantFiles()
		})
	}
}

// On a server whose RENAME overwrites, the name is checked before.
func TestRenameThatOverwrites(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{RenameReplaces: true}, nil)
	put(t, s.Endpoint, "x", []byte("theirs"))
	p, _, err := u.write("x", []byte("ours"))
	u.must(err)
	if err := u.publish(p, nil); !errors.Is(err, filesync.ErrConflict) {
		t.Errorf("got %v", err)
	}
	u.want("x", []byte("theirs"))
	u.must(p.Abort(t.Context()))
}

// On a server without posix-rename, a file is replaced in two steps. If the second
// fails, the new file is still there.
func TestReplacesInTwoSteps(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{Without: []string{wire.PosixRenameExtension}}, nil)
	standing := put(t, s.Endpoint, "x", []byte("theirs"))
	p, _, err := u.write("x", []byte("ours"))
	u.must(err)
	s.Set(func(f *sftptest.Faults) { f.Fail = sftptest.Refuse(sftptest.StatusFailure, sftptest.OpRename) })
	if err := u.publish(p, &standing); err == nil {
		t.Error("published without a RENAME")
	}
	if left := u.files(); len(left) != 1 || !strings.HasSuffix(left[0], p.ID()+".part") {
		t.Errorf("left: %q", left)
	}
	s.Set(func(f *sftptest.Faults) { f.Fail = nil })
	u.must(u.publish(p, &standing))
	u.want("x", []byte("ours"))
}

// A receiver may take a file as soon as it is renamed or closed.
func TestTakenAtOnce(t *testing.T) {
	for name, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{Without: []string{wire.PosixRenameExtension}}, change)
			var mu sync.Mutex
			taken := map[string]int{}
			s.Set(func(f *sftptest.Faults) {
				f.OnWritten = func(p string) {
					if strings.HasSuffix(p, ".part") {
						return
					}
					data, err := os.ReadFile(p)
					mu.Lock()
					defer mu.Unlock()
					taken[strings.TrimPrefix(p, u.root+"/")] = len(data)
					if err := errors.Join(err, os.Remove(p)); err != nil {
						t.Error(err)
					}
				}
			})
			data := noise(largeFile + 7)
			for _, name := range []string{"a", "d/b"} {
				e, err := u.deliver(name, data)
				if err != nil || !e.SameVersion(uploadEntry(name, data)) {
					t.Errorf("%+v, %v", e, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if len(taken) != 2 || taken["a"] != len(data) || taken["d/b"] != len(data) {
				t.Errorf("the receiver has %v", taken)
			}
			u.wantFiles()
		})
	}
}

func TestCloseThatFails(t *testing.T) {
	for name, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
		t.Run(name, func(t *testing.T) {
			u, _ := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusFailure, sftptest.OpClose)}, change)
			p, _, err := u.write("x", []byte("data"))
			if err == nil {
				err = u.publish(p, nil)
			}
			if err == nil || !strings.Contains(err.Error(), "close it") {
				t.Errorf("got %v", err)
			}
			u.abandon(p)
			u.wantFiles()
		})
	}
}

// Servers report in different ways that there is no room.
func TestFull(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"asked for its room": {Room: 100_000},
		"says so":            {NoExtensions: true, Fail: sftptest.Refuse(sftptest.Status(wire.CodeNoSpace), sftptest.OpWrite)},
		"its quota":          {NoExtensions: true, Fail: sftptest.Refuse(sftptest.Status(wire.CodeQuota), sftptest.OpOpen)},
	} {
		t.Run(name, func(t *testing.T) {
			u, _ := uploadFaulty(t, f, nil)
			p, _, err := u.write("x", noise(1<<20))
			if !errors.Is(err, filesync.ErrFull) || !status.Is(err, status.DestinationUnavailable) || errors.Is(err, filesync.ErrDisconnected) {
				t.Errorf("got %v", err)
			}
			if p != nil {
				u.must(p.Abort(t.Context()))
			}
			u.wantFiles()
		})
	}
	t.Run("when it is tried", func(t *testing.T) {
		u, _ := uploadFaulty(t, sftptest.Faults{Room: 1}, nil)
		p, _, err := u.write("x", noise(2))
		if err == nil {
			t.Error("there is room still")
		}
		u.must(p.Abort(t.Context()))
		if err := u.Probe(t.Context()); !errors.Is(err, filesync.ErrFull) || !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), u.root) {
			t.Errorf("got %v", err)
		}
		u.wantFiles()
	})
	t.Run("tried, with room", func(t *testing.T) {
		u, _ := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusFailure, sftptest.OpWrite)}, nil)
		if err := u.Probe(t.Context()); err == nil || errors.Is(err, filesync.ErrFull) || !status.Is(err, status.DestinationUnavailable) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refused for another reason", func(t *testing.T) {
		u, _ := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusFailure, sftptest.OpWrite)}, nil)
		p, _, err := u.write("x", noise(1<<20))
		if err == nil || errors.Is(err, filesync.ErrFull) || status.Is(err, status.DestinationUnavailable) {
			t.Errorf("got %v", err)
		}
		u.must(p.Abort(t.Context()))
	})
}

// lateCancelled is a context that has ended at the second call of Err.
type lateCancelled struct {
	context.Context
	looks atomic.Int32
}

func (c *lateCancelled) Err() error {
	if c.looks.Add(1) > 1 {
		return context.Canceled
	}
	return nil
}

// A request about no file at all has no answer, also when the context ends meanwhile.
func TestNothingIsAskedFor(t *testing.T) {
	u, _ := uploadFaulty(t, sftptest.Faults{}, nil)
	if errs := u.Persist(&lateCancelled{Context: t.Context()}, nil); len(errs) != 0 {
		t.Errorf("Persist: %v", errs)
	}
	if stats, err := u.Stat(&lateCancelled{Context: t.Context()}, nil); len(stats) != 0 {
		t.Errorf("Stat: %v, %v", stats, err)
	}
}

// Every call fails at once when the connection is lost.
func TestUploadLost(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, nil)
	whole, _, err := u.write("whole", []byte("data"))
	u.must(err)
	half, err := u.Begin(t.Context(), uploadEntry("half", noise(100)), nil)
	u.must(err)
	s.Cut()
	calls := map[string]func() error{
		"WriteAt": func() error {
			_, err := half.WriteAt(noise(50), 0)
			for err == nil {
				_, err = half.WriteAt(noise(50), 0)
			}
			return err
		},
		"Begin": func() error { _, err := u.Begin(t.Context(), uploadEntry("y", nil), nil); return err },
		"resume": func() error {
			_, err := u.Begin(t.Context(), uploadEntry("y", nil), &filesync.Checkpoint{ID: "x"})
			return err
		},
		"Stat":       func() error { _, err := u.Stat(t.Context(), []string{"y"}); return err },
		"Open":       func() error { _, err := u.Destination.Open(t.Context(), "y"); return err },
		"Checkpoint": func() error { _, err := half.Checkpoint(t.Context(), 10); return err },
		"Finish":     func() error { _, err := half.Finish(t.Context()); return err },
		"Abort":      func() error { return half.Abort(t.Context()) },
		"Sync":       func() error { return u.Sync(t.Context(), []filesync.Pending{whole})[0] },
		"Publish":    func() error { return u.publish(whole, nil) },
		"Persist":    func() error { return u.Persist(t.Context(), []string{"y"})[0] },
		"Sweep":      func() error { return u.Sweep(t.Context(), func(string) bool { return false }) },
		"Probe":      func() error { return u.Probe(t.Context()) },
	}
	for _, name := range []string{"WriteAt", "Begin", "resume", "Stat", "Open", "Checkpoint", "Finish", "Abort", "Sync", "Publish", "Persist", "Sweep", "Probe"} {
		start := time.Now()
		err := calls[name]()
		if !errors.Is(err, filesync.ErrDisconnected) || !status.Is(err, status.ConnectionLost) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
	if err := half.Keep(); err != nil {
		t.Errorf("Keep: %v", err)
	}
}

// A server that reads what is written and answers nothing is given up after a while,
// and so is a WriteAt that waits for it.
func TestUploadToOneThatFallsSilent(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, func(c *Config) { c.Timeouts.Operation = 300 * time.Millisecond })
	size := int64(64 << 20)
	p, err := u.Begin(t.Context(), filesync.Entry{Name: "x", Size: size, ModTime: old}, nil)
	u.must(err)
	s.Freeze()
	block := noise(1 << 20)
	for off := int64(0); off < size && err == nil; off += int64(len(block)) {
		_, err = p.WriteAt(block, off)
	}
	if !errors.Is(err, filesync.ErrDisconnected) {
		t.Errorf("got %v", err)
	}
}

// A WriteAt that waits ends with the context of its Begin, on a server that reads
// nothing more, and on one that reads all and answers nothing.
func TestWriteAtObeysContext(t *testing.T) {
	for name, stop := range map[string]func(s *sftptest.Faulty){
		"frozen": (*sftptest.Faulty).Freeze,
		"silent": func(s *sftptest.Faulty) { s.Set(func(f *sftptest.Faults) { f.SilentAtRequest = 1 }) },
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, nil)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p, err := u.Begin(ctx, filesync.Entry{Name: "x", Size: 1 << 30, ModTime: old}, nil)
			u.must(err)
			stop(s)
			defer s.Thaw()
			time.AfterFunc(300*time.Millisecond, cancel)
			block := noise(1 << 20)
			for off := int64(0); err == nil; off += int64(len(block)) {
				if off > 64<<20 {
					t.Fatal("it takes any number of bytes without an answer")
				}
				_, err = p.WriteAt(block, off)
			}
			if !errors.Is(err, context.Canceled) || errors.Is(err, filesync.ErrDisconnected) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Small files take three round trips on OpenSSH, whatever their number, and one
// for each step elsewhere.
func TestUploadRoundTrips(t *testing.T) {
	t.Parallel()
	const files = 30
	const (
		open, write, fstat, fsetstat, end = sftptest.OpOpen, sftptest.OpWrite, sftptest.OpFstat, sftptest.OpFsetstat, sftptest.OpClose
		lstat, rename, readlink           = sftptest.OpLstat, sftptest.OpRename, sftptest.OpReadlink
	)
	for name, test := range map[string]struct {
		banner string
		trips  []ops
	}{
		"OpenSSH": {openSSHBanner, []ops{{open: files}, {write: files, fsetstat: files, fstat: files, end: files}, {lstat: files, rename: files}}},
		"other": {"", []ops{
			{open: files}, {write: files}, {fsetstat: files}, {fstat: files}, {end: files},
			{lstat: files, readlink: files}, {rename: files}, {lstat: files, readlink: files},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{Banner: test.banner}, func(c *Config) {
				c.Limits = new(Limits)
				c.Limits.fsync.state.Store(featureAbsent)
				c.Timeouts.Keepalive = time.Hour
			})
			_, err := u.deliver("first", nil) // what is learnt once
			u.must(err)
			waitFor(t, func() bool { return u.handles.used() == 0 })
			inRoundTrips(t, s, roundTrips{test.trips, nil}, func() {
				batch := make([]filesync.Publication, files)
				var all sync.WaitGroup
				for i := range batch {
					all.Go(func() {
						p, _, err := u.write(fmt.Sprint(i), make([]byte, 2000))
						if err != nil {
							t.Error(err)
						}
						batch[i].Pending = p
					})
				}
				all.Wait()
				if err := errors.Join(u.Publish(t.Context(), batch)...); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A large file uses several channels only where a second handle is one on the same
// file.
func TestUploadWide(t *testing.T) {
	for name, test := range map[string]struct {
		faults sftptest.Faults
		wide   bool
	}{
		"plain":              {sftptest.Faults{}, true},
		"shuffled":           {sftptest.Faults{ShuffleWrites: true, MaxWrite: 100_000}, true},
		"one writer":         {sftptest.Faults{OneWriter: true}, false},
		"a copy each":        {sftptest.Faults{OwnCopies: true}, false},
		"one channel":        {sftptest.Faults{MaxChannels: 1}, false},
		"one open file":      {sftptest.Faults{MaxOpenFiles: 1}, false},
		"an unknown channel": {sftptest.Faults{MaxChannels: 3}, true},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, test.faults, func(c *Config) {
				c.Limits = new(Limits)
				c.Limits.noteRoundTrip(time.Second) // far away: it goes wide at once
				c.Limits.handleTimes.state.Store(featureWorks)
			})
			data := noise(26 << 20)
			p, err := u.Begin(t.Context(), uploadEntry("x", data), nil)
			u.must(err)
			const block = 100_000
			for off := 0; off < len(data); off += block {
				_, err := p.WriteAt(data[off:min(off+block, len(data))], int64(off))
				u.must(err)
				switch f := p.(*pendingFile); {
				case off <= 4<<20 || off > 4<<20+block:
				case test.wide:
					waitFor(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.channels) > 1 })
				case test.faults.OneWriter || test.faults.OwnCopies: // it has been tried
					waitFor(t, func() bool { return s.Counts().Ops[sftptest.OpOpen] > 1 })
				}
			}
			channels := len(p.(*pendingFile).channels)
			e, err := p.Finish(t.Context())
			if err != nil || !e.SameVersion(uploadEntry("x", data)) {
				t.Fatalf("%+v, %v", e, err)
			}
			u.must(u.publish(p, nil))
			u.want("x", data)
			if (channels > 1) != test.wide {
				t.Errorf("it was open on %d channels", channels)
			}
			waitFor(t, func() bool { return u.handles.used() == 0 })
			for _, ch := range u.pool.all() {
				if ch.load != 0 {
					t.Errorf("a channel has %d uses left", ch.load)
				}
			}
		})
	}
}

func TestProbeOfDestination(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, s.Endpoint, "file", nil)
	for name, test := range map[string]struct {
		root string
		fail func(sftptest.Op, string) sftptest.Status
		text string // of the error; "" for none
		is   error
	}{
		"made":            {root: "new"},
		"parent missing":  {root: "none/new", text: "nor does the directory above it"},
		"a file":          {root: "file", text: "it is not a directory"},
		"not made":        {root: "other", fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpMkdir), text: "permission denied", is: fs.ErrPermission},
		"not written to":  {root: "new2", fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpOpen), text: "permission denied", is: fs.ErrPermission},
		"not renamed":     {root: "new4", fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRename, sftptest.OpExtended), text: "set files.upload_name: direct", is: fs.ErrPermission},
		"nothing removed": {root: "new3", fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRemove)},
	} {
		t.Run(name, func(t *testing.T) {
			s.Set(func(f *sftptest.Faults) { f.Fail = test.fail })
			u := uploadTo(t, s.Endpoint, func(c *Config) { c.Root += "/" + test.root })
			err := u.Probe(t.Context())
			if test.text == "" {
				u.must(err)
				u.must(u.Probe(t.Context())) // again
				if left, err := os.ReadDir(u.at(test.root)); err != nil || len(left) > 0 {
					t.Errorf("left: %v, %v", left, err)
				}
				return
			}
			if !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), test.text) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Many uploads make a directory at a time, and make it again when somebody removes it.
func TestDirectoriesOfManyFiles(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, func(c *Config) { c.Root += "/new" })
	deep := "a/b/c/d"
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			if _, err := u.deliver(fmt.Sprintf("%s/%d", deep, i), []byte("data")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := s.Counts().Ops[sftptest.OpMkdir]; n != 5 {
		t.Errorf("%d MKDIRs for 5 directories", n)
	}
	u.must(os.RemoveAll(u.at("new")))
	_, err := u.deliver(deep+"/again", []byte("data"))
	u.must(err)
	u.want("new/"+deep+"/again", []byte("data"))
}
