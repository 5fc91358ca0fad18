package local_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/faults/powerfs"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// linking is a destination, and a directory of originals beside it.
type linking struct {
	*testing.T
	from, to string
	*local.Destination
}

func newLinking(t *testing.T) *linking { return newLinkingIn(t, t.TempDir()) }

func newLinkingIn(t *testing.T, dir string) *linking {
	l := &linking{T: t, from: filepath.Join(dir, "from"), to: filepath.Join(dir, "to")}
	l.must(os.Mkdir(l.from, 0o700))
	d, err := local.Open(l.to, pending.NewOwner("0badcafe", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	l.Destination = d
	return l
}

func (l *linking) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *linking) original(name string) string {
	l.Helper()
	path := filepath.Join(l.from, name)
	l.must(os.WriteFile(path, []byte("data"), 0o600))
	return path
}

func versioned(name string) filesync.Entry {
	return filesync.Entry{Name: name, Size: 4, ModTime: time.Unix(1e9, 0), Version: "v"}
}

func (l *linking) begin(name string) (filesync.Pending, error) {
	return l.BeginLink(l.Context(), l.original(filepath.Base(name)), versioned(name))
}

// deliver takes a pending file to its name.
func (l *linking) deliver(p filesync.Pending) {
	l.Helper()
	_, err := p.Finish(l.Context())
	l.must(err)
	l.must(l.Sync(l.Context(), []filesync.Pending{p})[0])
	l.must(l.Publish(l.Context(), []filesync.Publication{{Pending: p}})[0])
	l.Recorded(l.Context(), []filesync.Pending{p})
}

func (l *linking) stat(path string) os.FileInfo {
	l.Helper()
	info, err := os.Lstat(path)
	l.must(err)
	return info
}

func (l *linking) wantFiles(want int) {
	l.Helper()
	var got []string
	l.must(filepath.WalkDir(l.to, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			got = append(got, path)
		}
		return err
	}))
	if len(got) != want {
		l.Errorf("%d files at the destination, want %d: %q", len(got), want, got)
	}
}

// A link is a pending file like any other, but that nothing can be written to it.
func TestLink(t *testing.T) {
	t.Parallel()
	l := newLinking(t)
	p, err := l.begin("d/x")
	l.must(err)
	if _, err := p.WriteAt([]byte("D"), 0); err == nil {
		t.Error("written to")
	}
	if _, err := p.Checkpoint(t.Context(), 4); err == nil {
		t.Error("it has a checkpoint")
	}
	l.deliver(p)
	info := l.stat(filepath.Join(l.to, "d/x"))
	if !os.SameFile(info, l.stat(filepath.Join(l.from, "x"))) || !info.ModTime().Equal(time.Unix(1e9, 0)) {
		t.Errorf("another file, or another time: %v", info.ModTime())
	}
	l.wantFiles(1)

	// One that is given up leaves the original as it is.
	p, err = l.begin("d/y")
	l.must(err)
	l.must(p.Abort(t.Context()))
	if data, err := os.ReadFile(filepath.Join(l.from, "y")); err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
	l.wantFiles(1)

	// So does one that a killed program left, which is begun again to be removed.
	p, err = l.begin("d/z")
	l.must(err)
	l.must(p.Keep())
	again, err := l.Begin(t.Context(), versioned("d/z"), &filesync.Checkpoint{ID: p.ID()})
	l.must(err)
	l.must(again.Abort(t.Context()))
	if data, err := os.ReadFile(filepath.Join(l.from, "z")); err != nil || string(data) != "data" {
		t.Errorf("%q, %v", data, err)
	}
	l.wantFiles(1)

	// The size is checked.
	l.must(os.WriteFile(filepath.Join(l.from, "short"), []byte("dat"), 0o600))
	p, err = l.BeginLink(t.Context(), filepath.Join(l.from, "short"), versioned("short"))
	l.must(err)
	if _, err := p.Finish(t.Context()); err == nil {
		t.Error("a file of another size is finished")
	}
	l.must(p.Abort(t.Context()))
}

