package connector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// upload is a rig that copies from a local directory to the server.
type upload struct {
	*rig
	from string
}

func newUpload(t *testing.T, e sftptest.Endpoint, adjust ...func(*upload)) *upload {
	u := &upload{from: filepath.Join(t.TempDir(), "from")}
	if err := os.Mkdir(u.from, 0o755); err != nil {
		t.Fatal(err)
	}
	u.rig = newRig(t, e, func(r *rig) {
		u.rig = r
		r.dir = filepath.Join(e.Root, "in")
		r.cfg.Direction = config.Upload
		r.cfg.Files.SourceDirectoryPath, r.cfg.Files.DestinationDirectoryPath = u.from, r.dir
		r.cfg.Files.UploadName = config.UploadPending
		r.sftp.Root = r.dir
		r.parts.Source = func(context.Context, *config.Connector, status.Observer) (connector.Source, error) {
			s, err := local.OpenSource(u.from)
			if err != nil {
				return nil, err
			}
			return s, nil
		}
		r.parts.Destination = func(ctx context.Context, own *config.Connector, _ int64, observe status.Observer) (filesync.Destination, error) {
			cfg := r.sftp
			cfg.Owner, cfg.Direct = pending.NewOwner(r.ledger.Owner(), "c", 0), own.Files.UploadName == config.UploadDirect
			d, err := sftp.OpenDestination(ctx, cfg, observe)
			if err != nil {
				return nil, err
			}
			return d, nil
		}
		for _, a := range adjust {
			a(u)
		}
	})
	return u
}

func direct(u *upload) { u.cfg.Files.UploadName = config.UploadDirect }

// local puts files in the local directory; every so many bytes are of their own.
func (u *upload) local(n, size int) map[string][]byte {
	u.t.Helper()
	all := map[string][]byte{}
	for i := range n {
		name := fmt.Sprintf("d%d/e%d/file %d é.csv", i%7, i%3, i)
		data := []byte(strings.Repeat(fmt.Sprintf("%08d", i), size/8+1)[:size])
		all[name] = data
		write(u.t, filepath.Join(u.from, filepath.FromSlash(name)), data, old.Add(time.Duration(i)*time.Second))
	}
	return all
}

// big puts one large file there. all gets its name alone: under the race detector
// a gigabyte in memory costs five.
func (u *upload) big(all map[string][]byte, size int) {
	u.t.Helper()
	all["big.bin"] = nil
	block := make([]byte, 1<<20)
	f, err := os.Create(filepath.Join(u.from, "big.bin"))
	for at := 0; at < size && err == nil; at += len(block) {
		for i := range block {
			block[i] = byte((at + i) * 7 >> 8)
		}
		_, err = f.Write(block[:min(len(block), size-at)])
	}
	if err := errors.Join(err, f.Close(), os.Chtimes(f.Name(), old, old)); err != nil {
		u.t.Fatal(err)
	}
}

// same reports whether a file at the server has the contents of its original.
func (u *upload) same(name string) bool {
	here, err := os.Open(filepath.Join(u.from, filepath.FromSlash(name)))
	if err != nil {
		return false
	}
	defer here.Close()
	there, err := os.Open(filepath.Join(u.dir, filepath.FromSlash(name)))
	if err != nil {
		return false
	}
	defer there.Close()
	want, got := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(here, want)
		m, other := io.ReadFull(there, got)
		if n != m || !errors.Is(other, err) || !bytes.Equal(want[:n], got[:m]) {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		}
	}
}

// arrived checks the contents of all files at the server, with their times if
// it keeps them, and that nothing else stands there.
func (u *upload) arrived(all map[string][]byte, times bool) {
	u.t.Helper()
	wrong := 0
	for name := range all {
		original, oerr := os.Stat(filepath.Join(u.from, filepath.FromSlash(name)))
		sent, serr := os.Stat(filepath.Join(u.dir, filepath.FromSlash(name)))
		if oerr != nil || serr != nil || !u.same(name) || times && sent.ModTime().Unix() != original.ModTime().Unix() {
			if wrong++; wrong < 5 {
				u.t.Errorf("%s: other contents, or another time (%v %v)", name, oerr, serr)
			}
		}
	}
	if n := len(u.standing()); n != len(all) || wrong > 0 {
		u.t.Errorf("%d files stand there, want %d; %d are wrong", n, len(all), wrong)
	}
}

