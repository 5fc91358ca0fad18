package connector_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/status"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	filesync "sftpconnector/sync"
)

// share is a rig whose destination is a directory on a share.
type share struct {
	*rig
	smb      *smbtest.Server
	password atomic.Value // string: what the connector logs in with
}

func newShare(t *testing.T, e sftptest.Endpoint, o smbtest.Options) *share {
	s := &share{smb: smbtest.Start(t, o)}
	s.password.Store(s.smb.Password)
	s.rig = newRig(t, e, func(r *rig) {
		r.dir = filepath.Join(s.smb.Dir, "in")
		r.parts.Destination = func(ctx context.Context, _ *config.Connector, _ int64, _ status.Observer) (filesync.Destination, error) {
			target, err := smb.Parse("smb://" + s.smb.Addr + "/" + s.smb.Share + "/in")
			if err != nil {
				return nil, err
			}
			d, err := smb.Open(ctx, smb.Config{Target: target, Username: s.smb.User, Password: s.password.Load().(string), Owner: pending.NewOwner(r.ledger.Owner(), "c", 0)})
			if err != nil {
				return nil, err
			}
			return d, nil
		}
	})
	return s
}

// files puts n files of so many bytes on the server.
func files(t *testing.T, e sftptest.Endpoint, n, size int) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for i := range n {
		name := fmt.Sprintf("d%d/e%d/file %d é.csv", i%7, i%3, i)
		data := []byte(strings.Repeat(fmt.Sprintf("%08d", i), size/8+1)[:size])
		all[name] = data
		put(t, e, name, data, old.Add(time.Duration(i)*time.Second))
	}
	return all
}

// wantAll checks contents and times of all files, and that nothing else stands there.
func (s *share) wantAll(all map[string][]byte) {
	s.t.Helper()
	wrong := 0
	for name, data := range all {
		at := filepath.Join(s.dir, filepath.FromSlash(name))
		got, err := os.ReadFile(at)
		original, oerr := os.Stat(filepath.Join(s.e.Root, filepath.FromSlash(name)))
		copied, cerr := os.Stat(at)
		if err != nil || oerr != nil || cerr != nil || string(got) != string(data) || !copied.ModTime().Truncate(time.Second).Equal(original.ModTime()) {
			if wrong++; wrong < 5 {
				s.t.Errorf("%s: %d bytes of %d, or another time (%v %v %v)", name, len(got), len(data), err, oerr, cerr)
			}
		}
	}
	if n := len(s.standing()); n != len(all) || wrong > 0 {
		s.t.Errorf("%d files stand there, want %d; %d are wrong", n, len(all), wrong)
	}
}

// whole checks that what stands under final names is whole.
func (s *share) whole(all map[string][]byte) {
	s.t.Helper()
	for _, name := range s.standing() {
		if strings.HasSuffix(name, ".part") {
			continue
		}
		if got, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name))); err != nil || string(got) != string(all[name]) {
			s.t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(all[name]), err)
		}
	}
}

