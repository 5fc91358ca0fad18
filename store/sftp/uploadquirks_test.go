package sftp

import (
	"errors"
	"io/fs"
	"os"
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

// refuseOpen refuses OPENs for writing by their flags.
func refuseOpen(s sftptest.Status, refuses func(flags uint32) bool) func(string, uint32) sftptest.Status {
	return func(_ string, flags uint32) sftptest.Status {
		if flags&sftptest.OpenWrite != 0 && refuses(flags) {
			return s
		}
		return sftptest.StatusOK
	}
}

func withExclusive(flags uint32) bool { return flags&sftptest.OpenExclusive != 0 }

func withoutTruncate(flags uint32) bool { return flags&sftptest.OpenTruncate == 0 }

// missingIs answers STAT and LSTAT of missing files with another status.
func missingIs(s sftptest.Status) func(sftptest.Op, string) sftptest.Status {
	return func(op sftptest.Op, path string) sftptest.Status {
		if op != sftptest.OpStat && op != sftptest.OpLstat {
			return sftptest.StatusOK
		}
		if _, err := os.Lstat(path); err != nil {
			return s
		}
		return sftptest.StatusOK
	}
}

// dropBox refuses every STAT, listing and removal.
func dropBox(more ...sftptest.Op) func(sftptest.Op, string) sftptest.Status {
	return sftptest.Refuse(sftptest.StatusPermissionDenied, append(more, sftptest.OpStat, sftptest.OpLstat, sftptest.OpFstat, sftptest.OpOpendir,
		sftptest.OpReadlink, sftptest.OpSetstat, sftptest.OpFsetstat, sftptest.OpRemove, sftptest.OpRead)...)
}

// refusedAtFirst refuses so many requests of a kind, one after the other.
func refusedAtFirst(op sftptest.Op, times int32) func(sftptest.Op, string) sftptest.Status {
	var left atomic.Int32
	left.Store(times)
	return func(is sftptest.Op, path string) sftptest.Status {
		if is == op && !strings.Contains(path, ".probe.") && left.Add(-1) >= 0 {
			return sftptest.StatusFailure
		}
		return sftptest.StatusOK
	}
}

// Files arrive on servers that refuse some of what is usually asked for.
func TestUploadsThatAskForLess(t *testing.T) {
	type quirk struct {
		faults     sftptest.Faults
		directOnly bool
	}
	for name, q := range map[string]quirk{
		"EXCL unsupported":      {faults: sftptest.Faults{FailOpen: refuseOpen(sftptest.StatusOpUnsupported, withExclusive)}},
		"EXCL a failure":        {faults: sftptest.Faults{FailOpen: refuseOpen(sftptest.StatusFailure, withExclusive)}},
		"EXCL no such file":     {faults: sftptest.Faults{FailOpen: refuseOpen(sftptest.StatusNoSuchFile, withExclusive)}},
		"needs TRUNC":           {faults: sftptest.Faults{FailOpen: refuseOpen(sftptest.StatusFailure, withoutTruncate)}},
		"letter box":            {faults: sftptest.Faults{Fail: dropBox(sftptest.OpRename, sftptest.OpExtended)}, directOnly: true},
		"letter box, renames":   {faults: sftptest.Faults{Fail: dropBox()}, directOnly: true},
		"missing is denied":     {faults: sftptest.Faults{Fail: missingIs(sftptest.StatusPermissionDenied)}},
		"missing is a failure":  {faults: sftptest.Faults{Fail: missingIs(sftptest.StatusFailure)}},
		"no LSTAT":              {faults: sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusOpUnsupported, sftptest.OpLstat)}},
		"no STAT":               {faults: sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpStat)}},
		"no FSTAT":              {faults: sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpFstat)}},
		"no REALPATH":           {faults: sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusOpUnsupported, sftptest.OpRealpath)}},
		"no REMOVE":             {faults: sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRemove)}},
		"no RENAME but posix":   {faults: sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRename)}},
		"no posix-rename":       {faults: sftptest.Faults{Without: []string{wire.PosixRenameExtension}}},
		"RENAME refused first":  {faults: sftptest.Faults{NoExtensions: true, Fail: refusedAtFirst(sftptest.OpRename, 2)}},
		"types, times not told": {faults: sftptest.Faults{Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoSize, a.NoTime, a.NoMode = true, true, true })}},
	} {
		for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
			if q.directOnly && way == "pending" {
				continue
			}
			t.Run(name+"/"+way, func(t *testing.T) {
				u, s := uploadFaulty(t, q.faults, change)
				u.must(u.Probe(t.Context()))
				u.wantFiles()
				for _, name := range []string{"a", "d/b"} {
					if stats, err := u.Stat(t.Context(), []string{name}); err != nil || !errors.Is(stats[0].Err, fs.ErrNotExist) {
						t.Errorf("%s: %+v, %v", name, stats, err)
					}
					_, err := u.deliver(name, []byte("data of "+name))
					u.must(err)
					u.want(name, []byte("data of "+name))
				}
				u.wantFiles("a", "d/b")

				// An existing file is not overwritten, whatever is refused.
				put(t, s.Endpoint, "theirs", []byte("theirs"))
				p, _, err := u.write("theirs", []byte("ours"))
				if err == nil {
					err = u.publish(p, nil)
				}
				if err == nil {
					t.Error("written over another's file")
				}
				if p != nil {
					_ = p.Abort(t.Context())
				}
				u.want("theirs", []byte("theirs"))
			})
		}
	}
}

