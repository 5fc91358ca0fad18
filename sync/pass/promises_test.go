package pass_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

func removing(o *pass.Options) { o.AfterCopy.Remove = true }

// Whatever happened to the destination, an original goes only when Apply has
// its copy there.
func TestApplyBringsBackBeforeItRemoves(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(b *bench)
	}{
		{"asked for later", func(b *bench) { b.pass(filesync.Automatic) }},
		{"refused before", func(b *bench) {
			b.src.OnRemove = func(filesync.Entry) error { return fs.ErrPermission }
			b.pass(filesync.Automatic, removing)
			b.src.OnRemove = nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			for i := range 300 {
				b.src.Put(fmt.Sprintf("f%d", i), "data", old)
			}
			c.make(b)
			if err := os.RemoveAll(b.dir); err != nil {
				t.Fatal(err)
			}
			b.want(b.pass(filesync.Apply, removing), filesync.Succeeded, "copied=300")
			entries, err := os.ReadDir(b.dir)
			if err != nil || len(entries) != 300 {
				t.Errorf("%d files at the destination, %d at the source, %v", len(entries), b.src.Len(), err)
			}
			if b.src.Len() != 0 {
				t.Errorf("%d originals left", b.src.Len())
			}
		})
	}
}

// An automatic pass that is to remove what was delivered before somebody asked
// for that takes only originals whose copies stand.
func TestRemovalAskedForLaterWantsTheCopy(t *testing.T) {
	b := newBench(t)
	b.src.Put("stands", "data", old)
	b.src.Put("taken", "data", old)
	b.pass(filesync.Automatic)
	os.Remove(filepath.Join(b.dir, "taken"))
	b.want(b.pass(filesync.Automatic, removing), filesync.Succeeded, "present=2")
	if b.src.Has("stands") || !b.src.Has("taken") {
		t.Errorf("stands: %v, taken: %v", b.src.Has("stands"), b.src.Has("taken"))
	}
}

// A removal that was never sent is no reason to copy a file again.
func TestRemovalNeverSentIsNotUncertain(t *testing.T) {
	b := newBench(t)
	for i := range 50 {
		b.src.Put(fmt.Sprintf("f%d", i), "data", old)
	}
	lost := &status.Error{Word: status.ConnectionLost, Op: "look"}
	b.src.OnRemove = func(filesync.Entry) error { return filesync.Untouched(lost) }
	b.pass(filesync.Automatic, removing)
	b.src.OnRemove = nil
	os.RemoveAll(b.dir) // its reader took everything
	fetched := b.src.Fetches()
	b.pass(filesync.Automatic, removing)
	if n := b.src.Fetches() - fetched; n != 0 || b.src.Len() != 0 {
		t.Errorf("%d files copied again, %d originals left", n, b.src.Len())
	}
}

// A removal that may have been done is looked at: the same contents go, others are new.
func TestUncertainRemovalLooksAgain(t *testing.T) {
	b := newBench(t)
	b.src.Put("same", "data", old)
	b.src.Put("new", "data", old)
	lost := &status.Error{Word: status.ConnectionLost, Op: "remove"}
	b.src.OnRemove = func(filesync.Entry) error { return lost }
	b.pass(filesync.Automatic, removing)
	b.src.OnRemove = nil
	b.src.Put("new", "DATA", old)
	b.pass(filesync.Automatic, removing)
	b.pass(filesync.Automatic, removing)
	b.wantFile("same", "data", old)
	b.wantFile("new", "DATA", old)
	if b.src.Len() != 0 {
		t.Errorf("%d originals left", b.src.Len())
	}
}

func TestLinksThatLeadToEachOther(t *testing.T) {
	b := newBench(t)
	b.src.Put("a/f", "one", old)
	b.src.Put("b/f", "two", old)
	b.src.Link("a/l", "b")
	b.src.Link("b/l", "a")
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Succeeded, "copied=4 excluded=2")
}

