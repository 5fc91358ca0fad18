package storetest

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	filesync "sftpconnector/sync"
)

// Host is where the files of a source stand, for tests to look and meddle there.
type Host interface {
	// Put makes or replaces a file, and the directories above it.
	Put(name, data string, mod time.Time)
	// Read gives a file's contents; ok is false when there is none.
	Read(name string) (data string, ok bool)
	// Link makes a symbolic link to a path below the root; "" leads out of it.
	Link(name, target string)
}

// Source is the contract that every source keeps. open gives a new one, empty,
// and its host; the suite closes it.
func Source(t *testing.T, open func(t *testing.T) (filesync.Source, Host)) {
	for name, test := range map[string]func(*source){
		"list":               (*source).list,
		"list nothing":       (*source).listNothing,
		"stat":               (*source).stat,
		"fetch":              (*source).fetch,
		"fetch what changed": (*source).fetchChanged,
		"fetch errors":       (*source).fetchErrors,
		"links":              (*source).links,
		"remove":             (*source).remove,
		"move":               (*source).move,
		"cancelled":          (*source).cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			src, host := open(t)
			defer src.Close()
			test(&source{T: t, src: src, host: host})
		})
	}
}

// source is one test of the suite.
type source struct {
	*testing.T
	src  filesync.Source
	host Host
}

func (s *source) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// entries lists a directory, by name.
func (s *source) entries(dir string) map[string]filesync.Entry {
	s.Helper()
	found := map[string]filesync.Entry{}
	for e, err := range s.src.List(s.Context(), dir) {
		s.must(err)
		if _, twice := found[e.Name]; twice {
			s.Errorf("%q is listed twice", e.Name)
		}
		found[e.Name] = e
	}
	return found
}

func (s *source) list() {
	s.host.Put("a.csv", "one", then)
	s.host.Put("d/b.csv", "second", then.Add(time.Hour))
	s.host.Put("d/e/c.csv", "", then)
	s.host.Put("d/.hidden é", "x", then)
	root := s.entries("")
	if len(root) != 2 || !root["d"].Mode.IsDir() || !root["a.csv"].SameVersion(fileEntry("a.csv", "one")) || !root["a.csv"].Mode.IsRegular() {
		s.Errorf("the root: %v", root)
	}
	d := s.entries("d")
	if len(d) != 3 || !d["d/e"].Mode.IsDir() || d["d/b.csv"].Size != 6 || !d["d/b.csv"].ModTime.Equal(then.Add(time.Hour)) || d["d/.hidden é"].Size != 1 {
		s.Errorf("d: %v", d)
	}
	if e := s.entries("d/e"); len(e) != 1 || e["d/e/c.csv"].Size != 0 {
		s.Errorf("d/e: %v", e)
	}
	for range s.src.List(s.Context(), "d") {
		break // whoever has seen enough may go
	}
}

func (s *source) listNothing() {
	for _, err := range s.src.List(s.Context(), "") {
		s.Errorf("an empty root yields something: %v", err)
	}
}

func (s *source) stat() {
	s.host.Put("a", "one", then)
	s.host.Put("d/b", "second", then)
	s.host.Link("link", "d/b")
	stats, err := s.src.Stat(s.Context(), []string{"d/b", "none", "a", "none/at/all", "link"})
	s.must(err)
	if stats[0].Err != nil || !stats[0].Entry.SameVersion(fileEntry("d/b", "second")) || stats[2].Err != nil || stats[2].Entry.Name != "a" || stats[2].Entry.Size != 3 {
		s.Errorf("%+v", stats)
	}
	if !errors.Is(stats[1].Err, fs.ErrNotExist) || !errors.Is(stats[3].Err, fs.ErrNotExist) {
		s.Errorf("what is not there: %+v", stats)
	}
	if stats[4].Err != nil || stats[4].Entry.Size != 6 {
		s.Errorf("a link: %+v", stats[4])
	}
	if stats, err := s.src.Stat(s.Context(), nil); err != nil || len(stats) != 0 {
		s.Error(stats, err)
	}
}

// written is what a Fetch wrote.
type written struct {
	mu    sync.Mutex
	data  []byte
	bytes int
	err   error // to answer with
}

func (w *written) WriteAt(b []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return 0, w.err
	}
	if more := int(off) + len(b) - len(w.data); more > 0 {
		w.data = append(w.data, make([]byte, more)...)
	}
	w.bytes += len(b)
	return copy(w.data[off:], b), nil
}

func (s *source) fetch() {
	for _, size := range []int{0, 1, 1000, 32 << 10, 255<<10 + 1, 3 << 20} {
		data := strings.Repeat("0123456789abcdeX", size/16+1)[:size]
		s.host.Put("d/x", data, then)
		for _, from := range []int{0, size / 3, size} {
			var w written
			got, err := s.src.Fetch(s.Context(), fileEntry("d/x", data), int64(from), &w)
			if err != nil || !got.SameVersion(fileEntry("d/x", data)) {
				s.Errorf("%d bytes from %d: %+v, %v", size, from, got, err)
			}
			if w.bytes != size-from || size > from && string(w.data[from:]) != data[from:] {
				s.Errorf("%d bytes from %d: %d were written, or other ones", size, from, w.bytes)
			}
		}
	}
}

