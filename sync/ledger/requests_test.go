package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/sync/ledger"
)

func asked(id, replyTo string) ledger.Request {
	return ledger.Request{ID: id, Connector: "c", State: ledger.RequestAccepted, Body: `{"id":"x"}`, Token: "billing", ReplyTo: replyTo,
		Accepted: day, Deadline: day.Add(time.Minute)}
}

// However many take a request for theirs, in whatever process, one does, and
// one answer stays.
func TestOneAnswer(t *testing.T) {
	dir := t.TempDir()
	const handles = 4
	type outcome struct {
		added, won bool
		err        error
	}
	outcomes := make(chan outcome, handles)
	for h := range handles {
		l := open(t, dir)
		connector(t, l, "c")
		go func() {
			var o outcome
			_, o.added, o.err = l.AcceptRequest(context.Background(), asked("x", "http://u"))
			if o.err == nil {
				o.won, o.err = l.FinishRequest(context.Background(), "x", "replied", fmt.Sprint(h), day)
			}
			outcomes <- o
		}()
	}
	added, won := 0, 0
	for range handles {
		o := <-outcomes
		must(t, o.err)
		if o.added {
			added++
		}
		if o.won {
			won++
		}
	}
	if added != 1 || won != 1 {
		t.Errorf("added by %d, answered by %d", added, won)
	}
}

// A request, its answer and what became of the posting are there after a kill.
func TestRequestsSurvive(t *testing.T) {
	dir := t.TempDir()
	again := func() *ledger.Ledger { // as another process would, with the first one dead
		l := open(t, dir)
		connector(t, l, "c")
		return l
	}
	_, _, err := again().AcceptRequest(t.Context(), asked("x", "http://u"))
	must(t, err)
	if open, err := again().RunRequest(t.Context(), "x"); err != nil || !open {
		t.Fatal(open, err)
	}
	if left, err := again().OpenRequests(t.Context()); err != nil || len(left) != 1 || left[0].State != ledger.RequestRunning {
		t.Fatal(left, err)
	}
	if won, err := again().FinishRequest(t.Context(), "x", "replied", `{"success":true}`, day); err != nil || !won {
		t.Fatal(won, err)
	}
	must(t, again().ReplyFailed(t.Context(), "x", 1, day.Add(time.Second), "connection refused"))
	want := asked("x", "http://u")
	want.State, want.Reply, want.Finished = "replied", `{"success":true}`, day
	want.Posting = ledger.Posting{Tries: 1, Next: day.Add(time.Second), Error: "connection refused"}
	if r, err := again().Request(t.Context(), "x"); err != nil || r != want {
		t.Errorf("%+v %v\nwant %+v", r, err, want)
	}
	due, next, err := again().DueReplies(t.Context(), day, 10)
	if err != nil || len(due) != 0 || !next.Equal(day.Add(time.Second)) {
		t.Error("too early:", due, next, err)
	}
	if due, next, err = again().DueReplies(t.Context(), day.Add(time.Second), 10); err != nil || len(due) != 1 || due[0].ID != "x" || !next.IsZero() {
		t.Error(due, next, err)
	}
	must(t, again().ReplyPosted(t.Context(), "x"))
	must(t, again().ReplyFailed(t.Context(), "x", 2, day, "too late to matter"))
	want.Posted, want.Posting = true, ledger.Posting{Tries: 2}
	if r, err := again().Request(t.Context(), "x"); err != nil || r != want {
		t.Errorf("%+v %v\nwant %+v", r, err, want)
	}
}

// Of each receiver what is due longest, those due longest first.
func TestDueReplies(t *testing.T) {
	l := open(t, t.TempDir())
	connector(t, l, "c")
	for i, r := range []struct {
		id, replyTo string
		finished    int // seconds
	}{{"u late", "u", 3}, {"u", "u", 2}, {"v", "v", 1}, {"w", "w", 5}, {"not yet", "x", 7}, {"nowhere", "", 1}, {"much later", "u", 9}} {
		_, _, err := l.AcceptRequest(t.Context(), asked(r.id, r.replyTo))
		must(t, err)
		won, err := l.FinishRequest(t.Context(), r.id, "replied", "{}", day.Add(time.Duration(r.finished)*time.Second))
		if err != nil || !won {
			t.Fatal(i, won, err)
		}
	}
	due := func(limit int, want ...string) {
		t.Helper()
		all, next, err := l.DueReplies(t.Context(), day.Add(5*time.Second), limit)
		var got []string
		for _, r := range all {
			got = append(got, r.ID)
		}
		if err != nil || !slices.Equal(got, want) || !next.Equal(day.Add(7*time.Second)) {
			t.Errorf("%q, next %v, %v; want %q", got, next, err, want)
		}
	}
	must(t, l.ReplyFailed(t.Context(), "not yet", 1, day.Add(7*time.Second), "no"))
	due(10, "v", "u", "w")
	due(2, "v", "u")
	must(t, l.ReplyPosted(t.Context(), "u"))
	must(t, l.ReplyFailed(t.Context(), "v", 1, day.Add(4*time.Second), "no"))
	due(10, "u late", "v", "w")
	must(t, l.ReplyFailed(t.Context(), "v", 2, time.Time{}, "410 Gone"))
	due(10, "u late", "w")
}

func TestRequestOfNoConnector(t *testing.T) {
	l := open(t, t.TempDir())
	_, added, err := l.AcceptRequest(t.Context(), asked("x", ""))
	if err == nil || added || !strings.Contains(err.Error(), "request x of connector c") {
		t.Error(added, err)
	}
}

// What was planned on a clock that was ahead is not put off for as long: what has not
// failed is due at once, what has failed within minutes.
func TestPostingsAfterTheClockWasSetBack(t *testing.T) {
	for _, by := range []time.Duration{time.Minute, time.Hour, 5 * 365 * 24 * time.Hour} {
		l := open(t, t.TempDir())
		c := connector(t, l, "c")
		ahead := day.Add(by)
		_, _, err := l.AcceptRequest(t.Context(), asked("r", "u"))
		must(t, err)
		_, err = l.FinishRequest(t.Context(), "r", "replied", "{}", ahead)
		must(t, err)
		must(t, l.AddSubscription(t.Context(), ledger.Subscription{ID: "s", Connector: "c", ReplyTo: "v", Created: ahead}))
		commit(t, c, delivery("a", 1))
		due := func(want int, later time.Time) {
			t.Helper()
			replies, next, err := l.DueReplies(t.Context(), day, 10)
			if err != nil || len(replies) != want || !next.Equal(later) {
				t.Error(by, replies, next, err)
			}
			subscriptions, next, err := l.DueSubscriptions(t.Context(), day, 10)
			if err != nil || len(subscriptions) != want || !next.Equal(later) {
				t.Error(by, subscriptions, next, err)
			}
		}
		due(1, time.Time{})
		soon := day.Add(5 * time.Minute)
		must(t, l.ReplyFailed(t.Context(), "r", 1, soon, "no"))
		must(t, l.SubscriptionFailed(t.Context(), "s", 1, soon, "no"))
		due(0, soon)
		planned := ahead.Add(11 * time.Minute)
		must(t, l.ReplyFailed(t.Context(), "r", 2, planned, "no"))
		must(t, l.SubscriptionFailed(t.Context(), "s", 2, planned, "no"))
		due(1, time.Time{})
	}
}
