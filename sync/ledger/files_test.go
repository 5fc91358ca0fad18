package ledger_test

import (
	"slices"
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
		must(t, c.SaveCheckpoint(t.Context(), path, entry(path, 9), filesync.Checkpoint{ID: pending, Prefix: 5}))
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
