package pass_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sftpconnector/charset"
	"sftpconnector/sshclient"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// inEncoding is how to reach a server whose names are in an encoding.
func inEncoding(t *testing.T, e sftptest.Endpoint, encoding string) sftp.Config {
	t.Helper()
	names, err := charset.Find(encoding)
	if err != nil {
		t.Fatal(err)
	}
	return sftp.Config{Root: e.Root, NameEncoding: names, Config: sshclient.Config{Host: e.Host, Port: e.Port, Username: e.User,
		KeyPairs: true, KeyPath: e.PrivateKeyPath, KnownHosts: sshclient.KnownHostsFile(e.KnownHosts)}}
}

func write(t *testing.T, root, name string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// tree gives the paths of all files below a directory, sorted.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// What a server has in another encoding arrives in UTF-8, and is removed there under
// the name that it has there. What is not in that encoding is named, and left.
func TestNamesInAnotherEncoding(t *testing.T) {
	servers := map[string]func() *sftptest.Server{
		"OpenSSH":     func() *sftptest.Server { return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}) },
		"one channel": func() *sftptest.Server { return sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{MaxSessions: 1}) },
		"ProFTPD":     func() *sftptest.Server { return sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{}) },
	}
	for name, start := range servers {
		for encoding, files := range map[string]struct{ raw, names []string }{
			"latin1":    {[]string{"B\xfccher/\xe9t\xe9.csv", "plain.csv"}, []string{"Bücher/été.csv", "plain.csv"}},
			"cp1252":    {[]string{"\x80uro.csv", "bad\x81.csv", "bad\x9d/x.csv"}, []string{"€uro.csv"}},
			"shift-jis": {[]string{"\x95\x5c\x8e\xa6/\x83\x4b\x83\x58.csv", "bad\x87\x90.csv"}, []string{"表示/ガス.csv"}},
		} {
			t.Run(name+" "+encoding, func(t *testing.T) {
				s := start()
				bad := 0
				for _, raw := range files.raw {
					write(t, s.Root, raw)
					if strings.HasPrefix(raw, "bad") {
						bad++
					}
				}
				link := strings.Replace(files.raw[0], ".csv", ".link", 1)
				if err := os.Symlink(filepath.Base(files.raw[0]), filepath.Join(s.Root, link)); err != nil {
					t.Fatal(err)
				}
				b := newBench(t)
				b.open = func(ctx context.Context) (filesync.Source, error) {
					return sftp.Open(ctx, inEncoding(t, s.Endpoint, encoding), nil)
				}
				r := b.pass(filesync.Automatic)
				if r.Files.Copied != int64(len(files.names)+1) || r.Files.Unsafe != int64(bad) || r.Files.Failed != 0 {
					t.Errorf("%s %+v %+v %v", r.Outcome, r.Files, r.Failures, r.Err)
				}
				want := append(slices.Clone(files.names), strings.Replace(files.names[0], ".csv", ".link", 1))
				slices.Sort(want)
				if got := tree(t, b.dir); !slices.Equal(got, want) {
					t.Errorf("arrived %q, want %q", got, want)
				}
				for _, f := range r.Failures {
					if !strings.Contains(f.Error, "files.name_encoding") {
						t.Errorf("%+v", f)
					}
				}
				r = b.pass(filesync.Apply, func(o *pass.Options) { o.AfterCopy.Remove = true })
				if left := tree(t, s.Root); len(left) != bad+1 { // the link stays, too
					t.Errorf("left at the source: %q; %+v", left, r.Failures)
				}
			})
		}
	}
}

// Uploads get the server's names, or none.
func TestUploadInAnotherEncoding(t *testing.T) {
	s := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	b := newBench(t)
	from := t.TempDir()
	write(t, from, "Bücher/été.csv")
	write(t, from, "日本.csv")
	b.open = func(context.Context) (filesync.Source, error) { return local.OpenSource(from) }
	for range 2 {
		cfg := inEncoding(t, s.Endpoint, "latin1")
		cfg.Owner = pending.NewOwner(b.ledger.Owner(), "c", 0)
		dst, err := sftp.OpenDestination(t.Context(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		b.to = dst
		r := b.pass(filesync.Apply)
		if r.Files.Copied+r.Files.Present != 1 || r.Files.Unsafe != 1 || len(r.Failures) != 1 || !strings.Contains(r.Failures[0].Error, "characters that latin1 lacks") {
			t.Errorf("%s %+v %+v %v", r.Outcome, r.Files, r.Failures, r.Err)
		}
		if got, want := tree(t, s.Root), []string{"B\xfccher/\xe9t\xe9.csv"}; !slices.Equal(got, want) {
			t.Errorf("at the server: %q", got)
		}
	}
}
