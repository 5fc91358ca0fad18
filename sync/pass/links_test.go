package pass_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"sftpconnector/sshclient"
	"sftpconnector/store/local"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/transfer"
)

// links makes links that lead back to themselves, or to a directory above them, and
// one that is good. It gives how many those of the first kind are.
func links(t *testing.T, root string) int {
	t.Helper()
	for _, dir := range []string{"d/e", "x", "y"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "d", "f.csv"), []byte("f"), 0o644); err != nil {
		t.Fatal(err)
	}
	loops := map[string]string{"a": "b", "b": "c", "c": "a", "self": "self", "below": "below/x", "here": ".", "d/e/up": "../..", "d/e/e": "../e"}
	for name, target := range loops {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"good.csv": "d/f.csv"} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	return len(loops)
}

// A link that leads nowhere but to itself is one excluded entry, whatever the server
// answers about it.
func TestLinkLoopsAreExcluded(t *testing.T) {
	remote := func(e sftptest.Endpoint) transfer.OpenSource {
		return func(ctx context.Context) (filesync.Source, error) {
			return sftp.Open(ctx, sftp.Config{Root: e.Root, Config: sshclient.Config{Host: e.Host, Port: e.Port, Username: e.User, KeyPairs: true,
				KeyPath: e.PrivateKeyPath, KnownHosts: sshclient.KnownHostsFile(e.KnownHosts)}}, nil)
		}
	}
	for name, start := range map[string]func(t *testing.T) (transfer.OpenSource, string){
		"OpenSSH": func(t *testing.T) (transfer.OpenSource, string) {
			s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
			return remote(s.Endpoint), s.Root
		},
		"ProFTPD": func(t *testing.T) (transfer.OpenSource, string) {
			s := sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{})
			return remote(s.Endpoint), s.Root
		},
		"local": func(t *testing.T) (transfer.OpenSource, string) {
			dir := t.TempDir()
			return func(context.Context) (filesync.Source, error) { return local.OpenSource(dir) }, dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			open, root := start(t)
			b.open = open
			n := links(t, root)
			r := b.pass(filesync.Automatic)
			if r.Outcome != filesync.Succeeded || r.Files.Copied != 2 || r.Files.Excluded != int64(n) {
				t.Errorf("%s %+v %v, want %d excluded", r.Outcome, r.Files, r.Failures, n)
			}
		})
	}
}
