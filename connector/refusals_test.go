package connector_test

import (
	"bytes"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"sftpconnector/config"
	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// OpenSSH can be told to refuse kinds of request. All files come all the same, are
// confirmed as far as anything tells, and their originals go if that is asked for.
func TestOpenSSHThatRefusesRequests(t *testing.T) {
	for _, refused := range []string{"fstat", "stat", "lstat", "fstat,stat", "fstat,stat,lstat", "readlink", "realpath", "limits,statvfs"} {
		t.Run(refused, func(t *testing.T) {
			t.Parallel()
			srv := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Subsystem: "internal-sftp -P " + refused})
			data := map[string][]byte{"big.bin": bytes.Repeat([]byte("0123456789abcdef\n"), 600_000)}
			for i := range 40 {
				data[fmt.Sprintf("sub/%d.csv", i)] = []byte(fmt.Sprint(i))
			}
			for name, b := range data {
				put(t, srv.Endpoint, name, b, old)
			}
			r := newRig(t, srv.Endpoint)
			r.want(r.apply(), filesync.Succeeded, fmt.Sprintf("copied=%d", len(data)))
			for name, b := range data {
				r.wantFile(name, b)
			}
			p := r.apply()
			r.want(p, filesync.Succeeded, fmt.Sprintf("present=%d", len(data)))
			if p.Status != status.ConnectionValid {
				t.Errorf("the status is %s", p.Status)
			}

			r = newRig(t, srv.Endpoint, func(r *rig) { r.cfg.Files.AfterCopy = config.AfterCopy{Action: config.Delete} })
			p = r.apply()
			r.want(p, filesync.Succeeded, fmt.Sprintf("copied=%d", len(data)))
			for name := range data {
				_, err := os.Stat(filepath.Join(srv.Root, name))
				if gone := os.IsNotExist(err); gone != (p.Result.Files.Unverified == 0) {
					t.Errorf("%s: gone %v with %d unverified", name, gone, p.Result.Files.Unverified)
				}
			}
		})
	}
}

// Perl's Net::SFTP::SftpServer answers FSTAT with "no such file" for every open file.
func TestPerlServer(t *testing.T) {
	home := t.TempDir()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(home, me.Username)
	script := filepath.Join(home, "server.pl")
	text := fmt.Sprintf("use Net::SFTP::SftpServer;\nNet::SFTP::SftpServer->new(home => %q)->run;\n", home)
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	srv := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Subsystem: "perl " + script})
	there := srv.Endpoint
	there.Root = root
	for i := range 20 { // which makes the directory, too
		put(t, there, fmt.Sprintf("d/%d.csv", i), fmt.Appendf(nil, "contents of %d", i), old)
	}
	put(t, there, "big.bin", bytes.Repeat([]byte("0123456789abcdef\n"), 600_000), old)
	r := newRig(t, srv.Endpoint, func(r *rig) {
		r.cfg.Files.SourceDirectoryPath, r.sftp.Root = "/", "/"
		r.cfg.Files.AfterCopy = config.AfterCopy{Action: config.Delete}
	})
	p := r.apply()
	r.want(p, filesync.Succeeded, "copied=21")
	if p.Result.Files.Unverified != 0 {
		t.Errorf("%d are unverified", p.Result.Files.Unverified)
	}
	for i := range 20 {
		r.wantFile(fmt.Sprintf("d/%d.csv", i), fmt.Appendf(nil, "contents of %d", i))
	}
	if left, err := os.ReadDir(filepath.Join(root, "d")); err != nil || len(left) != 0 {
		t.Errorf("%d originals are left: %v", len(left), err)
	}
}
