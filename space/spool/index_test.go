package spool_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/space/spool"
	"sftpconnector/sync/ledger"
)

// Whenever the program is killed around a change of the index, in whatever state the
// objects are, what was acknowledged is there, and each row has its object.
func TestKilledAroundEachChange(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	var mu sync.Mutex
	acknowledged := map[string]string{}
	doing := []string{} // the names that are being changed: they may be in either state
	check := func(when string) {
		mu.Lock()
		defer mu.Unlock()
		after := b.killed()
		after.open(spool.Options{Quiet: time.Nanosecond})
		defer after.Close()
		for _, r := range after.index.now().rows {
			if r.State != ledger.SpoolReceived && r.State != ledger.SpoolPartial {
				continue
			}
			info, err := os.Stat(filepath.Join(after.dir, "objects", r.Object))
			if errors.Is(err, fs.ErrNotExist) {
				info, err = os.Stat(filepath.Join(after.dir, "objects", r.Object+".part"))
			}
			if err != nil || info.Size() < r.Size {
				t.Errorf("%s: %+v has %v, %v", when, r, info, err)
			}
		}
		ready := after.ready()
		for name, data := range acknowledged {
			if slices.Contains(doing, name) {
				continue
			}
			if e, ok := ready[name]; !ok || after.fetch(e) != data {
				t.Errorf("%s: %s was acknowledged, and is %+v", when, name, e)
			}
		}
		for name := range ready {
			if _, ok := acknowledged[name]; !ok && !slices.Contains(doing, name) {
				t.Errorf("%s: %s is there", when, name)
			}
		}
	}
	var checked atomic.Int32
	b.index.change = func(put []ledger.SpoolRow, drop []int64) error {
		if len(put)+len(drop) > 0 {
			checked.Add(1)
			check(fmt.Sprintf("before %+v, %v", put, drop))
		}
		return nil
	}
	c := b.connect()
	do := func(f func(), then map[string]string, names ...string) {
		t.Helper()
		mu.Lock()
		doing = names
		mu.Unlock()
		f()
		mu.Lock()
		for _, name := range names {
			delete(acknowledged, name)
		}
		maps.Copy(acknowledged, then)
		doing = nil
		mu.Unlock()
		check("after " + strings.Join(names, ", "))
	}
	for i := range 3 {
		name := fmt.Sprint("f", i)
		data := strings.Repeat(name, 1000)
		do(func() { b.put(c, name, data) }, map[string]string{name: data}, name)
	}
	do(func() { b.put(c, "f0", "replaced") }, map[string]string{"f0": "replaced"}, "f0")
	do(func() { b.imports(b.ready()["f0"]) }, nil, "f0")
	do(func() { b.must(c.Remove("f1")) }, nil, "f1")
	do(func() { b.must(c.Rename("f2", "f3")) }, map[string]string{"f3": acknowledged["f2"]}, "f2", "f3")
	mu.Lock()
	defer mu.Unlock()
	if checked.Load() < 5 {
		t.Errorf("checked %d times", checked.Load())
	}
}

// What the ledger could not take is answered as a failure, and taken later with what
// comes next: memory and index do not go apart.
func TestIndexFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "old", "old")
	b.must(c.Mkdir("e"))
	fail := errors.New("the ledger cannot write")
	var failing atomic.Bool
	b.must(b.Close())
	b.index.change = func([]ledger.SpoolRow, []int64) error {
		if failing.Load() {
			return fail
		}
		return nil
	}
	failing.Store(false)
	b.open(spool.Options{Quiet: time.Nanosecond})
	c = b.connect()
	failing.Store(true)
	f, err := c.Create("x")
	b.must(err)
	_, err = f.Write([]byte("data"))
	b.must(err)
	for what, err := range map[string]error{
		"close": f.Close(), "mkdir": c.Mkdir("d"), "rename": c.Rename("old", "new"), "rmdir": c.RemoveDirectory("e"),
		"import": b.src.RemoveIf(t.Context(), b.ready()["new"]),
	} {
		if err == nil || !strings.Contains(err.Error(), "the server could not do it") && !errors.Is(err, fail) {
			t.Errorf("%s: %v", what, err)
		}
	}
	failing.Store(false)
	b.put(c, "y", "more")
	b.again()
	names := slices.Sorted(maps.Keys(b.ready()))
	if !slices.Equal(names, []string{"x", "y"}) {
		t.Errorf("after a restart: %q", names)
	}
	c = b.connect()
	if infos, err := c.ReadDir("/"); err != nil || len(infos) != 3 {
		t.Errorf("%v, %v", infos, err)
	}
	b.wantUsage(8, 2)
}

// An object that was removed and comes back with a power cut goes again; one that the
// index does not know, as the ledger is an older one or new, is kept.
func TestLostAndFound(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "imported", "imported")
	b.put(c, "acknowledged", "acknowledged")
	e := b.ready()["imported"]
	b.imports(e)
	b.eventually("its row is gone", func() bool { return len(b.index.now().rows) == 2 })
	older := b.index.now()
	c.end()
	b.must(b.Close())
	// The removal of the object was never flushed; the index says that it is due.
	b.index.rows[99] = ledger.SpoolRow{ID: 99, State: ledger.SpoolRemoved, Object: "back"}
	for _, name := range []string{"back", "never-received.part"} {
		b.must(os.WriteFile(filepath.Join(b.dir, "objects", name), []byte("imported"), 0o600))
	}
	b.open(spool.Options{Quiet: time.Nanosecond})
	b.wantUsage(12, 1)
	b.must(b.Close())
	if left, _ := os.ReadDir(filepath.Join(b.dir, "lost+found")); len(left) > 0 {
		t.Errorf("kept: %v", left)
	}
	// A new ledger knows of nothing, an older one of what is gone.
	b.index = &index{}
	b.open(spool.Options{Quiet: time.Nanosecond})
	b.wantReady()
	b.must(b.Close())
	left, _ := os.ReadDir(filepath.Join(b.dir, "lost+found"))
	if len(left) != 1 {
		t.Fatalf("kept: %v", left)
	}
	if data, err := os.ReadFile(filepath.Join(b.dir, "lost+found", left[0].Name())); err != nil || string(data) != "acknowledged" {
		t.Errorf("kept: %q, %v", data, err)
	}
	b.index = older
	b.open(spool.Options{Quiet: time.Nanosecond})
	b.wantReady()
	if bytes, files := b.Usage(); bytes != 0 || files != 0 {
		t.Errorf("%d bytes in %d files are gone", bytes, files)
	}
}
