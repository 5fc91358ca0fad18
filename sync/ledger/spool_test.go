package ledger_test

import (
	"slices"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// Rows of an index are written and removed together, are there after a restart in
// the order of their ids, and are each Space's own.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	s, err := l.Spool(t.Context(), "spaces/a")
	must(t, err)
	other, err := l.Spool(t.Context(), "spaces/b")
	must(t, err)
	row := func(id int64) ledger.SpoolRow {
		return ledger.SpoolRow{ID: id, Parent: 1, Name: "x\xff", State: ledger.SpoolReceived, Object: "o", Size: 7, ModTime: day, Changed: day.Add(time.Millisecond), Origin: "d/x"}
	}
	must(t, s.Change(t.Context(), []ledger.SpoolRow{row(3), row(1), row(2)}, nil))
	must(t, other.Change(t.Context(), []ledger.SpoolRow{row(1)}, nil))
	changed := row(2)
	changed.Parent, changed.Name, changed.State, changed.ModTime = 0, "", ledger.SpoolRemoved, time.Time{}
	must(t, s.Change(t.Context(), []ledger.SpoolRow{changed, row(9)}, []int64{1, 5}))
	must(t, s.Change(t.Context(), nil, nil))
	must(t, l.Close())
	l = open(t, dir)
	for name, want := range map[string][]ledger.SpoolRow{"spaces/a": {changed, row(3), row(9)}, "spaces/b": {row(1)}, "spaces/c": nil} {
		s, err := l.Spool(t.Context(), name)
		must(t, err)
		var got []ledger.SpoolRow
		must(t, s.Rows(t.Context(), func(r ledger.SpoolRow) error { got = append(got, r); return nil }))
		if !slices.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// The version that a source gives a file is kept wherever the file is.
func TestVersionsAreKept(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	e := entry("a", 1)
	e.Version = "first"
	d := filesync.Delivery{Source: e, Target: entry("a", 1), Pass: "1", At: day}
	intent, err := c.Intend(t.Context(), []filesync.Delivery{d})
	must(t, err)
	if all, err := c.Intents(t.Context()); err != nil || all[intent][0].Source.Version != "first" {
		t.Error(all, err)
	}
	for _, version := range []string{"first", "second"} {
		d.Source.Version = version
		_, err = c.Commit(t.Context(), []int64{intent}, []filesync.Delivery{d})
		must(t, err)
		if r := find(t, c, "a"); r.Delivery.Source != d.Source || !r.Delivered(d.Source) {
			t.Errorf("%+v", r)
		}
		if e.Version = "another"; find(t, c, "a").Delivered(e) {
			t.Error("another version of the same size and time counts as delivered")
		}
		_, err = c.Fail(t.Context(), []filesync.Failure{{Source: d.Source, Error: "no", At: day}})
		must(t, err)
		if r := find(t, c, "a"); r.Failure.Source != d.Source {
			t.Errorf("%+v", r.Failure)
		}
		must(t, c.SaveCheckpoint(t.Context(), filesync.Interrupted{Source: d.Source, Checkpoint: filesync.Checkpoint{ID: "p", Prefix: 1}}))
		if all, err := c.Checkpoints(t.Context()); err != nil || all["a"].Source.Version != version {
			t.Error(all, err)
		}
	}
	if e := entry("a", 1); !find(t, c, "a").Delivered(e) { // nothing is known of its version
		t.Error("the same size and time do not count as delivered")
	}
}
