package sftp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/sftpd"
	"sftpconnector/sshclient"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// faultyServer starts a server of the fault suite that serves an empty directory.
func faultyServer(t *testing.T, o sftpd.Options) (s *sftpd.Server, root string, cfg Config) {
	t.Helper()
	o.Root, o.User, o.Password, o.Seed = t.TempDir(), "ann", "secret", 1
	s, err := sftpd.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	stop := func() { _ = s.Close() }
	t.Cleanup(stop)
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	serverOf.Store(n, stop)
	return s, o.Root, Config{Root: "/", Config: sshclient.Config{Host: host, Port: n, Username: o.User, Password: o.Password,
		HostKey: ssh.FingerprintSHA256(s.HostKey())}}
}

// uploadWithFaults opens a Destination on such a server.
func uploadWithFaults(t *testing.T, o sftpd.Options, change func(*Config)) (*uploading, *sftpd.Server) {
	t.Helper()
	t.Parallel()
	s, root, cfg := faultyServer(t, o)
	if change != nil {
		change(&cfg)
	}
	return &uploading{t, openDestination(t, cfg), root}, s
}

// impatient waits for two seconds, and asks every half second whether the server lives.
func impatient(c *Config) {
	c.Timeouts.Operation, c.Timeouts.Keepalive = 2*time.Second, 500*time.Millisecond
}

// A request that is never answered ends the connection when its time is over, though
// the server answers all that comes behind it.
func TestOneAnswerThatNeverComes(t *testing.T) {
	for _, op := range []sftpd.Op{sftpd.Open, sftpd.Write, sftpd.Close, sftpd.Rename, sftpd.Remove} {
		t.Run(fmt.Sprint("probe, ", op), func(t *testing.T) {
			u, s := uploadWithFaults(t, sftpd.Options{}, impatient)
			s.Inject(sftpd.Fault{Kind: sftpd.Hang, Ops: []sftpd.Op{op}, Times: 1})
			wantSilence(t, op, func() error { return u.Probe(t.Context()) })
		})
	}
	for _, op := range []sftpd.Op{sftpd.Open, sftpd.Write, sftpd.Close, sftpd.Rename, sftpd.Fsetstat, sftpd.Mkdir, sftpd.Lstat} {
		t.Run(fmt.Sprint("upload, ", op), func(t *testing.T) {
			u, s := uploadWithFaults(t, sftpd.Options{}, impatient)
			s.Inject(sftpd.Fault{Kind: sftpd.Hang, Ops: []sftpd.Op{op}, Times: 1})
			wantSilence(t, op, func() error {
				_, err := u.deliver("d/f", noise(100_000))
				return err
			})
		})
	}
	for _, op := range []sftpd.Op{sftpd.Opendir, sftpd.Readdir, sftpd.Open, sftpd.Read} {
		t.Run(fmt.Sprint("download, ", op), func(t *testing.T) {
			t.Parallel()
			s, root, cfg := faultyServer(t, sftpd.Options{})
			impatient(&cfg)
			data := noise(100_000)
			if err := os.WriteFile(root+"/f", data, 0o644); err != nil {
				t.Fatal(err)
			}
			src, err := Open(t.Context(), cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			s.Inject(sftpd.Fault{Kind: sftpd.Hang, Ops: []sftpd.Op{op}, Times: 1})
			wantSilence(t, op, func() error {
				for e, err := range src.List(t.Context(), "") {
					if err != nil {
						return err
					}
					if _, err := src.Fetch(t.Context(), e, 0, &memory{}); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// wantSilence wants the loss of the connection within three times what an answer may
// take, and its error to say which request it was.
func wantSilence(t *testing.T, op sftpd.Op, do func() error) {
	t.Helper()
	start := time.Now()
	err := do()
	if d := time.Since(start); d > 6*time.Second {
		t.Errorf("it took %v", d)
	}
	if want := "no answer to " + strings.ToUpper(string(op)) + " for 2s"; status.Of(err) != status.ConnectionLost || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, without %q", err, want)
	}
}

// A file whose RENAME was answered, and not carried out, is not delivered; it is where
// its receiver has taken it.
func TestRenameThatIsAnsweredOnly(t *testing.T) {
	lie := sftpd.Fault{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Rename}, Status: 0}
	for _, without := range [][]string{nil, {sftpd.PosixRename}} {
		for _, ordered := range []bool{false, true} {
			t.Run(fmt.Sprint(without, ordered), func(t *testing.T) {
				u, s := uploadWithFaults(t, sftpd.Options{Without: without}, nil)
				u.pool.first().wire().ordered = ordered
				data, other := noise(5000), noise(6000)
				_, err := u.deliver("old", other)
				u.must(err)
				p, _, err := u.write("new", data)
				u.must(err)
				q, _, err := u.write("old", data)
				u.must(err)
				standing, err := u.Stat(t.Context(), []string{"old"})
				u.must(err)
				s.Inject(lie)
				errs := u.Publish(t.Context(), []filesync.Publication{{Pending: p}, {Pending: q, Replaces: &standing[0].Entry}})
				for i, err := range errs {
					if !errors.Is(err, errNotRenamed) {
						t.Errorf("file %d: %v", i, err)
					}
				}
				if without == nil {
					u.want("old", other)
				}
				u.must(p.Abort(t.Context()))
				u.must(q.Abort(t.Context()))
				wantAdvice(t, u.Probe(t.Context()), "upload_name: direct")
				s.Inject()
				_, err = u.deliver("new", data)
				u.must(err)
				if without == nil {
					u.wantFiles("new", "old")
				}
			})
		}
	}
	t.Run("taken", func(t *testing.T) {
		u, s := uploadWithFaults(t, sftpd.Options{}, nil)
		s.OnChange(func(c sftpd.Change) {
			if c.Op == sftpd.Rename {
				_ = os.Remove(u.at("f"))
			}
		})
		_, err := u.deliver("f", noise(5000))
		u.must(err)
	})
}

// A look that is not answered, as nothing is any more, is a lost connection, and says
// nothing of what the server can tell.
func TestLookOnALostConnection(t *testing.T) {
	t.Parallel()
	s, root, cfg := faultyServer(t, sftpd.Options{})
	impatient(&cfg)
	cfg.Limits = new(Limits)
	if err := os.WriteFile(root+"/f", noise(3<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	src, err := Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	e := allOf(t, src, "")["f"]
	s.Inject(sftpd.Fault{Kind: sftpd.Hang, Ops: []sftpd.Op{sftpd.Fstat, sftpd.Stat, sftpd.Lstat, sftpd.Realpath, sftpd.Opendir, sftpd.Readdir, sftpd.Readlink}})
	got, err := src.Fetch(t.Context(), e, 0, &memory{})
	if status.Of(err) != status.ConnectionLost {
		t.Errorf("%+v, %v", got, err)
	}
	if cfg.Limits.noFstat.Load() {
		t.Error("the server passes for one that does not answer FSTAT")
	}
}