// TestUpload: a tree arrives, a second pass sends nothing, and what was sent
// once is never sent again. SOAK=1: with a large file of 1 GiB.
func TestUpload(t *testing.T) {
	large := 24 << 20
	if os.Getenv("SOAK") != "" {
		large = 1 << 30
	}
	refusing := sftptest.Faults{Fail: func(op sftptest.Op, _ string) sftptest.Status {
		switch op {
		case sftptest.OpRename, sftptest.OpSetstat, sftptest.OpFsetstat:
			return sftptest.StatusOpUnsupported
		}
		return sftptest.StatusOK
	}, NoExtensions: true, NoReadWrite: true}
	ssh := func(t *testing.T) sftptest.Endpoint {
		return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	}
	for name, server := range map[string]struct {
		start  func(t *testing.T) sftptest.Endpoint
		files  int
		times  bool
		adjust []func(*upload)
	}{
		"OpenSSH":         {start: ssh, files: 2000, times: true},
		"OpenSSH, direct": {start: ssh, files: 400, times: true, adjust: []func(*upload){direct}},
		"ProFTPD": {start: func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}).Endpoint
		}, files: 2000, times: true},
		"a server that refuses rename, setstat and reading": {start: func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartFaulty(t, refusing).Endpoint
		}, files: 2000, adjust: []func(*upload){direct}},
		"one channel": {start: func(t *testing.T) sftptest.Endpoint {
			return sftptest.StartFaulty(t, sftptest.Faults{MaxChannels: 1}).Endpoint
		}, files: 400, times: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpload(t, server.start(t), server.adjust...)
			all := u.local(server.files, 2500)
			u.big(all, large)
			p := u.apply()
			u.want(p, filesync.Succeeded, sprint("copied", len(all)))
			t.Logf("%d files, one of %d bytes, in %s", len(all), large, p.Result.Finished.Sub(p.Result.Started).Round(time.Millisecond))
			u.arrived(all, server.times)
			u.want(u.apply(), filesync.Succeeded, sprint("present", len(all)))
			// The receiver takes one away, and another one changes here.
			if err := os.Remove(filepath.Join(u.dir, "big.bin")); err != nil {
				t.Fatal(err)
			}
			changed := "d2/e2/file 2 é.csv"
			all[changed] = []byte("changed")
			write(t, filepath.Join(u.from, changed), all[changed], old.Add(time.Hour))
			u.want(u.apply(), filesync.Succeeded, sprint("copied", 1, "present", len(all)-1))
			delete(all, "big.bin")
			u.arrived(all, server.times)
		})
	}
}

// TestUploadIsCut: wherever the connection breaks, everything is there in the
// end, and until then nothing wrong under a final name, if that comes last.
func TestUploadIsCut(t *testing.T) {
	for _, name := range []config.UploadName{config.UploadPending, config.UploadDirect} {
		t.Run(string(name), func(t *testing.T) { t.Parallel(); testCut(t, name) })
	}
}

func testCut(t *testing.T, name config.UploadName) {
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	relay := sftptest.StartRelay(t, e.Addr, 2*time.Millisecond)
	u := newUpload(t, e.Via(t, relay.Addr), func(u *upload) { u.cfg.Files.UploadName = name })
	all := u.local(500, 20_000)
	u.big(all, 32<<20)
	cutting, end := context.WithCancel(t.Context())
	var cutter sync.WaitGroup
	cutter.Go(func() {
		for range 20 {
			select {
			case <-cutting.Done():
				return
			case <-time.After(time.Duration(20+rand.IntN(400)) * time.Millisecond):
				relay.Cut()
			}
		}
	})
	defer cutter.Wait()
	defer end()
	for try := 0; ; try++ {
		p := u.apply()
		for _, file := range u.standing() {
			if name == config.UploadDirect {
				break // parts may stand there
			}
			if !strings.HasSuffix(file, ".part") && !u.same(file) {
				t.Fatalf("%s stands there with other contents", file)
			}
		}
		if p.Result.Outcome == filesync.Succeeded {
			break
		}
		if try == 30 {
			t.Fatalf("it does not end: %s %v", p.Result.Outcome, p.Result.Err)
		}
	}
	end()
	cutter.Wait()
	u.want(u.apply(), filesync.Succeeded, sprint("present", len(all)))
	u.arrived(all, true)
}