// failsWith checks that a pass failed with the word of shares, the cause and a hint.
func (s *share) failsWith(p connector.PassReport, cause string) {
	s.t.Helper()
	h := s.connector.Report().Health
	if p.Result.Outcome != filesync.Failed || p.Status != status.DestinationUnavailable || !strings.Contains(fmt.Sprint(p.Result.Err), cause) {
		s.t.Errorf("%s %s: %v; want %q in it", p.Result.Outcome, p.Status, p.Result.Err, cause)
	}
	if h.Status != status.DestinationUnavailable || h.Hint == "" || strings.Contains(h.Error+h.Hint, s.smb.Password) {
		s.t.Errorf("the status: %+v", h)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	s := newShare(t, e, smbtest.Options{})
	all := files(t, e, 2000, 3000)
	s.want(s.apply(), filesync.Succeeded, sprint("copied", 2000))
	s.wantAll(all)
	s.want(s.apply(), filesync.Succeeded, sprint("present", 2000))
	// As a Windows program sees it.
	if out := s.smb.Client(`allinfo "in/d1/e1/file 1 é.csv"`); !strings.Contains(out, "write_time:") || !strings.Contains(out, "3000 bytes") {
		t.Errorf("allinfo: %s", out)
	}
	// One is taken away, one edited, one changes.
	if err := os.Remove(filepath.Join(s.dir, "d0/e0/file 0 é.csv")); err != nil {
		t.Fatal(err)
	}
	put(t, e, "d2/e2/file 2 é.csv", []byte("changed"), old.Add(time.Hour))
	all["d2/e2/file 2 é.csv"] = []byte("changed")
	s.want(s.apply(), filesync.Succeeded, sprint("copied", 2, "present", 1998))
	s.wantAll(all)
}

// TestShareRefuses: each refusal has its cause, and the next pass completes.
func TestShareRefuses(t *testing.T) {
	t.Parallel()
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	s := newShare(t, e, smbtest.Options{})
	all := files(t, e, 30, 1000)
	s.smb.SetPassword("another password")
	s.failsWith(s.apply(), "password")
	s.password.Store("another password")
	s.smb.SetReadOnly(true)
	s.failsWith(s.apply(), "")
	s.whole(all)
	s.smb.Stop()
	s.failsWith(s.apply(), "refused")
	s.smb.Restart()
	s.smb.SetReadOnly(false)
	s.want(s.apply(), filesync.Succeeded, sprint("copied", 30))
	s.wantAll(all)
}

// begin starts an Apply over many files and gives what waits for so many of them.
func (s *share) begin() (all map[string][]byte, run *connector.Run, arrived func(n int)) {
	s.t.Helper()
	all = files(s.t, s.e, 600, 20_000)
	all["big"] = make([]byte, 32<<20)
	put(s.t, s.e, "big", all["big"], old)
	run, err := s.connector.Apply()
	if err != nil {
		s.t.Fatal(err)
	}
	return all, run, func(n int) {
		s.t.Helper()
		await(s.t, fmt.Sprintf("%d files", n), func() bool { return len(s.standing()) >= n })
	}
}

// TestShareIsCut: the pass goes on over another connection.
func TestShareIsCut(t *testing.T) {
	t.Parallel()
	s := newShare(t, sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint, smbtest.Options{})
	all, run, arrived := s.begin()
	for _, n := range []int{50, 300} {
		arrived(n)
		s.smb.Cut()
		s.whole(all)
	}
	<-run.Done()
	p, err := run.Report()
	if err != nil {
		t.Fatal(err)
	}
	s.want(p, filesync.Succeeded, sprint("copied", len(all)))
	if p.Result.Files.Seen != int64(len(all)) {
		t.Errorf("%d files seen of %d", p.Result.Files.Seen, len(all))
	}
	s.wantAll(all)
}

// TestShareIsLost: the server goes away in the middle.
func TestShareIsLost(t *testing.T) {
	t.Parallel()
	s := newShare(t, sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint, smbtest.Options{})
	all, run, arrived := s.begin()
	arrived(100)
	s.smb.Stop()
	await(t, "the loss to be told", func() bool { return s.connector.Report().Health.Status == status.DestinationUnavailable })
	s.whole(all)
	s.smb.Restart()
	<-run.Done()
	p, err := run.Report()
	if err != nil {
		t.Fatal(err)
	}
	if p.Result.Outcome != filesync.Succeeded { // it ran out of patience
		s.failsWith(p, "")
		p = s.apply()
	}
	s.wantAll(all)
	if h := s.connector.Report().Health; p.Result.Outcome != filesync.Succeeded || h.Status != status.ConnectionValid {
		t.Errorf("%s %v, %+v", p.Result.Outcome, p.Result.Err, h)
	}
}

func TestShareIsFull(t *testing.T) {
	t.Parallel()
	dir, ok := smbtest.SmallDir(t, 8<<20)
	if !ok {
		t.Log("no file system can be mounted here: that of store/local has to do")
		return
	}
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	s := newShare(t, e, smbtest.Options{Dir: dir})
	filler := filepath.Join(dir, "filler")
	write(t, filler, make([]byte, 5<<20), old)
	all := files(t, e, 60, 100_000)
	s.failsWith(s.apply(), "space")
	s.whole(all)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	p := s.apply()
	if p.Result.Outcome != filesync.Succeeded {
		t.Errorf("with room again: %s %v", p.Result.Outcome, p.Result.Err)
	}
	s.wantAll(all)
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".part") {
			t.Errorf("left: %s", path)
		}
		return nil
	})
}
