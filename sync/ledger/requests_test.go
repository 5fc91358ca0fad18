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
	must(t, again().Outbox().Failed(t.Context(), row(ledger.KindReply, "x", 1), day.Add(time.Second), "connection refused"))
	want := asked("x", "http://u")
	want.State, want.Reply, want.Finished = "replied", `{"success":true}`, day
	want.Posting = ledger.Posting{Tries: 1, Next: day.Add(time.Second), Error: "connection refused"}
	if r, err := again().Request(t.Context(), "x"); err != nil || r != want {
		t.Errorf("%+v %v\nwant %+v", r, err, want)
	}
	if due, next := dueIn(t, again(), day); len(due) != 0 || !next.Equal(day.Add(time.Second)) {
		t.Error("too early:", due, next)
	}
	if due, next := dueIn(t, again(), day.Add(time.Second)); !slices.Equal(due, []string{"reply:x"}) || !next.IsZero() {
		t.Error(due, next)
	}
	must(t, again().ReplyPosted(t.Context(), "x"))
	must(t, again().Outbox().Failed(t.Context(), row(ledger.KindReply, "x", 2), day, "too late to matter"))
	want.Posted, want.Posting = true, ledger.Posting{Tries: 2}
	if r, err := again().Request(t.Context(), "x"); err != nil || r != want {
		t.Errorf("%+v %v\nwant %+v", r, err, want)
	}
}

func TestRequestOfNoConnector(t *testing.T) {
	l := open(t, t.TempDir())
	_, added, err := l.AcceptRequest(t.Context(), asked("x", ""))
	if err == nil || added || !strings.Contains(err.Error(), "request x of connector c") {
		t.Error(added, err)
	}
}
