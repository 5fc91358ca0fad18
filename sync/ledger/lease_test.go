package ledger_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// claim claims a connector for the process of the ledger.
func claim(t *testing.T, l *ledger.Ledger) *ledger.Connector {
	t.Helper()
	c, err := connector(t, l, "c").Claim(t.Context())
	must(t, err)
	return c
}

// Each process that claims a connector has an epoch of its own.
func TestEpochs(t *testing.T) {
	dir := t.TempDir()
	one, other := open(t, dir), open(t, dir)
	for i, each := range []struct {
		l     *ledger.Ledger
		epoch int64
	}{{one, 1}, {one, 1}, {other, 2}, {other, 2}, {one, 3}} {
		if got := claim(t, each.l).Epoch(); got != each.epoch {
			t.Errorf("claim %d: epoch %d, want %d", i, got, each.epoch)
		}
	}
	must(t, one.Close())
	if got := claim(t, open(t, dir)).Epoch(); got != 4 {
		t.Errorf("epoch %d after another start", got)
	}
	d, err := connector(t, other, "d").Claim(t.Context())
	if err != nil || d.Epoch() != 1 {
		t.Error("the epoch of another connector:", d.Epoch(), err)
	}
}

// Nothing that a pass writes is written once another process has claimed its connector.
func TestWritesOfAnOldEpochAreRefused(t *testing.T) {
	dir := t.TempDir()
	c := claim(t, open(t, dir))
	d := delivery("x", 1)
	d.After = filesync.AfterOwed
	rows := commit(t, c, d)
	intent, err := c.Intend(t.Context(), []filesync.Delivery{delivery("y", 1)})
	must(t, err)
	must(t, c.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: entry("k", 1), Checkpoint: filesync.Checkpoint{ID: "id", Prefix: 1}}))
	_, err = c.Fail(t.Context(), []filesync.Failure{{Source: entry("f", 1), Tries: 1, Next: day, At: day}})
	must(t, err)
	pass, _, err := c.StartPass(t.Context(), filesync.Apply, day, true)
	must(t, err)

	after := claim(t, open(t, dir))
	ctx := t.Context()
	for name, write := range map[string]func() error{
		"Intend": func() error {
			_, err := c.Intend(ctx, []filesync.Delivery{delivery("z", 1)})
			return err
		},
		"IntendInPlace": func() error {
			_, err := c.IntendInPlace(ctx, []filesync.Delivery{delivery("z", 1)})
			return err
		},
		"MarkOpened": func() error { return c.MarkOpened(ctx, []int64{intent}) },
		"Drop":       func() error { return c.Drop(ctx, []int64{intent}) },
		"Commit": func() error {
			_, err := c.Commit(ctx, []int64{intent}, []filesync.Delivery{delivery("y", 1)})
			return err
		},
		"Fail": func() error {
			_, err := c.Fail(ctx, []filesync.Failure{{Source: entry("f", 2), Tries: 1, Next: day, At: day}})
			return err
		},
		"Release": func() error { return c.Release(ctx, []string{"f"}) },
		"Swept":   func() error { return c.Swept(ctx) },
		"SaveCheckpoint": func() error {
			return c.SaveCheckpoint(ctx, filesync.Interrupted{Source: entry("k", 2), Checkpoint: filesync.Checkpoint{ID: "other"}})
		},
		"DropCheckpoint": func() error { return c.DropCheckpoint(ctx, "k", "id") },
		"SetAfter":       func() error { return c.SetAfter(ctx, rows, filesync.AfterDone) },
		"SetAfterIf": func() error {
			_, err := c.SetAfterIf(ctx, map[int64]filesync.After{rows[0]: filesync.AfterOwed}, filesync.AfterTrying)
			return err
		},
		"Gone": func() error { return c.Gone(ctx, filesync.NewSeen(), 1<<40, day) },
		"Bind": func() error { return c.Bind(ctx, "source") },
		"FinishPass": func() error {
			return c.FinishPass(ctx, pass, filesync.Result{Outcome: filesync.Failed, Finished: day}, "")
		},
		"CountFruitless": func() error {
			_, err := c.CountFruitless(ctx, true)
			return err
		},
	} {
		err := write()
		if taken, ok := errors.AsType[*ledger.TakenOverError](err); !ok || taken.Connector != "c" || !ledger.Broken(err) {
			t.Errorf("%s: %v, want that it was taken over", name, err)
		}
	}
	must(t, c.RequireSweep(ctx)) // it may have left some all the same
	if r := find(t, after, "x"); r.After != filesync.AfterOwed || r.Gone {
		t.Errorf("%+v", r)
	}
	if r := find(t, after, "f"); r.Failure.Source.Size != 1 {
		t.Errorf("%+v", r)
	}
	if r := find(t, after, "y"); r.ID != 0 {
		t.Errorf("%+v", r)
	}
	intents, err := after.Intents(ctx)
	if err != nil || len(intents) != 1 || intents[intent][0].Opened {
		t.Error(intents, err)
	}
	checkpoints, err := after.Checkpoints(ctx)
	if want := (filesync.Checkpoint{ID: "id", Prefix: 1}); err != nil || checkpoints["k"].Checkpoint != want {
		t.Error(checkpoints, err)
	}
	commit(t, after, delivery("x", 2))
}

// What was delivered last comes first, whatever the clock said then.
func TestOrderIsThatOfCommits(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	for i, name := range []string{"a", "b", "c", "a"} {
		d := delivery(name, int64(i))
		d.At = day.Add(-time.Duration(i) * time.Hour) // a clock that is set back all the time
		d.Key = "key"
		commit(t, c, d)
	}
	files, err := c.Delivered(t.Context(), 10)
	must(t, err)
	var got []string
	for _, f := range files {
		got = append(got, f.Record.Delivery.Source.Name)
	}
	if want := []string{"a", "c", "b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	owners, err := c.Owners(t.Context(), []string{"key"})
	if err != nil || owners[0].Delivery.Source.Name != "a" {
		t.Error("the last owner:", owners, err)
	}
}
