package sftp

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// ownLogin is the configuration for whatever login a server has.
func ownLogin(e sftptest.Endpoint) Config {
	if e.Password != "" {
		return byPassword(e)
	}
	return byKey(e)
}

// realServers are servers of Debian, by what they do to files that are opened for
// writing more than once.
func realServers() map[string]func(t *testing.T) sftptest.Endpoint {
	return map[string]func(t *testing.T) sftptest.Endpoint{
		"OpenSSH": func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
		},
		"ProFTPD": func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}).Endpoint
		},
		"Erlang": func(t *testing.T) sftptest.Endpoint { return sftptest.StartErlang(t).Endpoint },
		"rclone": func(t *testing.T) sftptest.Endpoint { return sftptest.StartRclone(t).Endpoint },
	}
}

// deliverWhole uploads as a pass does: a copy that has to begin anew does so.
func (u *uploading) deliverWhole(name string, data []byte) error {
	for {
		p, _, err := u.write(name, data)
		if err == nil {
			return u.publish(p, nil)
		}
		if p != nil {
			u.must(p.Abort(u.Context()))
		}
		if !errors.Is(err, filesync.ErrBeginAnew) {
			return err
		}
	}
}

// A large file arrives byte for byte, on servers that truncate a file whenever it is
// opened for writing, on those that take it in sequence only, and on all others. It is
// long enough that more channels would be used if the server allowed that.
func TestLargeUploadToRealServers(t *testing.T) {
	for server, start := range realServers() {
		for way, change := range map[string]func(*Config){"pending": nil, "direct": direct} {
			t.Run(server+"/"+way, func(t *testing.T) {
				t.Parallel()
				e := start(t)
				limits := new(Limits)
				limits.roundTrip.Store(int64(farAway)) // use all channels at once
				cfg := ownLogin(e)
				cfg.Limits = limits
				if change != nil {
					change(&cfg)
				}
				u := &uploading{t, openDestination(t, cfg), e.Root}
				data := noise(60_000_000)
				for _, name := range []string{"large", "d/larger"} { // unknown to us, and known
					u.must(u.deliverWhole(name, data))
					u.want(name, data)
				}
				u.wantFiles("d/larger", "large")
				want := featureAbsent
				switch {
				case way == "direct":
					want = 0 // nothing was tried
				case server == "OpenSSH":
					want = featureWorks
				case server == "ProFTPD": // one channel only
					want = 0
				}
				if got := limits.parallelWrites.state.Load(); got != want {
					t.Errorf("learnt about a second handle: %d, not %d", got, want)
				}
			})
		}
	}
}

// A server that drops, cuts or mixes what comes through a second handle is written
// to through one.
func TestLargeUploadToOneThatTruncates(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"truncates":        {TruncatesAtOpen: true},
		"its own copies":   {OwnCopies: true},
		"one writer":       {OneWriter: true},
		"in sequence only": {InSequence: true},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			opened := map[string]int{}
			f.Fail = func(op sftptest.Op, path string) sftptest.Status {
				mu.Lock()
				defer mu.Unlock()
				if op == sftptest.OpOpen {
					opened[path]++
				}
				return sftptest.StatusOK
			}
			f.Delay = time.Millisecond
			limits := new(Limits)
			limits.roundTrip.Store(int64(farAway))
			u, _ := uploadFaulty(t, f, func(c *Config) { c.Limits = limits })
			data := noise(5 * largeFile)
			for _, name := range []string{"a", "b"} {
				_, err := u.deliver(name, data)
				u.must(err)
				u.want(name, data)
			}
			if name != "its own copies" { // those it keeps
				u.wantFiles("a", "b")
			}
			if !limits.parallelWrites.absent() {
				t.Error("it was not learnt that there is one handle only")
			}
			mu.Lock()
			defer mu.Unlock()
			for path, n := range opened {
				if base := filepath.Base(path); n > 1 && strings.HasPrefix(base, ".b.") {
					t.Errorf("%s was opened %d times", base, n)
				}
			}
		})
	}
}

// A server that passes the probe and still mixes the bytes of a large file is found
// out: the copy begins anew, through one handle.
func TestLargeUploadOfMixedContents(t *testing.T) {
	limits := new(Limits)
	limits.roundTrip.Store(int64(farAway))
	limits.parallelWrites.state.Store(featureWorks)
	u, s := uploadFaulty(t, sftptest.Faults{Delay: time.Millisecond}, func(c *Config) { c.Limits = limits })
	data := noise(8 * largeFile)
	p, err := u.Begin(t.Context(), uploadEntry("x", data), nil)
	u.must(err)
	_, err = p.WriteAt(data, 0)
	u.must(err)
	f := p.(*pendingFile)
	f.stopWidening()
	if len(f.channels) < 2 {
		t.Fatal("it was written through one handle")
	}
	u.must(f.drain(t.Context()))
	damaged := bytes.Clone(data[:1000]) // as a server that truncates leaves it
	clear(damaged)
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	u.must(err)
	_, err = file.WriteAt(damaged, 0)
	u.must(errors.Join(err, file.Close()))
	if _, err := p.Finish(t.Context()); !errors.Is(err, filesync.ErrBeginAnew) {
		t.Errorf("got %v", err)
	}
	u.must(p.Abort(t.Context()))
	s.ResetCounts()
	u.must(u.deliverWhole("x", data))
	u.want("x", data)
	if n := s.Counts().Ops[sftptest.OpOpen]; n != 1 {
		t.Errorf("opened %d times afterwards", n)
	}
}

// No probe is left on a server that does not let files be removed.
func TestNoProbeWhereNothingCanBeRemoved(t *testing.T) {
	limits := new(Limits)
	limits.roundTrip.Store(int64(farAway))
	u, _ := uploadFaulty(t, sftptest.Faults{Fail: sftptest.Refuse(sftptest.StatusPermissionDenied, sftptest.OpRemove)}, func(c *Config) { c.Limits = limits })
	data := noise(5 * largeFile)
	_, err := u.deliver("x", data)
	u.must(err)
	u.want("x", data)
	u.wantFiles("x")
}
