package sftp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

func TestDirectConflict(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) sftptest.Endpoint{
		"OpenSSH": func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
		},
		"ProFTPD": func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}).Endpoint
		},
		"plain": func(t *testing.T) sftptest.Endpoint { return sftptest.StartFaulty(t, sftptest.Faults{}).Endpoint },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t)
			u := uploadTo(t, e, direct)
			standing := put(t, e, "d/x", []byte("theirs"))
			u.must(errors.Join(os.Symlink("d/x", u.at("link")), os.Symlink("none", u.at("dangling")), os.Mkdir(u.at("dir"), 0o755)))
			for _, name := range []string{"d/x", "link", "dangling", "dir"} {
				if _, err := u.Begin(t.Context(), uploadEntry(name, []byte("ours")), nil); !errors.Is(err, filesync.ErrConflict) {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, other := range []filesync.Entry{{Name: "d/x", Size: 5, ModTime: old}, {Name: "d/x", Size: 6, ModTime: old.Add(time.Second)}} {
				if _, err := u.BeginReplacing(t.Context(), uploadEntry("d/x", []byte("ours")), other); !errors.Is(err, filesync.ErrConflict) {
					t.Errorf("another version: %v", err)
				}
			}
			u.want("d/x", []byte("theirs"))

			p, err := u.BeginReplacing(t.Context(), uploadEntry("d/x", []byte("new")), standing)
			u.must(err)
			_, err = p.WriteAt([]byte("new"), 0)
			u.must(err)
			got, err := p.Finish(t.Context())
			if err != nil || !got.SameVersion(uploadEntry("d/x", []byte("new"))) {
				t.Errorf("%+v, %v", got, err)
			}
			u.must(u.publish(p, &standing))
			u.want("d/x", []byte("new"))
			stats, err := u.Stat(t.Context(), []string{"d/x"})
			if u.must(err); !stats[0].Entry.SameVersion(got) {
				t.Errorf("closed, it stands as %+v, not as %+v", stats[0].Entry, got)
			}

			// A file that its reader took before it is replaced is made anew.
			u.must(os.Remove(u.at("d/x")))
			p, err = u.BeginReplacing(t.Context(), uploadEntry("d/x", nil), got)
			u.must(err)
			_, err = p.Finish(t.Context())
			u.must(err)
			u.must(u.publish(p, &got))
			u.want("d/x", nil)
		})
	}
}

// A name that may be another file's is left alone, and the other files arrive.
func TestTakenNameConcernsOneFile(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{Fail: dropBox(sftptest.OpRename, sftptest.OpExtended)}, direct)
	put(t, s.Endpoint, "theirs", []byte("theirs"))
	_, _, err := u.write("theirs", []byte("ours"))
	if status.Is(err, status.DestinationUnavailable) {
		t.Errorf("a failure of the whole destination: %v", err)
	}
	wantAdvice(t, err, "files.on_conflict: overwrite")
	u.want("theirs", []byte("theirs"))
	_, err = u.deliver("x", []byte("ours"))
	u.must(err)
	u.want("x", []byte("ours"))
}

// A file that was made for a caller that is gone is removed before it is closed, also
// where no OPEN shows that the file is ours.
func TestDirectLeavesNoEmptyFile(t *testing.T) {
	for name, refused := range map[string]bool{"EXCL": false, "no EXCL": true} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, direct)
			if refused {
				s.Set(func(f *sftptest.Faults) { f.FailOpen = refuseOpen(sftptest.StatusFailure, withExclusive) })
			}
			_, err := u.deliver("a", []byte("a"))
			u.must(err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			made, closed := make(chan struct{}), make(chan int64, 1)
			gone := make(chan struct{})
			s.Set(func(f *sftptest.Faults) {
				open := f.FailOpen
				f.FailOpen = func(path string, flags uint32) sftptest.Status {
					if open != nil {
						if status := open(path, flags); status != sftptest.StatusOK {
							return status
						}
					}
					close(made) // or about to be
					<-gone
					return sftptest.StatusOK
				}
				f.OnWritten = func(path string) {
					if info, err := os.Stat(path); err == nil {
						closed <- info.Size()
					} else {
						closed <- -1
					}
				}
			})
			begun := make(chan error, 1)
			go func() {
				_, err := u.Begin(ctx, uploadEntry("x", []byte("data")), nil)
				begun <- err
			}()
			<-made
			cancel()
			if err := <-begun; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			close(gone)
			if size := <-closed; size >= 0 {
				t.Errorf("its receiver is told of a file of %d bytes", size)
			}
		})
	}
}

// No receiver sees a file that is given up, as it is removed before it is closed.
func TestDirectAbort(t *testing.T) {
	for name, fail := range map[string]func(sftptest.Op, string) sftptest.Status{
		"removed while open": nil,
		"removed when closed": func() func(sftptest.Op, string) sftptest.Status {
			refused := false // the first REMOVE
			return func(op sftptest.Op, _ string) sftptest.Status {
				if op != sftptest.OpRemove || refused {
					return sftptest.StatusOK
				}
				refused = true
				return sftptest.StatusFailure
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, sftptest.Faults{}, direct)
			s.Set(func(f *sftptest.Faults) {
				f.Fail = fail
				f.OnWritten = func(p string) {
					if _, err := os.Lstat(p); err == nil && fail == nil {
						t.Errorf("%s stands when it is closed", p)
					}
				}
			})
			p, err := u.Begin(t.Context(), uploadEntry("half", noise(1000)), nil)
			u.must(err)
			_, err = p.WriteAt(noise(500), 0)
			u.must(err)
			u.must(p.Abort(t.Context()))
			u.wantFiles()
		})
	}
}