func TestFlatLoserIsNotPunished(t *testing.T) {
	b := newBench(t)
	flat := func(o *pass.Options) { o.Flat = true }
	b.src.Put("x/a", "one", old)
	b.pass(filesync.Automatic, flat)
	b.src.Put("y/a", "two", old)
	for range filesync.MaxTries + 1 {
		b.want(b.pass(filesync.Apply, flat), filesync.Partial, "present=1 failed=1")
	}
	b.src.Delete("x/a")
	b.pass(filesync.Automatic, flat)
	b.pass(filesync.Automatic, flat)
	b.wantFile("a", "two", old)
}

func TestConflictIsOverWhenTheFileStandsAgain(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	b.pass(filesync.Automatic)
	path := filepath.Join(b.dir, "a")
	os.WriteFile(path, []byte("edited"), 0o666)
	b.want(b.pass(filesync.Apply), filesync.Partial, "conflict=1")
	os.WriteFile(path, []byte("one"), 0o666)
	os.Chtimes(path, old, old)
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "present=1")
	if recs, err := b.memory.Find(t.Context(), []string{"a"}); err != nil || recs[0].FailureID != 0 {
		t.Errorf("%+v, %v", recs[0].Failure, err)
	}
}

// A directory whose listing starts anew counts each file once.
func TestListingThatStartsAnew(t *testing.T) {
	b := newBench(t)
	for i := range 1500 {
		b.src.Put(fmt.Sprintf("f%d", i), "data", old)
	}
	breaks := &breakingOnce{Source: b.src}
	b.open = func(context.Context) (filesync.Source, error) { return breaks, nil }
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Succeeded, "copied=1500")
	if r.Files.Seen != 1500 {
		t.Errorf("%d files seen", r.Files.Seen)
	}
}

// breakingOnce loses the connection in the middle of its first listing.
type breakingOnce struct {
	filesync.Source
	broke bool
}

func (s *breakingOnce) List(ctx context.Context, dir string) iter.Seq2[filesync.Entry, error] {
	return func(yield func(filesync.Entry, error) bool) {
		n := 0
		for e, err := range s.Source.List(ctx, dir) {
			if n++; n == 1000 && !s.broke {
				s.broke = true
				yield(filesync.Entry{}, &status.Error{Word: status.ConnectionLost, Op: "list"})
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// A server that refuses us in the middle of a listing ends the pass, which
// says why.
func TestRefusedWhenOpenedAgain(t *testing.T) {
	b := newBench(t)
	for i := range 20 {
		b.src.Put(fmt.Sprintf("d%d/f", i), "data", old)
	}
	b.src.OnList = func(dir string) error {
		if dir == "" {
			return nil
		}
		return &status.Error{Word: status.ConnectionLost, Op: "list"}
	}
	first := true
	b.open = func(context.Context) (filesync.Source, error) {
		if first {
			first = false
			return b.src, nil
		}
		return nil, &status.Error{Word: status.AuthenticationFailed, Op: "log in"}
	}
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Failed, "")
	if !status.Is(r.Err, status.AuthenticationFailed) {
		t.Error(r.Err)
	}
}

// A listed file that cannot be opened is tried, and put aside in the end.
func TestListedButNotThere(t *testing.T) {
	b := newBench(t)
	b.src.Put("ghost", "data", old)
	b.src.OnFetch = func(filesync.Entry, int64) error { return fs.ErrNotExist }
	for range filesync.MaxTries {
		b.want(b.pass(filesync.Apply), filesync.Partial, "failed=1")
	}
	b.want(b.pass(filesync.Apply), filesync.Partial, "quarantined=1")
}

// Leftovers of a killed pass are swept even if the pass after it cannot start.
func TestSweepIsNotForgotten(t *testing.T) {
	b := newBench(t)
	if _, _, err := b.memory.StartPass(t.Context(), filesync.Automatic, time.Now(), true); err != nil {
		t.Fatal(err) // and killed
	}
	if _, unclean, err := b.memory.StartPass(t.Context(), filesync.Automatic, time.Now(), true); err != nil || !unclean {
		t.Fatal(unclean, err) // no connection
	}
	os.MkdirAll(b.dir, 0o777)
	left := filepath.Join(b.dir, pending.Name("x", pending.NewOwner(b.ledger.Owner(), "c", 0).NewID()))
	os.WriteFile(left, nil, 0o666)
	b.pass(filesync.Automatic)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the leftover is still there", err)
	}
	if _, unclean, err := b.memory.StartPass(t.Context(), filesync.Automatic, time.Now(), true); err != nil || unclean {
		t.Error("swept once more", err)
	}
}

// With originals that are removed, the copy is all there is: another file of
// the same base name must not take its place.
func TestFlatKeepsTheOnlyCopy(t *testing.T) {
	b := newBench(t)
	both := func(o *pass.Options) { o.Flat, o.AfterCopy.Remove = true, true }
	b.src.Put("d/a", "first", old)
	b.pass(filesync.Automatic, both)
	b.src.Put("e/a", "second", old)
	for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Apply} {
		b.want(b.pass(mode, both), filesync.Partial, "failed=1")
		b.wantFile("a", "first", old)
	}
	os.Remove(filepath.Join(b.dir, "a")) // its reader took it
	b.want(b.pass(filesync.Automatic, both), filesync.Succeeded, "copied=1")
	b.wantFile("a", "second", old)
}

func TestFlatOwnerIsNeverTheLoser(t *testing.T) {
	b := newBench(t)
	flat := func(o *pass.Options) { o.Flat = true }
	for i := range 200 {
		b.src.Put(fmt.Sprintf("x/f%d", i), "one", old)
		b.src.Put(fmt.Sprintf("y/f%d", i), "two", old)
	}
	b.want(b.pass(filesync.Apply, flat), filesync.Partial, "copied=200 failed=200")
	for range 5 {
		b.want(b.pass(filesync.Apply, flat), filesync.Partial, "present=200 failed=200")
	}
}

func TestAdoptedWithOtherContentsStaysAConflict(t *testing.T) {
	b := newBench(t)
	os.MkdirAll(b.dir, 0o777)
	path := filepath.Join(b.dir, "a")
	os.WriteFile(path, []byte("ours"), 0o666)
	os.Chtimes(path, old, old)
	b.src.Put("a", "four", old)
	for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Automatic, filesync.Apply} {
		b.want(b.pass(mode, removing), filesync.Partial, "conflict=1")
	}
	if !b.src.Has("a") {
		t.Error("the original is gone")
	}
}