// What a link that fails cannot remove is told of, and goes with the next sweep.
func TestLinkThatLeavesPendingFiles(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]powerfs.Fault{
		"nothing can be removed": {Ops: []powerfs.Op{powerfs.OpUnlink}, Errno: unix.EACCES},
		"the first cannot":       {Ops: []powerfs.Op{powerfs.OpUnlink}, Errno: unix.EACCES, Limit: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			disk, err := powerfs.Mount(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := disk.Unmount(); err != nil {
					t.Error(err)
				}
			})
			l := newLinkingIn(t, dir)
			disk.Inject(fault)
			if p, err := l.begin("x"); err == nil {
				t.Fatal("linked", p)
			}
			if !l.NeedsSweep() {
				t.Error("nothing is told of the pending files")
			}
			disk.Inject()
			l.must(l.Sweep(t.Context(), func(string) bool { return false }))
			l.wantFiles(0)
		})
	}
}

// A linked file has the mode, the group and the access control list that a new file of
// its directory has.
func TestLinkHasWhatNewFilesHave(t *testing.T) {
	t.Parallel()
	for what, prepare := range map[string]func(l *linking, dir string){
		"plain":  func(*linking, string) {},
		"setgid": func(l *linking, dir string) { l.must(os.Chmod(dir, 0o755|os.ModeSetgid)) },
		"default list": func(l *linking, dir string) {
			// user::rwx, user 7777: r--, group::---, mask::r--, other::---
			list := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\x61\x1e\x00\x00" +
				"\x04\x00\x00\x00\xff\xff\xff\xff" + "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
			if err := unix.Setxattr(dir, "system.posix_acl_default", []byte(list), 0); !errors.Is(err, unix.EOPNOTSUPP) {
				l.must(err)
			}
		},
	} {
		l := newLinking(t)
		dir := filepath.Join(l.to, "d")
		l.must(os.Mkdir(dir, 0o755))
		if os.Geteuid() == 0 {
			l.must(os.Chown(dir, -1, 4444))
		}
		prepare(l, dir)
		p, err := l.begin("d/x")
		l.must(err)
		l.deliver(p)
		l.must(os.WriteFile(filepath.Join(dir, "new"), nil, 0o666))
		linked, fresh := attributesOf(t, filepath.Join(dir, "x")), attributesOf(t, filepath.Join(dir, "new"))
		if linked != fresh {
			t.Errorf("%s: linked %q; new %q", what, linked, fresh)
		}
	}
}

func attributesOf(t *testing.T, path string) string {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		t.Fatal(err)
	}
	list := make([]byte, 1024)
	n, _ := unix.Getxattr(path, "system.posix_acl_access", list)
	return fmt.Sprintf("%o %d %d %x", s.Mode, s.Uid, s.Gid, list[:max(0, n)])
}

// Where a file cannot be linked, or must not be, it is to be copied, and nothing is left.
func TestLinkRefused(t *testing.T) {
	t.Parallel()
	l := newLinking(t)
	for what, from := range map[string]func() string{
		"other names": func() string {
			l.must(os.Link(l.original("two"), filepath.Join(l.from, "names")))
			return filepath.Join(l.from, "two")
		},
		"a symbolic link": func() string {
			l.must(os.Symlink(l.original("target"), filepath.Join(l.from, "symlink")))
			return filepath.Join(l.from, "symlink")
		},
		"a directory": func() string { return l.from },
		"nothing":     func() string { return filepath.Join(l.from, "none") },
		"another file system": func() string {
			dir, err := os.MkdirTemp("/dev/shm", "")
			l.must(err)
			t.Cleanup(func() { os.RemoveAll(dir) })
			var here, there unix.Stat_t
			l.must(errors.Join(unix.Stat(l.to, &here), unix.Stat(dir, &there)))
			if here.Dev == there.Dev {
				return l.from // this test runs there
			}
			l.must(os.WriteFile(filepath.Join(dir, "x"), []byte("data"), 0o600))
			return filepath.Join(dir, "x")
		},
		"an attribute that new files do not have": func() string {
			path := l.original("attribute")
			if err := unix.Setxattr(path, "user.test", []byte("1"), 0); errors.Is(err, unix.EOPNOTSUPP) {
				return l.from
			}
			return path
		},
		"another owner": func() string {
			path := l.original("owner")
			if os.Geteuid() != 0 {
				return l.from // only root can give it away
			}
			l.must(os.Chown(path, 65534, -1))
			return path
		},
	} {
		if _, err := l.BeginLink(t.Context(), from(), versioned("x")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
		l.wantFiles(0)
	}
}
