package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"sftpconnector/faults/sftpd"
)

// uploadSite is a site with a connector "out" to a server that does wrong what it is
// told to do wrong, and the directory that this serves.
func uploadSite(t *testing.T, way string) (s *site, server *sftpd.Server, root string) {
	t.Helper()
	root = t.TempDir()
	server, err := sftpd.Start(sftpd.Options{Root: root, User: "ann", Password: "secret", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	host, port, _ := strings.Cut(server.Addr(), ":")
	return newSite(t, `connectors:
  out:
    direction: upload
    sftp: {host: %s, port: %s, username: ann, password: secret, host_key: %q}
    files: {source_directory_path: ./outgoing, destination_directory_path: /, upload_name: %s, settle: 0s, after_copy: delete}
`, host, port, ssh.FingerprintSHA256(server.HostKey()), way), server, root
}

// A file that was made, by an OPEN that is answered as failed or in a way that SFTP
// does not know, does not keep its own name from itself.
func TestDirectUploadThatWasMadeUnsaid(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sftpd.Fault{
		"failed": {Kind: sftpd.Fail, Status: 4, Done: true},
		"exists": {Kind: sftpd.Fail, Status: 11, Done: true},
		"unseen": {Kind: sftpd.Fail, Status: 11, Done: true},
		"absurd": {Kind: sftpd.WrongType},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, server, root := uploadSite(t, "direct")
			for i := range 5 {
				put(t, s.path("outgoing"), fmt.Sprint(i, ".csv"), "alpha", time.Hour)
			}
			fault.Ops, fault.Every, fault.Times = []sftpd.Op{sftpd.Open}, 3, 1
			if name == "unseen" { // nor does it let us look
				fault.Ops, fault.Every, fault.Times = []sftpd.Op{sftpd.Open, sftpd.Lstat, sftpd.Stat, sftpd.Readlink}, 1, 0
			}
			server.Inject(fault)
			s.run("apply")
			server.Inject()
			s.run("apply").gives(0)
			for i := range 5 {
				name := fmt.Sprint(i, ".csv")
				if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != "alpha" {
					t.Errorf("%s stands as %q, %v", name, got, err)
				}
				if _, err := os.Stat(s.path("outgoing/" + name)); err == nil {
					t.Errorf("the original of %s is left", name)
				}
			}
		})
	}
}

// Files that are not to stay, of a connection's trial or of what failed, are swept by the
// passes after it.
func TestUploadsLeaveNoLitter(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string][]sftpd.Fault{
		"REMOVE fails":         {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 4}},
		"REMOVE lies":          {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 0}},
		"REMOVE finds nothing": {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 2}},
		"OPEN and REMOVE fail": {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Open}, Status: 4, Done: true}, {Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 4}},
		"OPEN fails":           {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Open}, Status: 4, Done: true}},
		"RENAME fails":         {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Rename}, Status: 4, Done: true}},
		"WRITE and REMOVE":     {{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Write}, Status: 4}, {Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 0}},
		"cut at REMOVE":        {{Kind: sftpd.CloseConnection, Ops: []sftpd.Op{sftpd.Remove}, Times: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, server, root := uploadSite(t, "pending")
			put(t, s.path("outgoing"), "a.csv", "alpha", time.Hour)
			server.Inject(faults...)
			s.run("apply")
			s.run("apply") // whose sweep meets the same
			server.Inject()
			s.run("apply").gives(0)
			left, err := os.ReadDir(root)
			if err != nil || len(left) != 1 || left[0].Name() != "a.csv" {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
