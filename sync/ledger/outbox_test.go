package ledger_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sftpconnector/sync/ledger"
)

// row is one of the outbox after so many tries that failed.
func row(kind ledger.Kind, id string, tries int) ledger.OutboxRow {
	return ledger.OutboxRow{Lane: ledger.Lane{Kind: kind}, ID: id, Tries: tries}
}

// dueIn gives what is due at now, lane by lane, and when the next is.
func dueIn(t *testing.T, l *ledger.Ledger, now time.Time) (due []string, next time.Time) {
	t.Helper()
	lanes, next, err := l.Outbox().Lanes(t.Context(), now, nil, nil, 100)
	must(t, err)
	for _, lane := range lanes {
		rows, err := l.Outbox().Due(t.Context(), lane, now, 100)
		must(t, err)
		for _, r := range rows {
			due = append(due, r.String())
		}
	}
	return due, next
}

// answer has a reply be due, from so many seconds on.
func answer(t *testing.T, l *ledger.Ledger, id, replyTo string, seconds int) {
	t.Helper()
	_, _, err := l.AcceptRequest(t.Context(), asked(id, replyTo))
	must(t, err)
	won, err := l.FinishRequest(t.Context(), id, "replied", "{}", day.Add(time.Duration(seconds)*time.Second))
	if err != nil || !won {
		t.Fatal(id, won, err)
	}
}

