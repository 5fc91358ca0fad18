package pass_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// names gives the files at the destination with their contents, "name=contents".
func (b *bench) names() []string {
	b.t.Helper()
	var all []string
	for _, dir := range []string{"", "d"} {
		entries, _ := os.ReadDir(filepath.Join(b.dir, dir))
		for _, e := range entries {
			if !e.IsDir() {
				data, _ := os.ReadFile(filepath.Join(b.dir, dir, e.Name()))
				all = append(all, filepath.ToSlash(filepath.Join(dir, e.Name()))+"="+string(data))
			}
		}
	}
	slices.Sort(all)
	return all
}

// newSpool is a bench whose source gives each file a version of its own.
func newSpool(t *testing.T) *bench {
	b := newBench(t)
	b.src.Versions = true
	return b
}

func (b *bench) wantNames(want ...string) {
	b.t.Helper()
	if got := b.names(); !slices.Equal(got, want) {
		b.t.Errorf("at the destination: %q, want %q", got, want)
	}
}

// TestKeepBoth: no upload takes another one's place.
func TestKeepBoth(t *testing.T) {
	keep := func(o *pass.Options) { o.Once, o.KeepBoth, o.AfterCopy.Remove = true, true, true }
	b := newSpool(t)
	for _, data := range []string{"one", "two", "two"} {
		b.src.Put("d/x.csv", data, old)
		b.want(b.pass(filesync.Automatic, keep), filesync.Succeeded, "copied=1")
	}
	b.wantNames("d/x (2).csv=two", "d/x (3).csv=two", "d/x.csv=one")
	if b.src.Len() != 0 {
		t.Error("an original is left")
	}
	if err := os.Remove(filepath.Join(b.dir, "d", "x (2).csv")); err != nil {
		t.Fatal(err)
	}
	b.src.Put("d/x.csv", "four", old)
	b.want(b.pass(filesync.Automatic, keep), filesync.Succeeded, "copied=1")
	b.wantNames("d/x (2).csv=four", "d/x (3).csv=two", "d/x.csv=one")
	b.want(b.pass(filesync.Automatic, keep), filesync.Succeeded, "")
}

// TestUploadTakesTheName: an upload takes the place of what stands there, whoever wrote that.
func TestUploadTakesTheName(t *testing.T) {
	imports := func(o *pass.Options) { o.Once, o.Overwrite, o.AfterCopy.Remove = true, true, true }
	b := newSpool(t)
	if err := os.MkdirAll(b.dir, 0o777); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(b.dir, "x.csv")
	if err := os.WriteFile(theirs, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(theirs, old, old); err != nil {
		t.Fatal(err)
	}
	b.src.Put("x.csv", "new", old) // the same size and time
	b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "copied=1")
	b.wantNames("x.csv=new")
	b.src.Put("x.csv", "now", old.Add(time.Hour))
	b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "copied=1")
	b.wantNames("x.csv=now")
}

func TestNumbered(t *testing.T) {
	for name, want := range map[string]string{"x.csv": "x (2).csv", "a.b/x": "a.b/x (2)", "d/.profile": "d/.profile (2)", "x.tar.gz": "x.tar (2).gz"} {
		if got := filesync.Numbered(name, 2); got != want || filesync.Numbered(name, 1) != name {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestUploadIsNeverTakenForAnother: an upload that has the size and the time of
// one that was imported is imported too, wherever the program was in between.
func TestUploadIsNeverTakenForAnother(t *testing.T) {
	imports := func(o *pass.Options) { o.Once, o.Overwrite, o.AfterCopy.Remove = true, true, true }
	t.Run("changed before its removal", func(t *testing.T) {
		b := newSpool(t)
		b.src.Put("x", "one", old)
		b.src.OnRemove = func(filesync.Entry) error { return filesync.ErrChanged }
		b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "copied=1")
		b.src.OnRemove = nil
		b.src.Put("x", "two", old)
		b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "copied=1")
		b.wantNames("x=two")
	})
	t.Run("stopped before its removal", func(t *testing.T) {
		for _, taken := range []bool{false, true} {
			b := newSpool(t)
			b.src.Put("x", "one", old)
			b.src.OnRemove = func(filesync.Entry) error { return filesync.Untouched(errors.New("not now")) }
			b.want(b.pass(filesync.Automatic, imports), filesync.Partial, "copied=1 failed=1")
			b.src.OnRemove = nil
			b.src.Put("x", "two", old)
			if taken {
				if err := os.Remove(filepath.Join(b.dir, "x")); err != nil {
					t.Fatal(err)
				}
			}
			b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "copied=1")
			b.wantNames("x=two")
		}
	})
	t.Run("the same one", func(t *testing.T) {
		b := newSpool(t)
		b.src.Put("x", "one", old)
		b.src.OnRemove = func(filesync.Entry) error { return filesync.Untouched(errors.New("not now")) }
		b.want(b.pass(filesync.Automatic, imports), filesync.Partial, "copied=1 failed=1")
		b.src.OnRemove = nil
		b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "")
		b.wantNames("x=one")
		if b.src.Len() != 0 {
			t.Error("the original is left")
		}
	})
}

// TestTakenBeforeItsRemoval: a reader takes or edits the copy of an upload before
// that could be removed. It does not come again, where the source can tell it
// from a new one of the same size and time.
func TestTakenBeforeItsRemoval(t *testing.T) {
	imports := func(o *pass.Options) {
		o.Once, o.Overwrite, o.AfterCopy.Remove = true, true, true
	}
	for name, read := range map[string]func(path string) error{
		"taken":  os.Remove,
		"edited": func(path string) error { return os.WriteFile(path, []byte("edited"), 0o666) },
	} {
		for _, uploaded := range []bool{false, true} {
			b := newSpool(t)
			b.src.Put("x", "one", old)
			b.src.OnRemove = func(filesync.Entry) error { return filesync.Untouched(errors.New("not now")) }
			b.want(b.pass(filesync.Automatic, imports), filesync.Partial, "copied=1 failed=1")
			if err := read(filepath.Join(b.dir, "x")); err != nil {
				t.Fatal(err)
			}
			want := b.names()
			b.src.OnRemove = nil
			if uploaded {
				b.src.Put("x", "two", old)
				b.src.OnRemove = func(filesync.Entry) error { // as what stands there was never read
					b.src.OnRemove = nil
					return filesync.ErrChanged
				}
				b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "copied=1")
				b.wantNames("x=two")
			} else {
				b.want(b.pass(filesync.Automatic, imports), filesync.Succeeded, "")
				b.wantNames(want...)
			}
			if b.src.Len() != 0 {
				t.Errorf("%s, uploaded again %v: an original is left", name, uploaded)
			}
		}
	}
}

// TestReplacedWhileItIsRead: another content of the same size and time is no fault
// of the file, where the source can tell.
func TestReplacedWhileItIsRead(t *testing.T) {
	for versions, want := range map[bool]string{true: "waiting=1", false: "failed=1"} {
		b := newBench(t)
		b.src.Versions = versions
		b.src.Put("x", "one", old)
		b.src.OnFetch = func(filesync.Entry, int64) error { return filesync.ErrChanged }
		outcome := filesync.Partial
		if versions {
			outcome = filesync.Succeeded
		}
		b.want(b.pass(filesync.Automatic), outcome, want)
	}
}