// Settings of a real OpenSSH that refuse requests.
func TestUploadsToRestrictedOpenSSH(t *testing.T) {
	for settings, ways := range map[string]string{
		"-P stat":                               "pending direct",
		"-P lstat":                              "pending direct",
		"-P fstat":                              "pending direct",
		"-P stat,lstat,fstat,readlink,realpath": "pending direct",
		"-P remove":                             "pending direct",
		"-P rename":                             "pending direct",
		"-P posix-rename":                       "pending direct",
		"-P rename,posix-rename":                "direct",
		"-p open,close,write,realpath":          "direct",
		"-p open,close,write,rename":            "direct", // it shows no more that it is OpenSSH's
		"-P setstat,fsetstat,fsync,limits,statvfs":  "pending direct",
		"-P opendir,readdir,stat,lstat,fstat,fsync": "pending direct",
	} {
		for way := range strings.FieldsSeq(ways) {
			t.Run(settings+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{ForceCommand: "internal-sftp " + settings})
				u := uploadTo(t, s.Endpoint, func(c *Config) { c.Direct = way == "direct" })
				u.must(u.Probe(t.Context()))
				u.wantFiles()
				data := noise(20 << 20)
				for _, name := range []string{"a", "b"} {
					_, err := u.deliver(name, data)
					u.must(err)
					u.want(name, data)
				}
				u.wantFiles("a", "b")
				put(t, s.Endpoint, "theirs", []byte("theirs"))
				p, _, err := u.write("theirs", []byte("ours"))
				if err == nil {
					err = u.publish(p, nil)
				}
				if err == nil {
					t.Error("written over another's file")
				}
				u.want("theirs", []byte("theirs"))
			})
		}
	}
}

// Where no file could ever get its name, the probe says so, and what would help.
func TestProbeWhereNothingCanBeRenamed(t *testing.T) {
	for _, settings := range []string{"-P rename,posix-rename", "-p open,close,write,realpath,limits"} {
		t.Run(settings, func(t *testing.T) {
			s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{ForceCommand: "internal-sftp " + settings})
			u := uploadTo(t, s.Endpoint, nil)
			e, ok := errors.AsType[*status.Error](u.Probe(t.Context()))
			if !ok || e.Word != status.DestinationUnavailable || !strings.Contains(e.Hint, "files.upload_name: direct") {
				t.Errorf("%v; hint %q", e, e.Hint)
			}
			u.wantFiles()
		})
	}
}

// Where a directory can neither be seen nor made, a file's failure says so.
func TestDirectoryThatCannotBeMade(t *testing.T) {
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{ForceCommand: "internal-sftp -p open,close,write,realpath"})
	u := uploadTo(t, s.Endpoint, direct)
	_, err := u.deliver("sub/a", []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "make the directory sub: permission denied") || !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

