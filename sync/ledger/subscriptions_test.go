package ledger_test

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

func subscribe(t *testing.T, l *ledger.Ledger, connector, id string) {
	t.Helper()
	must(t, l.AddSubscription(t.Context(), ledger.Subscription{ID: id, Connector: connector, Body: "{}", Token: "billing", ReplyTo: "http://u", Created: day}))
}

// log gives what is left of the log from the start, as the subscription sees it.
func log(t *testing.T, l *ledger.Ledger, id string) []ledger.LoggedDelivery {
	t.Helper()
	all, err := l.Deliveries(t.Context(), id, 0, 1_000_000)
	must(t, err)
	return all
}

// deliveries are n files.
func deliveries(prefix string, n int) []filesync.Delivery {
	all := make([]filesync.Delivery, n)
	for i := range all {
		all[i] = delivery(fmt.Sprintf("%s%05d", prefix, i), 1)
	}
	return all
}

// A delivery is logged as it was committed, for those who asked before, and for
// the subscriptions of its own connector alone.
func TestDeliveriesAreLogged(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c, d := connector(t, l, "c"), connector(t, l, "d")
	commit(t, c, delivery("too early", 1))
	subscribe(t, l, "c", "s")
	subscribe(t, l, "d", "other")
	again := delivery("too early", 2)
	moved := filesync.Delivery{Source: filesync.Entry{Name: "x/y", Size: 3}, Target: filesync.Entry{Name: "y", Size: 3, ModTime: day}, Key: "y", Adopted: true, Pass: "1", At: day.Add(time.Hour)}
	// By another process, in an order that is not that of the rows.
	commit(t, connector(t, open(t, dir), "c"), moved, again)
	commit(t, d, delivery("theirs", 1))
	want := []ledger.LoggedDelivery{
		{Sequence: 1, Source: moved.Source, Target: "y", Adopted: true, At: moved.At},
		{Sequence: 2, Source: again.Source, Target: "too early", At: day},
	}
	if got := log(t, l, "s"); !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := log(t, l, "other"); len(got) != 1 || got[0].Source.Name != "theirs" {
		t.Errorf("%+v", got)
	}
	if got := log(t, l, "unknown"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// A commit that fails at its last step has logged nothing.
func TestLogIsOfTheCommit(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c := connector(t, l, "c")
	subscribe(t, l, "c", "s")
	intent, err := c.Intend(t.Context(), deliveries("a", 2))
	must(t, err)
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(t, err)
	_, err = db.Exec("CREATE TRIGGER no BEFORE DELETE ON intents BEGIN SELECT raise(ABORT, 'no'); END")
	must(t, errors.Join(err, db.Close()))
	if _, err = c.Commit(t.Context(), []int64{intent}, deliveries("a", 2)); err == nil {
		t.Fatal("committed")
	}
	if got := log(t, l, "s"); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// The log is as long as the slowest subscription needs, and its numbers go on
// when it is empty.
func TestLogIsTrimmed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	c := connector(t, l, "c")
	subscribe(t, l, "c", "fast")
	subscribe(t, l, "c", "slow")
	const n = 4500 // more than is removed at a time
	commit(t, c, deliveries("a", n)...)
	must(t, l.Advance(t.Context(), "fast", n, day))
	if got := len(log(t, l, "fast")); got != n {
		t.Errorf("%d are left, the slow one needs %d", got, n)
	}
	must(t, l.Advance(t.Context(), "slow", 7, day))
	must(t, l.Advance(t.Context(), "slow", 3, day)) // never back
	if s, err := l.Subscription(t.Context(), "slow"); err != nil || s.Cursor != 7 {
		t.Errorf("%+v %v", s, err)
	}
	if got := log(t, l, "fast"); len(got) != n-7 || got[0].Sequence != 8 {
		t.Errorf("%d are left, the slow one needs %d", len(got), n-7)
	}
	must(t, l.DeleteSubscription(t.Context(), "slow"))
	if got := log(t, l, "fast"); len(got) != 0 {
		t.Errorf("%d are left and nobody needs them", len(got))
	}
	must(t, l.Close())
	l = open(t, dir)
	subscribe(t, l, "c", "new")
	must(t, l.Advance(t.Context(), "fast", math.MaxInt64, day)) // not past the end
	commit(t, connector(t, l, "c"), delivery("b", 1))
	for _, id := range []string{"fast", "new"} {
		s, err := l.Subscription(t.Context(), id)
		if err != nil || s.Cursor != n || s.Pending != 1 {
			t.Errorf("%+v %v", s, err)
		}
	}
	if got := log(t, l, "new"); len(got) != 1 || got[0].Sequence != n+1 {
		t.Errorf("%+v", got)
	}
}

// A subscription that is not to be tried again waits until somebody drops what
// is pending. The retention takes that away too, but not what is to be tried.
func TestSubscriptionThatCannotBeTold(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	subscribe(t, l, "c", "s")
	due := func(want int64) {
		t.Helper()
		if all, _ := dueIn(t, l, day.Add(1000*time.Hour)); int64(len(all)) != min(want, 1) {
			t.Error("due:", all)
		}
		if s, err := l.Subscription(t.Context(), "s"); err != nil || s.Pending != want {
			t.Errorf("%+v %v, want %d pending", s, err, want)
		}
	}
	due(0)
	commit(t, c, deliveries("a", 3)...)
	due(3)
	must(t, l.Outbox().Failed(t.Context(), row(ledger.KindSubscription, "s", 9), time.Time{}, "410 Gone"))
	if all, next := dueIn(t, l, day.Add(1000*time.Hour)); len(all) != 0 || !next.IsZero() {
		t.Error(all, next)
	}
	if s, err := l.Subscription(t.Context(), "s"); err != nil || s.Pending != 3 || s.Posting != (ledger.Posting{Tries: 9, Error: "410 Gone"}) {
		t.Errorf("%+v %v", s, err)
	}
	must(t, l.DropPending(t.Context(), "s", day))
	due(0)
	commit(t, c, deliveries("b", 2)...)
	due(2)
	must(t, c.Forget(t.Context(), day.Add(time.Second)))
	due(2)
	must(t, l.Outbox().Failed(t.Context(), row(ledger.KindSubscription, "s", 9), day, "503"))
	must(t, c.Forget(t.Context(), day.Add(time.Second)))
	due(2)
	must(t, l.Outbox().Failed(t.Context(), row(ledger.KindSubscription, "s", 9), time.Time{}, "410 Gone"))
	must(t, c.Forget(t.Context(), day.Add(-time.Second)))
	if n := len(log(t, l, "s")); n != 2 {
		t.Errorf("%d deliveries are left, want those 2 that are not old", n)
	}
	must(t, c.Forget(t.Context(), day.Add(time.Second)))
	if n := len(log(t, l, "s")); n != 0 {
		t.Errorf("%d deliveries are left that nobody is to be told of", n)
	}
}

// A connector without subscriptions pays next to nothing for those of others.
func BenchmarkCommit(b *testing.B) {
	for _, subscribed := range []bool{false, true} {
		b.Run(fmt.Sprintf("subscribed=%v", subscribed), func(b *testing.B) {
			l, err := ledger.Open(b.Context(), b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			c, err := l.Connector(b.Context(), "c")
			if err == nil && subscribed {
				err = l.AddSubscription(b.Context(), ledger.Subscription{ID: "s", Connector: "c"})
			}
			for i := 0; err == nil && b.Loop(); i++ {
				_, err = c.Commit(b.Context(), nil, deliveries(fmt.Sprintf("%d/", i), 512))
			}
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}