func TestFileWhereADirectoryIsNeeded(t *testing.T) {
	b := newBench(t)
	os.MkdirAll(b.dir, 0o777)
	os.WriteFile(filepath.Join(b.dir, "b"), []byte("a file"), 0o666)
	b.src.Put("b/c", "data", old)
	b.src.Put("good", "data", old)
	b.want(b.pass(filesync.Automatic), filesync.Partial, "copied=1 conflict=1")
}

// An original that is written to after it was copied, within the same second and
// at equal size, stays until that is copied, too.
func TestRewrittenWithinTheSecond(t *testing.T) {
	b := newBench(t)
	from := t.TempDir()
	b.open = func(context.Context) (filesync.Source, error) { return local.OpenSource(from) }
	write := func(data string, at time.Time) {
		if err := errors.Join(os.WriteFile(filepath.Join(from, "x"), []byte(data), 0o666), os.Chtimes(filepath.Join(from, "x"), at, at)); err != nil {
			t.Error(err)
		}
	}
	write("first", old.Add(time.Millisecond))
	b.want(b.pass(filesync.Automatic, removing, func(o *pass.Options) {
		o.Once = true
		o.OnDelivered = func(filesync.Delivered) { write("later", old.Add(2*time.Millisecond)) }
	}), filesync.Succeeded, "copied=1")
	b.wantFile("x", "first", old.Add(time.Millisecond))
	if data, err := os.ReadFile(filepath.Join(from, "x")); string(data) != "later" {
		t.Fatalf("the original: %q, %v", data, err)
	}
	b.want(b.pass(filesync.Automatic, removing, func(o *pass.Options) { o.Once = true }), filesync.Succeeded, "copied=1")
	if data, err := os.ReadFile(filepath.Join(b.dir, "x")); string(data) != "later" {
		t.Errorf("the copy: %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(from, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the original is left: %v", err)
	}
}