// A server that may overwrite, and does not let us look first, gets nothing under a
// name that may be another's, unless the user says so.
func TestNothingHiddenIsOverwritten(t *testing.T) {
	unseen := sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpStat, sftptest.OpLstat, sftptest.OpReadlink)
	for name, f := range map[string]sftptest.Faults{
		"direct":  {Fail: unseen, FailOpen: refuseOpen(sftptest.StatusFailure, withExclusive)},
		"pending": {Fail: unseen, RenameReplaces: true, Without: []string{wire.PosixRenameExtension}},
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, f, func(c *Config) { c.Direct = name == "direct" })
			put(t, s.Endpoint, "x", []byte("theirs"))
			for range 2 { // what is known and what is not
				p, _, err := u.write("x", []byte("ours"))
				if err == nil {
					err = u.publish(p, nil)
				}
				hint, ok := errors.AsType[interface {
					error
					Hint() string
				}](err)
				if !ok || !strings.Contains(hint.Hint(), "files.on_conflict: overwrite") {
					t.Errorf("got %v", err)
				}
				if p != nil {
					u.must(p.Abort(t.Context()))
				}
				u.want("x", []byte("theirs"))
			}
			u.wantFiles("x")
			may := uploadTo(t, s.Endpoint, func(c *Config) { c.Direct, c.Overwrite = name == "direct", true })
			_, err := may.deliver("x", []byte("ours"))
			u.must(err)
			u.want("x", []byte("ours"))
			u.wantFiles("x")
		})
	}
}

// What a check tries is left nowhere, and given to nobody.
func TestProbeFile(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		u, s := uploadFaulty(t, sftptest.Faults{}, direct)
		u.must(u.Probe(t.Context()))
		if n := s.Counts().Ops[sftptest.OpOpen]; n > 0 || !strings.Contains(u.Untried(), "not tried") {
			t.Errorf("%d files were opened; %q", n, u.Untried())
		}
	})
	t.Run("cannot be removed", func(t *testing.T) {
		u, s := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRemove)}, nil)
		u.must(u.Probe(t.Context()))
		if u.wantFiles(); !strings.Contains(u.Untried(), "not tried") {
			t.Errorf("%q", u.Untried())
		}
		s.Set(func(f *sftptest.Faults) {
			f.Fail = sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRemove, sftptest.OpRename, sftptest.OpExtended)
		})
		if err := u.Probe(t.Context()); !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), "upload_name: direct") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("read only", func(t *testing.T) {
		s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{ForceCommand: "internal-sftp -R"})
		err := uploadTo(t, s.Endpoint, nil).Probe(t.Context())
		if !status.Is(err, status.DestinationUnavailable) || !strings.Contains(status.HintOf(err), "write here") {
			t.Errorf("got %v: %s", err, status.HintOf(err))
		}
	})
	t.Run("is taken", func(t *testing.T) {
		var taken atomic.Int32
		u, _ := uploadFaulty(t, sftptest.Faults{OnWritten: func(path string) {
			taken.Add(1)
			_ = os.Remove(path)
		}}, nil)
		if err := u.Probe(t.Context()); !strings.Contains(status.HintOf(err), "upload_name: direct") {
			t.Errorf("got %v: %s", err, status.HintOf(err))
		}
		if err := u.Probe(t.Context()); err != nil || taken.Load() > 1 {
			t.Errorf("again: %v; %d files were taken", err, taken.Load())
		}
		p, _, err := u.write("x", []byte("data"))
		u.must(err)
		if err := u.publish(p, nil); err == nil || !strings.Contains(err.Error(), "takes files away") {
			t.Errorf("a file: %v", err)
		}
	})
	t.Run("words", func(t *testing.T) {
		u, _ := uploadFaulty(t, sftptest.Faults{FailOpen: refuseOpen(sftptest.StatusFailure, func(uint32) bool { return true })}, nil)
		if err := u.Probe(t.Context()); !strings.Contains(err.Error(), "failure") || !strings.Contains(status.HintOf(err), "upload_name: direct") {
			t.Errorf("got %v: %s", err, status.HintOf(err))
		}
	})
}

