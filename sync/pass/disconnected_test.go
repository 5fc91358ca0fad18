package pass_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// begin runs a pass with an id of its own to a destination that is lost after
// so many calls, and, if it was, the same pass once more to one that is not.
func (b *bench) cut(calls int, late bool) (first, second filesync.Result, was bool) {
	b.t.Helper()
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	id, sweep, err := b.memory.StartPass(b.t.Context(), filesync.Automatic, time.Now(), true)
	if err != nil || sweep {
		b.t.Fatal(sweep, err)
	}
	run := func(calls int, sweep bool) filesync.Result {
		d, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
		if err != nil {
			b.t.Fatal(err)
		}
		defer d.Close()
		dst := storetest.NewCut(d, calls)
		dst.Late = late
		src, err := b.open(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		o := pass.Options{ID: id, Mode: filesync.Automatic, Filter: filter, Sweep: sweep}
		return pass.New(src, b.open, dst, b.memory, b.shared, o).Run(b.t.Context())
	}
	first = run(calls, false)
	if !errors.Is(first.Err, filesync.ErrDisconnected) {
		return first, first, false
	}
	return first, run(1<<30, true), true
}

// TestDestinationIsLost: wherever the connection to the destination is lost,
// nothing that is not whole has a name, and the pass that begins anew completes.
func TestDestinationIsLost(t *testing.T) {
	for _, late := range []bool{false, true} {
		for calls := 0; ; calls++ {
			b := newBench(t)
			const files = 4
			for i := range files {
				b.src.Put(fmt.Sprintf("d%d/x", i%2), "an older one", old) // replaced below, so that each is new
				b.src.Put(fmt.Sprintf("d%d/x%d", i%2, i), fmt.Sprintf("file %d", i), old)
			}
			first, second, was := b.cut(calls, late)
			if !was {
				if first.Outcome != filesync.Succeeded || calls < 10 {
					t.Fatalf("after %d calls: %s, %v", calls, first.Outcome, first.Err)
				}
				break
			}
			if first.Outcome != filesync.Failed {
				t.Errorf("after %d calls: %s", calls, first.Outcome)
			}
			all := second.Join(first)
			if second.Outcome != filesync.Succeeded || all.Files.Seen != files+2 || all.Files.Copied+all.Files.Present != files+2 {
				t.Errorf("after %d calls, late %v: %s %+v and %+v make %+v (%v)", calls, late, second.Outcome, first.Files, second.Files, all.Files, second.Err)
			}
			for i := range files {
				data, err := os.ReadFile(filepath.Join(b.dir, fmt.Sprintf("d%d/x%d", i%2, i)))
				if want := fmt.Sprintf("file %d", i); err != nil || string(data) != want {
					t.Errorf("after %d calls: %q, %v", calls, data, err)
				}
			}
			b.noPending()
			if r := b.pass(filesync.Automatic); r.Files.Copied != 0 {
				t.Errorf("after %d calls: copied again: %+v", calls, r.Files)
			}
		}
	}
}

// TestLostDestinationIsSwept: a pass of another day sweeps, too.
func TestLostDestinationIsSwept(t *testing.T) {
	b := newBench(t)
	b.src.Put("x", "data", old)
	d, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.Begin(t.Context(), filesync.Entry{Name: "left", Size: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Keep()
	if err := b.memory.RequireSweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1") // and looks for pending files
	if _, sweep, err := b.memory.StartPass(t.Context(), filesync.Automatic, time.Now(), true); err != nil || sweep {
		t.Errorf("to be swept again: %v, %v", sweep, err)
	}
}

// TestOnce: what a receiver took away is not sent again, whoever asks.
func TestOnce(t *testing.T) {
	once := func(o *pass.Options) { o.Once = true }
	b := newBench(t)
	b.src.Put("a", "a", old)
	b.src.Put("b", "b", old)
	b.want(b.pass(filesync.Automatic, once), filesync.Succeeded, "copied=2")
	if err := os.Remove(filepath.Join(b.dir, "a")); err != nil {
		t.Fatal(err)
	}
	b.want(b.pass(filesync.Automatic, once), filesync.Succeeded, "present=2")
	b.want(b.pass(filesync.Apply, once), filesync.Succeeded, "present=2")
	b.src.Put("a", "another version", old)
	b.want(b.pass(filesync.Apply, once), filesync.Succeeded, "copied=1 present=1")
	if err := os.Remove(filepath.Join(b.dir, "a")); err != nil {
		t.Fatal(err)
	}
	// Originals go by what the ledger says, not by what stands.
	gone := func(o *pass.Options) { o.Once, o.AfterCopy.Remove = true, true }
	b.want(b.pass(filesync.Apply, gone), filesync.Succeeded, "present=2")
	if _, ok := b.src.Read("a"); ok {
		t.Error("the original of a delivered file is left")
	}
	b.src.Put("a", "another version", old) // the same again is a new file
	b.want(b.pass(filesync.Apply, gone), filesync.Succeeded, "copied=1")
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "")
}
