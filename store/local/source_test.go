package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
)

// host is the directory of a source.
type host struct {
	*testing.T
	dir string
}

func (h host) path(name string) string { return filepath.Join(h.dir, filepath.FromSlash(name)) }

func (h host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h host) Put(name, data string, mod time.Time) {
	h.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.path(name)), 0o777))
	h.must(os.WriteFile(h.path(name), []byte(data), 0o666))
	h.must(os.Chtimes(h.path(name), mod, mod))
}

func (h host) Read(name string) (string, bool) {
	data, err := os.ReadFile(h.path(name))
	return string(data), err == nil
}

func (h host) Link(name, target string) {
	h.Helper()
	if target == "" {
		target = h.TempDir()
	}
	h.must(os.Symlink(target, h.path(name)))
}

func openSource(t *testing.T) (*local.Source, host) {
	t.Helper()
	h := host{t, filepath.Join(t.TempDir(), "from")}
	h.must(os.Mkdir(h.dir, 0o777))
	s, err := local.OpenSource(h.dir)
	h.must(err)
	t.Cleanup(func() { s.Close() })
	return s, h
}

func TestSource(t *testing.T) {
	storetest.Source(t, func(t *testing.T) (filesync.Source, storetest.Host) {
		s, h := openSource(t)
		return s, h
	})
}

// writer is what a Fetch writes to.
type writer func(b []byte, off int64) (int, error)

func (w writer) WriteAt(b []byte, off int64) (int, error) { return w(b, off) }

var then = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

// TestFetchSeesAWriter: size and second stay the same, and still it is told.
func TestFetchSeesAWriter(t *testing.T) {
	s, h := openSource(t)
	h.Put("x", "0123456789", then)
	listed := filesync.Entry{Name: "x", Size: 10, ModTime: then}
	_, err := s.Fetch(t.Context(), listed, 0, writer(func(b []byte, off int64) (int, error) {
		h.must(os.WriteFile(h.path("x"), []byte("abcdefghij"), 0o666))
		changed := then.Add(time.Millisecond)
		return len(b), os.Chtimes(h.path("x"), changed, changed)
	}))
	if !errors.Is(err, filesync.ErrChanged) {
		t.Error(err)
	}
}

// TestSourceIsGone: an unmounted source has not lost its files.
func TestSourceIsGone(t *testing.T) {
	s, h := openSource(t)
	h.Put("d/x", "data", then)
	h.must(os.Rename(h.dir, h.dir+" away"))
	if _, err := s.Stat(t.Context(), []string{"d/x", "none"}); err != nil && !status.Is(err, status.SourceDirectoryNotFound) {
		t.Errorf("Stat: %v", err)
	}
	if err := s.RemoveIf(t.Context(), filesync.Entry{Name: "none", ModTime: then}); !status.Is(err, status.SourceDirectoryNotFound) {
		t.Errorf("RemoveIf: %v", err)
	}
	if _, err := local.OpenSource(h.dir); !status.Is(err, status.SourceDirectoryNotFound) {
		t.Errorf("OpenSource: %v", err)
	}
}

func TestSourceLinks(t *testing.T) {
	s, h := openSource(t)
	h.Put("d/x", "data", then)
	h.Link("absolute", h.path("d"))
	h.Link("file", h.path("d/x"))
	h.Link("up", "..")
	h.Link("out", "")
	var through []string
	for e, err := range s.List(t.Context(), "absolute") {
		h.must(err)
		through = append(through, e.Name)
	}
	if len(through) != 1 || through[0] != "absolute/x" {
		t.Errorf("listed through an absolute link: %q", through)
	}
	for _, name := range []string{"absolute/x", "file"} {
		var got strings.Builder
		e, err := s.Fetch(t.Context(), filesync.Entry{Name: name, Size: 4, ModTime: then}, 0, writer(func(b []byte, off int64) (int, error) { return got.Write(b) }))
		if err != nil || got.String() != "data" || e.Name != name {
			t.Errorf("%s: %q, %+v, %v", name, got.String(), e, err)
		}
	}
	for _, name := range []string{"up", "out"} {
		for e, err := range s.List(t.Context(), name) {
			if err == nil {
				t.Errorf("%s lists %s", name, e.Name)
			}
		}
	}
	if err := s.RemoveIf(t.Context(), filesync.Entry{Name: "file", Size: 4, ModTime: then}); !errors.Is(err, filesync.ErrLink) {
		t.Errorf("a link: %v", err)
	}
}

func TestLocateOfSource(t *testing.T) {
	s, h := openSource(t)
	h.Put("d/x", "data", then)
	h.Link("link", "d")
	for dir, want := range map[string]string{"d": "d", "link/new/er": "d/new/er", h.path("done"): "done", ".": ""} {
		if name, inside, err := s.Locate(t.Context(), dir); err != nil || !inside || name != want {
			t.Errorf("%s: %q, %v, %v", dir, name, inside, err)
		}
	}
	for _, dir := range []string{"..", h.dir + "more", t.TempDir()} {
		if name, inside, err := s.Locate(t.Context(), dir); err != nil || inside {
			t.Errorf("%s: %q, %v, %v", dir, name, inside, err)
		}
	}
}

func TestMoveElsewhere(t *testing.T) {
	s, h := openSource(t)
	away := filepath.Join(t.TempDir(), "not", "there")
	for i := range 3 {
		h.Put("d/x.csv", "data", then)
		h.must(s.MoveIf(t.Context(), filesync.Entry{Name: "d/x.csv", Size: 4, ModTime: then}, away))
		if names, err := filepath.Glob(filepath.Join(away, "d", "*")); err != nil || len(names) != i+1 {
			t.Errorf("%q, %v", names, err)
		}
	}
	if _, err := os.Stat(filepath.Join(away, "d", "x (3).csv")); err != nil {
		t.Error(err)
	}
}

// A file that was written to within the same second, at equal size, is another
// one, if the entry has more than the second.
func TestConsumeSeesTheWholeTime(t *testing.T) {
	s, h := openSource(t)
	listed := then.Add(5 * time.Millisecond)
	for name, consume := range map[string]func(filesync.Entry) error{
		"remove": func(e filesync.Entry) error { return s.RemoveIf(t.Context(), e) },
		"move":   func(e filesync.Entry) error { return s.MoveIf(t.Context(), e, "done") },
	} {
		for _, test := range []struct {
			entry, file time.Time
			goes        bool
		}{
			{listed, listed, true},
			{listed, listed.Add(time.Microsecond), false},
			{listed, then, false},
			{then, listed, true}, // as the ledger has it
		} {
			h.Put("x", "data", test.file)
			err := consume(filesync.Entry{Name: "x", Size: 4, ModTime: test.entry})
			if _, there := h.Read("x"); there == test.goes || test.goes != (err == nil) || !test.goes && !errors.Is(err, filesync.ErrChanged) {
				t.Errorf("%s %v as %v: %v", name, test.file, test.entry, err)
			}
		}
	}
}