// A file that a server does not let be gone on with begins anew.
func TestUploadsThatCannotGoOn(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"needs TRUNC":   {FailOpen: refuseOpen(sftptest.StatusFailure, withoutTruncate)},
		"truncates":     {TruncatesAtOpen: true},
		"in sequence":   {InSequence: true},
		"nothing there": {},
	} {
		for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
			t.Run(name+"/"+way, func(t *testing.T) {
				u, s := uploadFaulty(t, f, change)
				data := noise(100_000)
				e := uploadEntry("d/x", data)
				k := u.keep(e, data[:60_000])
				again := uploadTo(t, s.Endpoint, func(c *Config) { c.Limits, c.Direct = u.limits, way == "direct" })
				if name == "nothing there" {
					u.must(os.RemoveAll(u.at("d")))
				}
				again.must(again.goOn(e, k, data))
				u.want("d/x", data)
				u.wantFiles("d/x")

				// A part of one that a killed program has left is taken away.
				killed := uploadEntry("d/y", data)
				left := u.keep(killed, data[:50_000])
				id := left.ID
				if way == "direct" {
					id = filesync.InPlaceID
				}
				p, err := again.Begin(t.Context(), killed, &filesync.Checkpoint{ID: id})
				u.must(err)
				u.must(p.Abort(t.Context()))
				u.wantFiles("d/x")
			})
		}
	}
}

// Real servers of which some do not let a file be gone on with.
func TestInterruptedUploadToRealServers(t *testing.T) {
	for server, start := range realServers() {
		for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
			t.Run(server+"/"+way, func(t *testing.T) {
				t.Parallel()
				e := start(t)
				open := func(limits *Limits) *uploading {
					cfg := ownLogin(e)
					if cfg.Limits = limits; change != nil {
						change(&cfg)
					}
					return &uploading{t, openDestination(t, cfg), e.Root}
				}
				u := open(new(Limits))
				data := noise(12_000_000)
				for _, name := range []string{"x", "d/y"} { // the second knows of the first
					k := u.keep(uploadEntry(name, data), data[:9_000_000])
					again := open(u.limits)
					u.must(again.goOn(uploadEntry(name, data), k, data))
					u.want(name, data)
				}
				left := u.keep(uploadEntry("z", data), data[:9_000_000])
				if way == "direct" {
					left = filesync.Checkpoint{ID: filesync.InPlaceID}
				}
				p, err := open(u.limits).Begin(t.Context(), uploadEntry("z", data), &filesync.Checkpoint{ID: left.ID})
				u.must(err)
				u.must(p.Abort(t.Context()))
				u.wantFiles("d/y", "x")
			})
		}
	}
}

// keep writes the beginning of a file and leaves it.
func (u *uploading) keep(e filesync.Entry, data []byte) filesync.Checkpoint {
	u.Helper()
	p, err := u.Begin(u.Context(), e, nil)
	u.must(err)
	_, err = p.WriteAt(data, 0)
	u.must(err)
	k, err := p.Checkpoint(u.Context(), int64(len(data)))
	u.must(err)
	u.must(p.Keep())
	waitFor(u.T, func() bool { return u.handles.used() == 0 })
	return k
}

// goOn goes on with a file as a pass does.
func (u *uploading) goOn(e filesync.Entry, k filesync.Checkpoint, data []byte) error {
	for range 5 {
		from := k.Prefix
		p, err := u.Begin(u.Context(), e, &k)
		if errors.Is(err, fs.ErrNotExist) {
			from = 0
			p, err = u.Begin(u.Context(), e, nil)
		}
		if err != nil {
			return err
		}
		if _, err = p.WriteAt(data[from:], from); err == nil {
			_, err = p.Finish(u.Context())
		}
		if err == nil {
			return u.publish(p, nil)
		}
		u.must(p.Abort(u.Context()))
		if !errors.Is(err, filesync.ErrBeginAnew) {
			return err
		}
	}
	return errors.New("it never ends")
}