// A lane is a kind and a URL without its query; its host tells those of one machine.
func TestLanes(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	for i, url := range []string{"http://r:8000/1?x=http://a/", "http://r:8000/1?y", "http://r:8000/2", "https://r", "https://r?id=1/2", "http://[::1]:80/a/b?"} {
		answer(t, l, fmt.Sprint(i), url, i)
	}
	must(t, l.AddSubscription(t.Context(), ledger.Subscription{ID: "s", Connector: "c", ReplyTo: "https://r?id=1/2", Created: day}))
	commit(t, c, delivery("a", 1))
	lanes := func(busy []ledger.Lane, hosts ...string) []ledger.Lane {
		t.Helper()
		all, next, err := l.Outbox().Lanes(t.Context(), day.Add(time.Minute), busy, hosts, 10)
		if err != nil || !next.IsZero() {
			t.Error(next, err)
		}
		return all
	}
	want := []ledger.Lane{
		{Kind: ledger.KindReply, Receiver: "http://r:8000/1", Host: "http://r:8000"},
		{Kind: ledger.KindSubscription, Receiver: "https://r", Host: "https://r"},
		{Kind: ledger.KindReply, Receiver: "http://r:8000/2", Host: "http://r:8000"},
		{Kind: ledger.KindReply, Receiver: "https://r", Host: "https://r"},
		{Kind: ledger.KindReply, Receiver: "http://[::1]:80/a/b", Host: "http://[::1]:80"},
	}
	if got := lanes(nil); !slices.Equal(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if got := lanes(want[1:2], "http://r:8000"); !slices.Equal(got, want[3:]) {
		t.Errorf("%+v\nwant %+v", got, want[3:])
	}
	rows, err := l.Outbox().Due(t.Context(), want[0], day.Add(time.Minute), 10)
	wantRows := []ledger.OutboxRow{{Lane: want[0], ID: "0", URL: "http://r:8000/1?x=http://a/"}, {Lane: want[0], ID: "1", URL: "http://r:8000/1?y"}}
	if err != nil || !slices.Equal(rows, wantRows) {
		t.Errorf("%+v %v\nwant %+v", rows, err, wantRows)
	}
}

// Lanes come by when something is due in them. In a lane first tries are made in the
// order in which the rows came, also where the clock has been set back meanwhile;
// what failed is behind them, and what is posted or given up is gone.
func TestOrderInALane(t *testing.T) {
	l := open(t, t.TempDir())
	connector(t, l, "c")
	for _, r := range []struct {
		id, replyTo string
		seconds     int
	}{{"first", "http://u", 3}, {"second", "http://u", 2}, {"v", "http://v", 1}, {"w", "http://w", 5}, {"later", "http://x", 4}, {"nowhere", "", 1}} {
		answer(t, l, r.id, r.replyTo, r.seconds)
	}
	failed := func(id string, tries, seconds int) {
		t.Helper()
		must(t, l.Outbox().Failed(t.Context(), row(ledger.KindReply, id, tries), day.Add(time.Duration(seconds)*time.Second), "no"))
	}
	due := func(want ...string) {
		t.Helper()
		got, next := dueIn(t, l, day.Add(5*time.Second))
		for i := range want {
			want[i] = "reply:" + want[i]
		}
		if !slices.Equal(got, want) || !next.Equal(day.Add(7*time.Second)) {
			t.Errorf("%q, next %v; want %q", got, next, want)
		}
	}
	failed("later", 1, 7)
	due("v", "first", "second", "w")
	failed("first", 1, 1)
	failed("v", 1, 4)
	due("second", "first", "v", "w")
	failed("second", 1, 0)
	due("second", "first", "v", "w")
	must(t, l.ReplyPosted(t.Context(), "second"))
	must(t, l.Outbox().Failed(t.Context(), row(ledger.KindReply, "v", 2), time.Time{}, "410 Gone"))
	due("first", "w")
	must(t, l.Outbox().Drop(t.Context(), row(ledger.KindReply, "w", 0)))
	due("first")
}

// Subscriptions of one receiver take turns: who was told goes to the end of the lane.
func TestSubscriptionsTakeTurns(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	subscribe(t, l, "c", "s")
	subscribe(t, l, "c", "t")
	due := func(want ...string) {
		t.Helper()
		if got, _ := dueIn(t, l, day); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	due()
	commit(t, c, deliveries("a", 3)...)
	due("subscription:s", "subscription:t")
	must(t, l.Advance(t.Context(), "s", 1, day))
	due("subscription:t", "subscription:s")
	must(t, l.Advance(t.Context(), "t", 3, day))
	due("subscription:s")
	must(t, l.DeleteSubscription(t.Context(), "s"))
	due()
}

// What was planned on a clock that was ahead is not put off for as long: what has not
// failed is due at once, what has failed within minutes.
func TestPostingsAfterTheClockWasSetBack(t *testing.T) {
	for _, by := range []time.Duration{time.Minute, time.Hour, 5 * 365 * 24 * time.Hour} {
		l := open(t, t.TempDir())
		c := connector(t, l, "c")
		ahead := day.Add(by)
		_, _, err := l.AcceptRequest(t.Context(), asked("r", "http://u"))
		must(t, err)
		_, err = l.FinishRequest(t.Context(), "r", "replied", "{}", ahead)
		must(t, err)
		must(t, l.AddSubscription(t.Context(), ledger.Subscription{ID: "s", Connector: "c", ReplyTo: "http://v", Created: ahead}))
		d := delivery("a", 1)
		d.At = ahead
		commit(t, c, d)
		due := func(want int, later time.Time) {
			t.Helper()
			if got, next := dueIn(t, l, day); len(got) != 2*want || !next.Equal(later) {
				t.Error(by, got, next)
			}
		}
		fail := func(tries int, next time.Time) {
			t.Helper()
			must(t, l.Outbox().Failed(t.Context(), row(ledger.KindReply, "r", tries), next, "no"))
			must(t, l.Outbox().Failed(t.Context(), row(ledger.KindSubscription, "s", tries), next, "no"))
		}
		due(1, time.Time{})
		soon := day.Add(5 * time.Minute)
		fail(1, soon)
		due(0, soon)
		fail(2, ahead.Add(11*time.Minute))
		due(1, time.Time{})
	}
}

// What a ledger of version 4 had to post is posted after the upgrade, and how it went is
// still seen.
func TestUpgradeKeepsWhatIsToBePosted(t *testing.T) {
	dir := oldLedger(t, "version4")
	db, err := sql.Open("sqlite", filepath.Join(dir, "ledger.db"))
	must(t, err)
	_, err = db.Exec(`
		INSERT INTO requests (id, connector, state, accepted, deadline, finished, token, reply_to, posted, tries, next, error, body, reply) VALUES
			('new', 3, 'replied', 1, 2, 3, 't', 'http://u?new', 0, 0, 1772600767000, '', '{}', '{}'),
			('old', 3, 'replied', 1, 2, 3, 't', 'http://u?old', 0, 0, 1772600766000, '', '{}', '{}'),
			('failed', 3, 'replied', 1, 2, 3, 't', 'http://u', 0, 2, 1772600770000, 'no', '{}', '{}'),
			('gone', 3, 'replied', 1, 2, 3, 't', 'http://u', 0, 4, NULL, '410 Gone', '{}', '{}'),
			('posted', 3, 'replied', 1, 2, 3, 't', 'http://u', 1, 3, NULL, '', '{}', '{}'),
			('nowhere', 3, 'replied', 1, 2, 3, 't', '', 0, 0, NULL, '', '{}', '{}');
		INSERT INTO subscriptions (id, connector, created, token, reply_to, body, cursor, tries, next, error) VALUES
			('told', 3, 1, 't', 'http://v', '{}', 41, 0, 1, ''), ('failing', 3, 1, 't', 'http://v', '{}', 40, 7, 1772600771000, 'no'),
			('given up', 3, 1, 't', 'http://v', '{}', 40, 9, NULL, '410 Gone');`)
	must(t, errors.Join(err, db.Close()))
	l := open(t, dir)
	second := func(s int) time.Time { return time.Unix(1772600760+int64(s), 0).UTC() }
	for id, want := range map[string]ledger.Posting{
		"r": {}, "new": {Next: second(7)}, "old": {Next: second(6)}, "failed": {Tries: 2, Next: second(10), Error: "no"},
		"gone": {Tries: 4, Error: "410 Gone"}, "posted": {Tries: 3}, "nowhere": {},
	} {
		if r, err := l.Request(t.Context(), id); err != nil || r.Posting != want || r.Posted != (id == "posted") {
			t.Errorf("%s: %+v %v, want %+v", id, r, err, want)
		}
	}
	for id, want := range map[string]ledger.Posting{
		"s": {Next: second(7)}, "told": {}, "failing": {Tries: 7, Next: second(11), Error: "no"}, "given up": {Tries: 9, Error: "410 Gone"},
	} {
		if s, err := l.Subscription(t.Context(), id); err != nil || s.Posting != want {
			t.Errorf("%s: %+v %v, want %+v", id, s, err, want)
		}
	}
	for at, want := range map[int][]string{
		8: {"reply:old", "reply:new", "subscription:s"}, 11: {"reply:old", "reply:new", "reply:failed", "subscription:s", "subscription:failing"},
	} {
		if got, _ := dueIn(t, l, second(at)); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) || got[0] != want[0] || got[1] != want[1] {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if due, err := l.Outbox().Due(t.Context(), ledger.Lane{Kind: ledger.KindReply, Receiver: "http://u", Host: "http://u"}, second(8), 1); err != nil || len(due) != 1 || due[0].URL != "http://u?old" {
		t.Error(due, err)
	}
}
