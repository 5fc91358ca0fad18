package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pkg/sftp"

	"sftpconnector/space/spool"
)

// code is the SFTP status that an operation was answered with; 0 for OK.
func code(err error) uint32 {
	if s, ok := errors.AsType[*sftp.StatusError](err); ok {
		return s.Code
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, fs.ErrNotExist):
		return 2
	case errors.Is(err, fs.ErrPermission):
		return 3
	}
	return 99
}

// Nothing leads out of the spool.
func TestContained(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	outside := filepath.Join(filepath.Dir(b.dir), "outside")
	b.must(os.MkdirAll(filepath.Join(outside, "d"), 0o700))
	secret := filepath.Join(outside, "secret")
	b.must(os.WriteFile(secret, []byte("secret"), 0o600))
	c := b.connect()
	b.put(c, "mine", "data")
	b.must(c.Mkdir("sub"))
	check := func(what string, want uint32, err error) {
		t.Helper()
		if got := code(err); got != want {
			t.Errorf("%s: status %d (%v), want %d", what, got, err, want)
		}
	}
	check("symlink", 3, c.Symlink("/etc/passwd", "link"))
	check("link", 3, c.Link("mine", "link"))
	check("link out", 3, c.Link("../outside/secret", "link"))
	_, err := c.ReadLink("mine")
	check("readlink", 3, err)
	// These are below the client's own "/".
	for _, p := range []string{"/etc/passwd", "../../../etc/passwd", "../outside/secret", secret} {
		_, err := c.Open(p)
		check("open "+p, 2, err)
	}
	check("remove /", 3, c.RemoveDirectory("/"))
	check("rename /", 3, c.Rename("/", "x"))
	if infos, err := c.ReadDir("/"); err != nil || len(infos) != 2 {
		t.Errorf("listed: %v, %v", infos, err)
	}
	b.wantReady("mine")
	if data, _ := os.ReadFile(secret); string(data) != "secret" {
		t.Errorf("the secret is %q", data)
	}
	if found, _ := os.ReadDir(outside); len(found) != 2 {
		t.Errorf("outside: %v", found)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	good := []string{"a b", "é", "-x", "a\nb", strings.Repeat("x", 244), ".uploadin", "uploading.x", "..x"}
	for _, name := range good {
		b.put(c, name, name)
		if got := b.get(c, name); got != name {
			t.Errorf("%q: %q", name, got)
		}
	}
	b.wantReady(good...)
	for name, want := range map[string]uint32{
		".uploading.x": 3, ".uploading.": 3, ".UPLOADING.x": 3, ".uploading.d/x": 3, "a\x00b": 4, strings.Repeat("x", 245): 4, "\xff\xfe": 4, `a\b`: 4,
		strings.Repeat("d/", 64) + "x": 4, strings.Repeat(strings.Repeat("d", 200)+"/", 21) + "x": 4,
	} {
		_, err := c.Create(name)
		if got := code(err); got != want {
			t.Errorf("create %.50q: status %d, want %d", name, got, want)
		}
		for what, err := range map[string]error{
			"mkdir": c.Mkdir(name), "rename": c.Rename("a b", name), "remove": c.Remove(name), "replace": c.PosixRename(name, "y"),
		} {
			if got := code(err); got != want {
				t.Errorf("%s %.50q: status %d, want %d", what, name, got, want)
			}
		}
	}
	b.wantReady(good...)
}

func TestRename(t *testing.T) {
	t.Parallel()
	var b *bench
	var c *session
	reset := func() {
		b = newBench(t, spool.Options{})
		c = b.connect()
		b.put(c, "a", "a")
		b.put(c, "b", "bb")
		b.must(c.MkdirAll("d/e"))
		b.must(c.Mkdir("full"))
		b.must(c.Mkdir("empty"))
		b.put(c, "d/x", "ddd")
		b.put(c, "d/e/y", "yyyy")
		b.put(c, "full/z", "zzzzz")
	}
	all := []string{"a", "b", "d/e/y", "d/x", "full/z"}
	for _, test := range []struct {
		from, to     string
		plain, posix bool // goes through
		after        []string
		bytes        int64
		files        int
	}{
		{"a", "new", true, true, []string{"b", "d/e/y", "d/x", "full/z", "new"}, 15, 5},
		{"a", "b", false, true, []string{"b", "d/e/y", "d/x", "full/z"}, 13, 4},
		{"a", "d/new", true, true, []string{"b", "d/e/y", "d/new", "d/x", "full/z"}, 15, 5},
		{"a", "d", false, false, all, 15, 5},
		{"a", "a", false, true, all, 15, 5},
		{"a", "none/x", false, false, all, 15, 5},
		{"none", "x", false, false, all, 15, 5},
		{"a", "a/x", false, false, all, 15, 5},
		{"d", "new", true, true, []string{"a", "b", "full/z", "new/e/y", "new/x"}, 15, 5},
		{"d", "full", false, false, all, 15, 5},
		{"d", "empty", false, true, []string{"a", "b", "empty/e/y", "empty/x", "full/z"}, 15, 5},
		{"d", "d/e/in", false, false, all, 15, 5},
		{"d", "a", false, false, all, 15, 5},
		{"d/e", "e", true, true, []string{"a", "b", "d/x", "e/y", "full/z"}, 15, 5},
	} {
		for _, posix := range []bool{false, true} {
			reset()
			rename, want := c.Rename, test.plain
			if posix {
				rename, want = c.PosixRename, test.posix
			}
			after, bytes, files := test.after, test.bytes, test.files
			if !want {
				after, bytes, files = all, 15, 5
			}
			err := rename(test.from, test.to)
			if (err == nil) != want {
				t.Errorf("%s → %s, posix %v: %v", test.from, test.to, posix, err)
			}
			b.wantReady(slices.Clone(after)...)
			b.wantUsage(bytes, files)
			b.again()
			b.wantReady(slices.Clone(after)...)
			b.wantUsage(bytes, files)
			b.Close()
		}
	}
}

// With an upload open below it, a directory stays; a cut upload moves, and stays cut.
func TestRenameOfUploads(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.must(c.Mkdir("d"))
	f, err := c.Create("d/x.part")
	b.must(err)
	_, err = f.Write([]byte("half"))
	b.must(err)
	if err := b.connect().Rename("d", "e"); err == nil || !strings.Contains(err.Error(), "being uploaded") {
		t.Errorf("a directory with an upload below: %v", err)
	}
	c.end()
	c = b.connect()
	b.must(c.Rename("d", "e"))
	b.must(c.Rename("e/x.part", "e/x"))
	b.wantReady()
	b.put(c, "whole", "data")
	if err := c.PosixRename("e/x", "whole"); err == nil {
		t.Error("half a file replaces a whole one")
	}
	b.must(c.PosixRename("whole", "e/x"))
	b.wantReady("e/x")
	b.wantUsage(4, 1)
	// Temporary names wait for their final ones.
	b.put(c, "y.tmp", "yy")
	b.wantReady("e/x")
	b.must(c.Rename("y.tmp", "y"))
	b.wantReady("e/x", "y")
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.must(c.Mkdir("d"))
	b.put(c, "d/x", "data")
	b.put(c, "f", "data")
	for what, err := range map[string]error{
		"mkdir again": c.Mkdir("d"), "mkdir of a file": c.Mkdir("f"), "mkdir /": c.Mkdir("/"), "mkdir below a file": c.Mkdir("f/x"),
		"rmdir of a full one": c.RemoveDirectory("d"), "rmdir of a file": c.RemoveDirectory("f"), "rmdir of nothing": c.RemoveDirectory("none"),
		"setstat of nothing": c.Chmod("none", 0o600), "truncate of an uploaded file": c.Truncate("f", 1),
	} {
		if err == nil {
			t.Errorf("%s went through", what)
		}
	}
	for what, err := range map[string]error{
		"chmod": c.Chmod("f", 0o777), "chmod of a directory": c.Chmod("d", 0o700), "times of a directory": c.Chtimes("d", then, then),
		"truncate to its size": c.Truncate("f", 4), "chmod /": c.Chmod("/", 0o700),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if info, err := c.Stat("d"); err != nil || info.Mode() != fs.ModeDir|0o755 {
		t.Errorf("%v, %v", info, err)
	}
	b.must(c.Remove("d/x"))
	b.must(c.RemoveDirectory("d"))
	b.wantReady("f")
}