// Stands gives the entry as the server tells it after CLOSE and RENAME.
func TestPublishedEntry(t *testing.T) {
	later := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, f := range map[string]sftptest.Faults{
		"a time of its own": {OnWritten: func(path string) { _ = os.Chtimes(path, later, later) }},
		"no time":           {Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoTime = true })},
		"no size":           {Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoSize = true })},
		"as it was set":     {},
	} {
		for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
			t.Run(name+"/"+way, func(t *testing.T) {
				u, _ := uploadFaulty(t, f, change)
				p, _, err := u.write("x", []byte("data"))
				u.must(err)
				u.must(u.publish(p, nil))
				published, ok := p.(filesync.Standing).Stands()
				stats, err := u.Stat(t.Context(), []string{"x"})
				u.must(errors.Join(err, stats[0].Err))
				if !ok || !published.SameVersion(stats[0].Entry) || published.Name != "x" {
					t.Errorf("it stands as %+v, and is known as %+v, %v", stats[0].Entry, published, ok)
				}
				// The next version may replace it.
				if r, ok := filesync.Destination(u.Destination).(filesync.Replacer); ok && way == "direct" {
					p, err = r.BeginReplacing(t.Context(), uploadEntry("x", []byte("newer")), published)
				} else {
					p, err = u.Begin(t.Context(), uploadEntry("x", []byte("newer")), nil)
				}
				u.must(err)
				_, err = p.WriteAt([]byte("newer"), 0)
				u.must(err)
				_, err = p.Finish(t.Context())
				u.must(err)
				u.must(u.publish(p, &published))
				u.want("x", []byte("newer"))
			})
		}
	}
}

// A size that shows late is waited for, and one that never shows is a failure.
func TestSizeThatShowsLate(t *testing.T) {
	for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
		for name, shows := range map[string]bool{"late": true, "never": false} {
			t.Run(name+"/"+way, func(t *testing.T) {
				var mu sync.Mutex
				stats := map[string]int{}
				u, _ := uploadFaulty(t, sftptest.Faults{Attributes: sftptest.OfFiles(func(op sftptest.Op, path string, told *sftptest.Attributes) {
					mu.Lock()
					defer mu.Unlock()
					if stats[path]++; !shows || op == sftptest.OpFstat || stats[path] < 5 {
						told.Size = 0
					}
				})}, func(c *Config) {
					if change != nil {
						change(c)
					}
					if !shows {
						c.Timeouts.Operation = time.Second
					}
				})
				_, err := u.deliver("x", []byte("data"))
				if shows {
					u.must(err)
					u.want("x", []byte("data"))
					return
				}
				if err == nil || !strings.Contains(err.Error(), "the server has 0 bytes of it, not 4") {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}

// A server that cuts a file when it is closed has not taken it. One that tells more than
// was sent has, but does not confirm it.
func TestSizeThatIsAnotherAfterClose(t *testing.T) {
	for way, change := range map[string]func(*Config){"pending": func(*Config) {}, "direct": direct} {
		for name, more := range map[string]int64{"cut": -2, "longer": 3} {
			t.Run(name+"/"+way, func(t *testing.T) {
				u, _ := uploadFaulty(t, sftptest.Faults{Attributes: func(op sftptest.Op, path string, ok *sftptest.Attributes) {
					if op != sftptest.OpFstat && !ok.Dir {
						ok.Size += more
					}
				}}, func(c *Config) {
					change(c)
					c.Timeouts.Operation = time.Second
				})
				data := []byte("0123456789")
				p, _, err := u.write("x", data)
				u.must(err)
				err = u.publish(p, nil)
				if more < 0 {
					if err == nil || !strings.Contains(err.Error(), "the server has 8 bytes of it, not 10") {
						t.Errorf("got %v", err)
					}
					u.wantFiles()
					return
				}
				u.must(err)
				if e, ok := p.(filesync.Standing).Stands(); !ok || e.Size != 13 {
					t.Errorf("it stands as %+v, %v", e, ok)
				}
				u.want("x", data)
			})
		}
	}
}