func (s *source) fetchChanged() {
	listed := fileEntry("x", "0123456789")
	s.host.Put("x", "012", then)
	if _, err := s.src.Fetch(s.Context(), listed, 0, &written{}); !errors.Is(err, filesync.ErrChanged) {
		s.Errorf("a shorter file: %v", err)
	}
	s.host.Put("x", "0123456789 and more", then.Add(time.Hour))
	var w written
	got, err := s.src.Fetch(s.Context(), listed, 0, &w)
	if err == nil && got.SameVersion(listed) {
		s.Errorf("a longer file passes for the one that was listed: %+v", got)
	}
	if w.bytes > 10 {
		s.Errorf("%d bytes of 10 were written", w.bytes)
	}
}

func (s *source) fetchErrors() {
	if _, err := s.src.Fetch(s.Context(), fileEntry("none", "x"), 0, &written{}); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("what is not there: %v", err)
	}
	s.host.Put("x", strings.Repeat("x", 1<<20), then)
	full := errors.New("no space left")
	if _, err := s.src.Fetch(s.Context(), fileEntry("x", strings.Repeat("x", 1<<20)), 0, &written{err: full}); !errors.Is(err, full) {
		s.Errorf("an error of the writer: %v", err)
	}
	// The source goes on.
	var w written
	if _, err := s.src.Fetch(s.Context(), fileEntry("x", strings.Repeat("x", 1<<20)), 0, &w); err != nil || w.bytes != 1<<20 {
		s.Errorf("after an error: %v", err)
	}
}

func (s *source) links() {
	l, ok := s.src.(filesync.Linker)
	if !ok {
		return
	}
	s.host.Put("d/e/x", "data", then)
	s.host.Link("file", "d/e/x")
	s.host.Link("dir", "d")
	s.host.Link("twice", "file")
	s.host.Link("out", "")
	s.host.Link("nowhere", "missing")
	all := s.entries("")
	for name, want := range map[string]string{"file": "d/e/x", "twice": "d/e/x", "dir": "d"} {
		if all[name].Mode&fs.ModeSymlink == 0 {
			s.Errorf("%s is listed as %v", name, all[name].Mode)
		}
		e, real, err := l.Resolve(s.Context(), all[name])
		if err != nil || real != want || e.Name != name || e.Mode.IsDir() != (name == "dir") || name != "dir" && e.Size != 4 {
			s.Errorf("%s: %+v, %q, %v; want %q", name, e, real, err, want)
		}
	}
	if _, _, err := l.Resolve(s.Context(), all["out"]); !errors.Is(err, filesync.ErrOutside) {
		s.Errorf("out: %v", err)
	}
	if _, _, err := l.Resolve(s.Context(), all["nowhere"]); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("nowhere: %v", err)
	}
	// A link to a directory can be listed through.
	if through := s.entries("dir"); !through["dir/e"].Mode.IsDir() {
		s.Errorf("through the link: %v", through)
	}
}

// leaves checks that a consumer leaves alone what is not the version it is asked for.
func (s *source) leaves(consume func(filesync.Entry) error) {
	s.Helper()
	s.host.Put("d/x", "data", then)
	for _, other := range []filesync.Entry{{Name: "d/x", Size: 5, ModTime: then}, {Name: "d/x", Size: 4, ModTime: then.Add(time.Second)}} {
		if err := consume(other); !errors.Is(err, filesync.ErrChanged) {
			s.Errorf("another version: %v", err)
		}
	}
	if _, ok := s.host.Read("d/x"); !ok {
		s.Error("another version is gone")
	}
	if err := consume(fileEntry("d/none", "x")); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("what is not there: %v", err)
	}
}

func (s *source) remove() {
	c, ok := s.src.(filesync.Consumer)
	if !ok {
		return
	}
	s.leaves(func(e filesync.Entry) error { return c.RemoveIf(s.Context(), e) })
	s.must(c.RemoveIf(s.Context(), fileEntry("d/x", "data")))
	if _, ok := s.host.Read("d/x"); ok {
		s.Error("it is there still")
	}
}

func (s *source) move() {
	c, ok := s.src.(filesync.Consumer)
	if !ok {
		return
	}
	s.leaves(func(e filesync.Entry) error { return c.MoveIf(s.Context(), e, "done") })
	s.must(c.MoveIf(s.Context(), fileEntry("d/x", "data"), "done"))
	if data, ok := s.host.Read("done/d/x"); !ok || data != "data" {
		s.Errorf("moved: %q, %v", data, ok)
	}
	if _, ok := s.host.Read("d/x"); ok {
		s.Error("it is there still")
	}
	// What was moved before is not overwritten, and nothing is lost.
	s.host.Put("d/x", "later", then)
	err := c.MoveIf(s.Context(), fileEntry("d/x", "later"), "done")
	if data, _ := s.host.Read("done/d/x"); data != "data" {
		s.Errorf("what stood there is now %q", data)
	}
	if _, ok := s.host.Read("d/x"); ok == (err == nil) {
		s.Errorf("the file is there: %v, after %v", ok, err)
	}
}

func (s *source) cancelled() {
	s.host.Put("d/x", strings.Repeat("x", 4<<20), then)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.src.Fetch(ctx, fileEntry("d/x", strings.Repeat("x", 4<<20)), 0, &written{}); err == nil {
		s.Error("a cancelled Fetch went through")
	}
	var errs []error
	for _, err := range s.src.List(ctx, "d") {
		errs = append(errs, err)
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		s.Error("a cancelled List went through")
	}
	// The source goes on.
	if d := s.entries("d"); len(d) != 1 {
		s.Errorf("after a cancelled List: %v", d)
	}
}
