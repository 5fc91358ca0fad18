package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/sftpd"
)

// What a server could not confirm for a while is verified by a later pass, and its
// original goes then; not before, and not where another version stands by then.
func TestUnverifiedIsVerifiedLater(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server, err := sftpd.Start(sftpd.Options{Root: root, User: "ann", Password: "secret", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	host, port, _ := strings.Cut(server.Addr(), ":")
	s := newSite(t, `connectors:
  in:
    sftp: {host: %s, port: %s, username: ann, password: secret, host_key: %q}
    files: {source_directory_path: /, destination_directory_path: ./results, settle: 0s, after_copy: delete}
`, host, port, ssh.FingerprintSHA256(server.HostKey()))
	put(t, root, "a.csv", "alpha", old)
	put(t, root, "b.csv", "beta", old)
	server.Inject(sftpd.Fault{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Fstat, sftpd.Stat, sftpd.Lstat}, Under: "*.csv", Status: 2})
	s.run("apply").gives(0, "copied a.csv (5 B), unverified", "2 of the copied files are unverified")
	s.run("apply").gives(0)
	sameText(t, filepath.Join(root, "a.csv"), "alpha")
	put(t, root, "b.csv", "gamma", old/2)
	server.Inject()
	s.run("apply").gives(0)
	for name, text := range map[string]string{"a.csv": "alpha", "b.csv": "gamma"} {
		sameText(t, s.path("results/"+name), text)
		if _, err := os.Stat(filepath.Join(root, name)); err == nil {
			t.Errorf("the original of %s is left", name)
		}
	}
}
