package space_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"sftpconnector/config"
	"sftpconnector/store/sftp/sftptest"
)

// A reload that cuts an import has it done again soon, though nothing new comes.
func TestReloadDuringTheImport(t *testing.T) {
	t.Parallel()
	for _, copies := range []bool{false, true} {
		t.Run(fmt.Sprint("copied ", copies), func(t *testing.T) {
			t.Parallel()
			reading := make(chan struct{})
			var cut sync.Once
			r := newRig(t, func(r *rig) {
				r.copies = copies
				r.fetching = func(ctx context.Context) {
					cut.Do(func() {
						close(reading)
						<-ctx.Done()
					})
				}
			})
			r.put(r.login(id), "a.csv", "x")
			<-reading
			r.reload(func(c *config.Config) { c.Spaces[id].Retention *= 2 }, nil)
			r.arrives(id, "a.csv", "x")
		})
	}
}

// A Space that goes while it is imported, and comes back, has lost nothing, and
// none of its files is blamed for that.
func TestSpaceGoesDuringTheImport(t *testing.T) {
	t.Parallel()
	for _, copies := range []bool{false, true} {
		t.Run(fmt.Sprint("copied ", copies), func(t *testing.T) {
			t.Parallel()
			reading, gone := make(chan struct{}), make(chan struct{})
			var first sync.Once
			r := newRig(t, func(r *rig) {
				r.copies = copies
				r.fetching = func(context.Context) {
					first.Do(func() {
						close(reading)
						<-gone
					})
				}
			})
			r.put(r.login(id), "a.csv", "x")
			<-reading
			back := r.cfg.Spaces[id]
			r.reload(func(c *config.Config) { delete(c.Spaces, id) }, func() { close(gone) })
			r.reload(func(c *config.Config) { c.Spaces[id] = back }, nil)
			r.arrives(id, "a.csv", "x") // a file that has failed would wait for a minute
		})
	}
}

// Other limits hold at once, and disturb nobody.
func TestReloadOfLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c := r.login(id)
	f, err := c.Create("a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 2_000_000)); err == nil || !strings.Contains(err.Error(), "larger than the 1.0 MB") {
		t.Errorf("before: %v", err)
	}
	f.Close()
	if f, err = c.Create("a.csv"); err != nil {
		t.Fatal(err)
	}
	r.reload(func(c *config.Config) { c.SpaceServer.MaximumFileSize = 3e6 }, nil)
	content := strings.Repeat("x", 2_000_000)
	if _, err := f.Write([]byte(content)); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	r.arrives(id, "a.csv", content)
	r.reload(func(c *config.Config) { c.Spaces[id].InboxQuota = 1000 }, nil)
	if f, err = c.Create("b.csv"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 2000)); err == nil || !strings.Contains(err.Error(), "full: it holds 1.0 kB") {
		t.Errorf("past the new quota: %v", err)
	}
	if st, err := r.spaces.Status(id); err != nil || st.Quota != 1000 || st.MaximumFileSize != 3e6 {
		t.Errorf("%+v, %v", st, err)
	}
}

// A key that is taken out of the configuration ends the sessions of its Space.
func TestRevokedPublicKey(t *testing.T) {
	t.Parallel()
	mine, other := sftptest.NewKey(t, sftptest.Ed25519), sftptest.NewKey(t, sftptest.Ed25519)
	line := func(k sftptest.Key) string { return string(ssh.MarshalAuthorizedKey(k.Signer.PublicKey())) }
	r := newRig(t, func(r *rig) { r.cfg.Spaces[id].PublicKeys = []string{line(mine), line(other)} })
	enter := func() (*sftp.Client, error) {
		conn, err := net.DialTimeout("tcp", r.spaces.Addr().String(), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		c, channels, requests, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{
			User: id, Auth: []ssh.AuthMethod{ssh.PublicKeys(mine.Signer)}, HostKeyCallback: ssh.FixedHostKey(r.spaces.HostKeys()[0]),
			HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		})
		if err != nil {
			return nil, err
		}
		f, err := sftp.NewClient(ssh.NewClient(c, channels, requests))
		if err == nil {
			t.Cleanup(func() { f.Close() })
		}
		return f, err
	}
	c, err := enter()
	if err != nil {
		t.Fatal(err)
	}
	var over atomic.Bool
	go func() { _ = c.Wait(); over.Store(true) }()
	r.reload(func(c *config.Config) { c.Spaces[id].PublicKeys = []string{line(other), line(mine)} }, nil)
	if _, err := c.Stat("/"); err != nil {
		t.Errorf("nothing was revoked: %v", err)
	}
	r.reload(func(c *config.Config) { c.Spaces[id].PublicKeys = []string{line(other)} }, nil)
	r.until("the session is cut", over.Load)
	if _, err := enter(); err == nil {
		t.Error("the key lets in")
	}
}
