package ledger_test

import (
	"slices"
	"sync"
	"testing"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// A checkpoint is dropped by who has it, and not with one that took its place.
func TestCheckpointsAreOfTheirPendingFiles(t *testing.T) {
	l := open(t, t.TempDir())
	c, stranger := connector(t, l, "c"), connector(t, l, "d")
	save := func(c *ledger.Connector, path, pending string) {
		t.Helper()
		must(t, c.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: entry(path, 9), Checkpoint: filesync.Checkpoint{ID: pending, Prefix: 5}}))
	}
	left := func(want ...string) {
		t.Helper()
		all, err := c.Checkpoints(t.Context())
		must(t, err)
		var got []string
		for path, k := range all {
			got = append(got, path+" "+k.Checkpoint.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("left %q, want %q", got, want)
		}
	}
	for _, path := range []string{"a", "b", "c", "d"} {
		save(c, path, path+"1")
	}
	save(stranger, "a", "a1")
	save(c, "b", "b2") // another pass's
	must(t, c.DropCheckpoint(t.Context(), "a", "a1"))
	must(t, c.DropCheckpoint(t.Context(), "b", "b1"))
	left("b b2", "c c1", "d d1")

	of := func(path, pending string) filesync.Delivery {
		d := delivery(path, 9)
		d.PendingID = pending
		return d
	}
	adopted := of("d", "")
	adopted.Adopted = true
	commit(t, c, of("b", "b1"), of("c", "c1"), adopted)
	left("b b2", "d d1")
	if all, err := stranger.Checkpoints(t.Context()); err != nil || len(all) != 1 {
		t.Error(all, err)
	}
}

// after_copy moves on only from where its reader saw it.
func TestSetAfterIf(t *testing.T) {
	l := open(t, t.TempDir())
	c, stranger := connector(t, l, "c"), connector(t, l, "d")
	states := []filesync.After{filesync.AfterNone, filesync.AfterOwed, filesync.AfterTrying, filesync.AfterDone, filesync.AfterCompare, filesync.AfterRefused}
	for _, is := range states {
		for _, read := range states {
			d := delivery("x", 1)
			d.After = is
			id := commit(t, c, d)[0]
			other := commit(t, stranger, d)[0]
			changed, err := c.SetAfterIf(t.Context(), map[int64]filesync.After{id: read, other: read, 1 << 40: read}, filesync.AfterTrying)
			must(t, err)
			want, after := []int64(nil), is
			if is == read {
				want, after = []int64{id}, filesync.AfterTrying
			}
			if got := find(t, c, "x").After; got != after || !slices.Equal(changed, want) {
				t.Errorf("it is %v and was read as %v: changed %v, and it is %v", is, read, changed, got)
			}
			if find(t, stranger, "x").After != is {
				t.Error("another connector's row changed")
			}
		}
	}
	if changed, err := c.SetAfterIf(t.Context(), nil, filesync.AfterTrying); err != nil || len(changed) != 0 {
		t.Error(changed, err)
	}
}

// Of two programs that take the same rows, each row is one's alone.
func TestRowsAreTakenOnce(t *testing.T) {
	dir := t.TempDir()
	handles := []*ledger.Connector{connector(t, open(t, dir), "c"), connector(t, open(t, dir), "c")}
	const n, chunk = 400, 10
	batch := deliveries("f", n)
	for i := range batch {
		batch[i].After = filesync.AfterOwed
		if i%3 == 0 {
			batch[i].After = filesync.AfterCompare
		}
	}
	ids := commit(t, handles[0], batch...)
	var mu sync.Mutex
	taken := map[int64]int{}
	var racers sync.WaitGroup
	for _, c := range handles {
		racers.Go(func() {
			for from := 0; from < n; from += chunk {
				rows := map[int64]filesync.After{}
				for i := from; i < from+chunk; i++ {
					rows[ids[i]] = batch[i].After
				}
				mine, err := c.SetAfterIf(t.Context(), rows, filesync.AfterTrying)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, id := range mine {
					taken[id]++
				}
				mu.Unlock()
			}
		})
	}
	racers.Wait()
	for i, id := range ids {
		if taken[id] != 1 {
			t.Errorf("row %d was taken %d times", i, taken[id])
		}
	}
}