// TestUploadIsTaken: a receiver that takes each file as soon as it sees it gets
// each of them whole, and once.
func TestUploadIsTaken(t *testing.T) {
	for _, name := range []config.UploadName{config.UploadPending, config.UploadDirect} {
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
			u := newUpload(t, e, func(u *upload) {
				u.cfg.Files.UploadName = name
				u.cfg.Files.AfterCopy = config.AfterCopy{Action: config.Delete}
			})
			all := u.local(300, 5000)
			taken := map[string]int{}
			take := func() {
				filepath.WalkDir(u.dir, func(p string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() || strings.HasSuffix(p, ".part") {
						return nil
					}
					rel, _ := filepath.Rel(u.dir, p)
					want, ours := all[filepath.ToSlash(rel)]
					info, err := d.Info()
					// Under its own name a file is whole when it has its size: 5000 bytes.
					if err != nil || !ours || name == config.UploadDirect && info.Size() < int64(len(want)) {
						return nil
					}
					if got, err := os.ReadFile(p); err != nil || string(got) != string(want) {
						t.Errorf("%s: %d bytes of %d, %v", rel, len(got), len(want), err)
					}
					taken[filepath.ToSlash(rel)]++
					return os.Remove(p)
				})
			}
			run, err := u.connector.Apply()
			if err != nil {
				t.Fatal(err)
			}
			for done := false; !done; {
				select {
				case <-run.Done():
					done = true
				default:
				}
				take()
			}
			p, err := run.Report()
			if err != nil {
				t.Fatal(err)
			}
			u.want(p, filesync.Succeeded, sprint("copied", len(all)))
			for file := range all {
				if taken[file] != 1 {
					t.Errorf("%s was taken %d times", file, taken[file])
				}
			}
			if left, _ := filepath.Glob(filepath.Join(u.from, "*", "*", "*")); len(left) != 0 {
				t.Errorf("%d originals are left", len(left))
			}
			u.want(u.apply(), filesync.Succeeded, "")
		})
	}
}

// TestUploadStatus: each end has its word, and the check its stages.
func TestUploadStatus(t *testing.T) {
	t.Parallel()
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	u := newUpload(t, e)
	check := func(word status.Word, last string) {
		t.Helper()
		c := u.connector.Check(t.Context(), nil)
		if n := len(c.Stages); c.ConnectionStatus != string(word) || n == 0 || c.Stages[n-1].Stage != last || c.Stages[n-1].OK != (word == status.ConnectionValid) {
			t.Errorf("%s, want %s at %s: %+v", c.ConnectionStatus, word, last, c.Stages)
		}
		if p := u.apply(); (word != status.ConnectionValid) != (p.Result.Outcome == filesync.Failed) || p.Status != word {
			t.Errorf("Apply: %s %s (%v), want %s", p.Result.Outcome, p.Status, p.Result.Err, word)
		}
	}
	check(status.ConnectionValid, status.StageDestination)
	names := []string{}
	for _, s := range u.connector.Check(t.Context(), nil).Stages {
		names = append(names, s.Stage)
	}
	if got := strings.Join(names, " "); got != "resolve connect handshake host-key authenticate sftp list destination" {
		t.Errorf("stages: %s", got)
	}
	away := u.from + " away"
	if err := os.Rename(u.from, away); err != nil {
		t.Fatal(err)
	}
	check(status.SourceDirectoryNotFound, status.StageList)
	if err := os.Rename(away, u.from); err != nil {
		t.Fatal(err)
	}
	u.sftp.Root = filepath.Join(e.Root, "not", "there", "at all")
	check(status.DestinationUnavailable, status.StageDestination)
	u.sftp.Root = u.dir
	u.sftp.Username = "nobody-of-that-name"
	check(status.AuthenticationFailed, status.StageAuthenticate)
}
