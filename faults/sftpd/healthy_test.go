package sftpd_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"sftpconnector/faults/sftpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const deadline = 20 * time.Second

func start(t *testing.T, o sftpd.Options) *sftpd.Server {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	o.User, o.Password = "ann", "secret"
	s, err := sftpd.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func login(s *sftpd.Server, password string) (*ssh.Client, error) {
	return ssh.Dial("tcp", s.Addr(), &ssh.ClientConfig{
		User: "ann", Auth: []ssh.AuthMethod{ssh.Password(password)},
		HostKeyCallback: ssh.FixedHostKey(s.HostKey()), Timeout: deadline,
	})
}

func dial(t *testing.T, s *sftpd.Server) *ssh.Client {
	t.Helper()
	c, err := login(s, "secret")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func client(t *testing.T, s *sftpd.Server) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClient(dial(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// grow writes a tree of files: small ones, many in one directory, a large one, an
// empty one and odd names.
func grow(t *testing.T, dir string) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	sizes := map[string]int{"large": 3<<20 + 7, "empty": 0, "a/b/c/deep": 40_000, "a/with space": 1, "a/é'\"$": 300}
	for i := range 250 {
		sizes[fmt.Sprintf("many/%03d", i)] = i
	}
	for name, size := range sizes {
		data := make([]byte, size)
		random.Read(data)
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o640); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1_700_000_000+int64(size), 0)
		if err := os.Chtimes(name, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

// same compares two trees: names, contents, times and permissions of files.
func same(t *testing.T, got, want string) {
	t.Helper()
	read := func(dir string) map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			data, err := os.ReadFile(name)
			rel, _ := filepath.Rel(dir, name)
			files[rel] = fmt.Sprint(info.ModTime().Unix(), info.Mode(), string(data))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	g, w := read(got), read(want)
	if len(g) != len(w) {
		t.Errorf("%d files, want %d", len(g), len(w))
	}
	for name, data := range w {
		if g[name] != data {
			t.Errorf("%s differs", name)
		}
	}
}

func TestOpenSSHClientDownloadsAndUploadsATree(t *testing.T) {
	t.Parallel()
	source, served, back := t.TempDir(), t.TempDir(), t.TempDir()
	grow(t, source)
	private, public := keyPair(t)
	s := start(t, sftpd.Options{Root: served, Key: public})
	known := filepath.Join(t.TempDir(), "known_hosts")
	line := knownhosts.Line([]string{s.Addr()}, s.HostKey())
	if err := os.WriteFile(known, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	batch := fmt.Sprintf("mkdir /in\nput -rp %s/* /in\nget -rp /in/* %s\nrename /in/empty /in/moved\nrm /in/moved\nls -l /in\ndf /\n", source, back)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, port, _ := net.SplitHostPort(s.Addr())
	cmd := exec.CommandContext(ctx, "sftp", "-q", "-F", "none", "-b", "-", "-i", private, "-P", port,
		"-o", "UserKnownHostsFile="+known, "-o", "IdentityAgent=none", "ann@127.0.0.1")
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sftp: %v\n%s", err, out)
	}
	same(t, back, source)
	if err := os.Remove(filepath.Join(source, "empty")); err != nil {
		t.Fatal(err)
	}
	same(t, filepath.Join(served, "in"), source)
}

func TestPipelinedClientDownloadsAndUploads(t *testing.T) {
	t.Parallel()
	served := t.TempDir()
	grow(t, served)
	s := start(t, sftpd.Options{Root: served})
	c := client(t, s)
	want, err := os.ReadFile(filepath.Join(served, "large"))
	if err != nil {
		t.Fatal(err)
	}
	var copies sync.WaitGroup
	for i := range 4 {
		copies.Go(func() {
			if err := copyRemote(c, "/large", fmt.Sprintf("/copy%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	copies.Wait()
	for i := range 4 {
		got, err := os.ReadFile(filepath.Join(served, fmt.Sprintf("copy%d", i)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("copy %d differs: %v", i, err)
		}
	}
	listed, err := c.ReadDir("/many")
	if err != nil || len(listed) != 250 {
		t.Errorf("%d names listed, %v; want 250", len(listed), err)
	}
}

func copyRemote(c *sftp.Client, from, to string) error {
	in, err := c.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := c.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

func TestNamesAndAttributes(t *testing.T) {
	t.Parallel()
	served := t.TempDir()
	s := start(t, sftpd.Options{Root: served})
	c := client(t, s)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(served, "a"), []byte("one"), 0o600))
	must(os.WriteFile(filepath.Join(served, "b"), []byte("three"), 0o600))
	must(os.Mkdir(filepath.Join(served, "d"), 0o700))
	must(os.Symlink("d", filepath.Join(served, "link")))
	must(os.Symlink("../..", filepath.Join(served, "out")))
	must(os.Symlink("/etc", filepath.Join(served, "etc")))

	if c.Rename("/a", "/b") == nil {
		t.Error("RENAME replaced a file")
	}
	must(c.PosixRename("/a", "/b"))
	if info, err := c.Stat("/b"); err != nil || info.Size() != 3 {
		t.Errorf("after posix-rename: %v, %v", info, err)
	}
	must(c.Truncate("/b", 2))
	must(c.Chtimes("/b", time.Unix(5, 0), time.Unix(7, 0)))
	must(c.Chmod("/b", 0o640))
	info, err := c.Stat("/b")
	if err != nil || info.Size() != 2 || info.ModTime().Unix() != 7 || info.Mode() != 0o640 {
		t.Errorf("after setting attributes: %v, %v", info, err)
	}
	for name, want := range map[string]string{".": "/", "link/x": "/d/x", "/d/../b": "/b", "none": "/none", "out": "/"} {
		if got, err := c.RealPath(name); err != nil || got != want {
			t.Errorf("REALPATH %s is %q, %v; want %q", name, got, err, want)
		}
	}
	if target, err := c.ReadLink("/link"); err != nil || target != "d" {
		t.Errorf("READLINK: %q, %v", target, err)
	}
	for _, name := range []string{"/out/etc/passwd", "/etc/passwd", "/d", "/none"} {
		if f, err := c.Open(name); err == nil {
			f.Close()
			t.Errorf("OPEN %s succeeded", name)
		}
	}
	if _, err := c.Stat("/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("STAT of nothing: %v", err)
	}
	if c.Remove("/d/x") == nil || c.RemoveDirectory("/b") == nil {
		t.Error("what is not there, or no directory, was removed")
	}
	must(c.RemoveDirectory("/d"))
}

func TestChangesAreToldBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	s := start(t, sftpd.Options{})
	var told []string
	s.OnChange(func(c sftpd.Change) { told = append(told, fmt.Sprint(c.Op, " ", c.Path, c.To, " ", c.Size)) })
	c := client(t, s)
	steps := []error{c.Mkdir("/d")}
	f, err := c.Create("/d/a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte("four"))
	steps = append(steps, err, f.Close(), c.Rename("/d/a", "/b"), c.Remove("/b"), c.RemoveDirectory("/d"))
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	want := []string{"mkdir /d 0", "open /d/a 0", "close /d/a 4", "rename /d/a/b 4", "remove /b 4"}
	if len(told) != 6 || !slices.Equal(told[:5], want) {
		t.Errorf("told %q, want %q and the rmdir", told, want)
	}
}

func TestExtensionsThatAreLeftOut(t *testing.T) {
	t.Parallel()
	all := []string{sftpd.PosixRename, sftpd.Fsync, sftpd.StatVFS, sftpd.Limits}
	with, without := client(t, start(t, sftpd.Options{})), client(t, start(t, sftpd.Options{Without: all}))
	for _, name := range all {
		if _, ok := with.HasExtension(name); !ok {
			t.Errorf("%s is not offered", name)
		}
		if _, ok := without.HasExtension(name); ok {
			t.Errorf("%s is offered", name)
		}
	}
	if _, err := with.StatVFS("/"); err != nil {
		t.Error(err)
	}
	if without.PosixRename("/a", "/b") == nil {
		t.Error("posix-rename is carried out though it is not offered")
	}
}

func TestHandlesAreBounded(t *testing.T) {
	t.Parallel()
	c := client(t, start(t, sftpd.Options{MaxHandles: 2}))
	for i := range 3 {
		f, err := c.Create(fmt.Sprint(i))
		if err == nil {
			defer f.Close()
		}
		if (err == nil) != (i < 2) {
			t.Errorf("handle %d: %v", i+1, err)
		}
	}
}
