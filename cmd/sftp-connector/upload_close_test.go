package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/sftpd"
)

// A server that lost a WRITE says so at CLOSE. When the connection ends before that
// is answered, a file that was written under its own name looks whole by its size and
// time, and is not: it is written anew, and its original goes only then.
func TestDirectUploadIsCutAtItsClose(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server, err := sftpd.Start(sftpd.Options{Root: root, User: "ann", Password: "secret", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	host, port, _ := strings.Cut(server.Addr(), ":")
	s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: {host: %s, port: %s, username: ann, password: secret, host_key: %q}
    files: {source_directory_path: ./outgoing, destination_directory_path: /, settle: 0s, upload_name: direct, after_copy: delete}
`, host, port, ssh.FingerprintSHA256(server.HostKey()))
	text := strings.Repeat("0123456789", 30_000)
	put(t, s.path("outgoing"), "x.csv", text, old)
	server.Inject(
		sftpd.Fault{Kind: sftpd.DropWrite, Ops: []sftpd.Op{sftpd.Write}, Under: "x.csv", Times: 1},
		sftpd.Fault{Kind: sftpd.CloseConnection, Ops: []sftpd.Op{sftpd.Close}, Under: "x.csv", Times: 1},
	)
	s.run("apply").gives(0)
	if n := server.Injected()[sftpd.DropWrite]; n != 1 {
		t.Errorf("%d writes were lost, want 1", n)
	}
	sameText(t, filepath.Join(root, "x.csv"), text)
	if _, err := os.Stat(s.path("outgoing/x.csv")); err == nil {
		t.Error("the original is left")
	}
}