// A partial file under its own name is resumed if a checkpoint names it, and removed if
// an intent does. A file that may be another's is left alone.
func TestDirectResume(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{}, direct)
	data := noise(10_000)
	e := uploadEntry("d/x", data)
	p, err := u.Begin(t.Context(), e, nil)
	u.must(err)
	_, err = p.WriteAt(data[:6000], 0)
	u.must(err)
	k, err := p.Checkpoint(t.Context(), 6000)
	if u.must(err); k.Prefix != 6000 || k.ID != p.ID() {
		t.Errorf("%+v", k)
	}
	closes := s.Counts().Ops[sftptest.OpClose]
	u.must(p.Keep())
	waitFor(t, func() bool { return s.Counts().Ops[sftptest.OpClose] == closes+1 })
	again := uploadTo(t, s.Endpoint, direct)
	p, err = again.Begin(t.Context(), e, &filesync.Checkpoint{ID: k.ID, Prefix: 4000})
	u.must(err)
	if p.ID() != k.ID {
		t.Errorf("its id is %s, was %s", p.ID(), k.ID)
	}
	_, err = p.WriteAt(data[4000:], 4000)
	u.must(err)
	got, err := p.Finish(t.Context())
	u.must(err)
	// If it was killed before it was published, an intent finds the whole file.
	if _, err := u.Begin(t.Context(), got, &filesync.Checkpoint{ID: k.ID}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a whole file is pending: %v", err)
	}
	u.must(again.publish(p, nil))
	u.want("d/x", data)

	for name, test := range map[string]struct {
		stands string
		prefix int64
		ours   bool
	}{
		"whole":            {"wanted one", 3, false},
		"half":             {"01234", 0, true},
		"shorter":          {"01234", 6, false},
		"longer":           {"0123456789a", 3, false},
		"as long, by name": {"0123456789", 0, false},
	} {
		put(t, s.Endpoint, "y", []byte(test.stands))
		if name != "whole" {
			u.must(os.Chtimes(u.at("y"), time.Now(), time.Now()))
		}
		p, err := u.Begin(t.Context(), uploadEntry("y", []byte("0123456789")), &filesync.Checkpoint{ID: k.ID, Prefix: test.prefix})
		if test.ours != (err == nil) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			u.must(p.Abort(t.Context()))
		}
		if _, err := os.Stat(u.at("y")); (err == nil) == test.ours {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Files under their own names stay open until their batch is published. Batches keep to
// the handles that a server allows.
func TestDirectOpensNoMoreThanItMay(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{"many": {}, "eight": {MaxOpenFiles: 8}} {
		t.Run(name, func(t *testing.T) {
			u, s := uploadFaulty(t, f, direct)
			finished := make(chan filesync.Pending, 1000)
			const files = 400
			go func() {
				for range files {
					go func() {
						p, _, err := u.write(time.Now().String(), []byte("data"))
						if err != nil {
							t.Error(err)
						}
						finished <- p
					}()
				}
			}()
			for left := files; left > 0; {
				batch := []filesync.Publication{{Pending: <-finished}}
				for len(finished) > 0 {
					batch = append(batch, filesync.Publication{Pending: <-finished})
				}
				left -= len(batch)
				for _, err := range u.Publish(t.Context(), batch) {
					u.must(err)
				}
			}
			most := maxOpen
			if f.MaxOpenFiles > 0 {
				most = f.MaxOpenFiles
			}
			if n := s.Counts().PeakOpenFiles; n > most {
				t.Errorf("%d files were open at a time", n)
			}
			if n := len(u.files()); n != files {
				t.Errorf("%d files arrived", n)
			}
		})
	}
}

// A server that opens no directory has not shown that it gives each handle out once.
// The next connection tries again, once.
func TestHandlesThatCouldNotBeTried(t *testing.T) {
	u, s := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpOpendir)}, direct)
	for _, name := range []string{"a", "b", "c"} {
		_, err := u.deliver(name, []byte(name))
		u.must(err)
	}
	if n := s.Counts().Ops[sftptest.OpOpendir]; n > 4 || u.limits.handlesProbed.Load() {
		t.Errorf("%d directories were asked for; known: %v", n, u.limits.handlesProbed.Load())
	}
	s.Set(func(f *sftptest.Faults) {
		f.Fail, f.ReuseHandle = nil, func(open int) bool { return open > 0 }
	})
	again := uploadTo(t, s.Endpoint, func(c *Config) { c.Direct, c.Limits = true, u.limits })
	data := noise(5000)
	entries := []filesync.Entry{uploadEntry("d", data), uploadEntry("e", data), uploadEntry("f", data)}
	u.must(uploadAll(t.Context(), again.Destination, entries, data))
	for _, e := range entries {
		again.want(e.Name, data)
	}
	if !u.limits.handlesProbed.Load() || u.limits.channelHandles.Load() != 1 {
		t.Errorf("known: %v; handles on a channel: %d", u.limits.handlesProbed.Load(), u.limits.channelHandles.Load())
	}
}
