package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// long is when the model's requests begin: so long ago that what they make the
// ledger forget is not what passes wrote.
var long = day.Add(-1000 * time.Hour)

// told is the part of the model that other programs know of. Both lists are in
// the order of their making.
type told struct {
	requests      []ledger.Request
	subscriptions []ledger.Subscription // of connector c, Pending not counted
	deliveries    []ledger.LoggedDelivery
	sequence      int64
	now           time.Time
}

// tick is the next moment.
func (m *told) tick() time.Time {
	m.now = m.now.Add(time.Second)
	return m.now
}

func (m *told) log(d filesync.Delivery) {
	if len(m.subscriptions) == 0 {
		return
	}
	m.sequence++
	m.deliveries = append(m.deliveries, ledger.LoggedDelivery{Sequence: m.sequence, Source: d.Source, Target: d.Target.Name, Adopted: d.Adopted, At: d.At})
}

// trim forgets what everybody has passed.
func (m *told) trim() {
	least := int64(math.MaxInt64)
	for _, s := range m.subscriptions {
		least = min(least, s.Cursor)
	}
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d ledger.LoggedDelivery) bool { return d.Sequence <= least })
}

func (m *told) behind(cursor int64) []ledger.LoggedDelivery {
	i := slices.IndexFunc(m.deliveries, func(d ledger.LoggedDelivery) bool { return d.Sequence > cursor })
	if i < 0 {
		return []ledger.LoggedDelivery{}
	}
	return m.deliveries[i:]
}

func (m *told) request(id string) *ledger.Request {
	for i := range m.requests {
		if m.requests[i].ID == id {
			return &m.requests[i]
		}
	}
	return &ledger.Request{}
}

func (m *told) subscription(id string) *ledger.Subscription {
	for i := range m.subscriptions {
		if m.subscriptions[i].ID == id {
			return &m.subscriptions[i]
		}
	}
	return nil
}

func isOpen(r ledger.Request) bool {
	return r.State == ledger.RequestAccepted || r.State == ledger.RequestRunning
}

func requestIDs() []string      { return []string{"r0", "r1", "r2", "r3", "r4"} }
func subscriptionIDs() []string { return []string{"s0", "s1", "s2"} }

func drawRequest(t *rapid.T) string { return rapid.SampledFrom(requestIDs()).Draw(t, "request") }

func drawSubscription(t *rapid.T) string {
	return rapid.SampledFrom(subscriptionIDs()).Draw(t, "subscription")
}

func (s *subject) accept(t *rapid.T, m *told) {
	at := m.tick()
	asked := ledger.Request{ID: drawRequest(t), Connector: rapid.SampledFrom([]string{"c", "d"}).Draw(t, "connector"),
		State: ledger.RequestAccepted, Body: fmt.Sprint(at), Token: "token", ReplyTo: rapid.SampledFrom([]string{"", "u", "v"}).Draw(t, "reply to"),
		Accepted: at, Deadline: at.Add(time.Minute)}
	now, added, err := s.l.AcceptRequest(s.ctx, asked)
	ok(t, err)
	known := m.request(asked.ID)
	if added != (known.ID == "") {
		t.Fatalf("%s: added %v", asked.ID, added)
	}
	if added {
		m.requests = append(m.requests, asked)
		known = &asked
	}
	if now != *known {
		t.Fatalf("%+v\nwant %+v", now, *known)
	}
}

func (s *subject) run(t *rapid.T, m *told) {
	r := m.request(drawRequest(t))
	open, err := s.l.RunRequest(s.ctx, r.ID)
	ok(t, err)
	if open != isOpen(*r) {
		t.Fatalf("%+v: open %v", *r, open)
	}
	if open {
		r.State = ledger.RequestRunning
	}
}

func (s *subject) finish(t *rapid.T, m *told) {
	r, at := m.request(drawRequest(t)), m.tick()
	reply := fmt.Sprint("reply of ", at)
	won, err := s.l.FinishRequest(s.ctx, r.ID, "replied", reply, at)
	ok(t, err)
	if won != isOpen(*r) {
		t.Fatalf("%+v: won %v", *r, won)
	}
	if !won {
		return
	}
	r.State, r.Reply, r.Finished = "replied", reply, at
	if r.ReplyTo != "" {
		r.Posting.Next = at
	}
}

// drawNext draws when a failed posting is tried again.
func drawNext(t *rapid.T, m *told) time.Time {
	if rapid.IntRange(0, 3).Draw(t, "for good") == 0 {
		return time.Time{}
	}
	return m.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "wait")) * time.Second)
}

// posting is what may be posted to a receiver.
type posting struct {
	id, receiver string
	next         time.Time
}

// checkDue checks what a ledger says is due, against all that wait.
func checkDue(t *rapid.T, m *told, limit int, all, due []posting, next time.Time) {
	first := map[string]posting{}
	var wantNext time.Time
	for _, p := range all {
		switch best, known := first[p.receiver]; {
		case p.next.IsZero():
		case p.next.After(m.now):
			if wantNext.IsZero() || p.next.Before(wantNext) {
				wantNext = p.next
			}
		case !known || p.next.Before(best.next):
			first[p.receiver] = p
		}
	}
	if !next.Equal(wantNext) {
		t.Fatalf("next at %v, want %v", next, wantNext)
	}
	var times []time.Time
	for _, p := range first {
		times = append(times, p.next)
	}
	slices.SortFunc(times, time.Time.Compare)
	if len(due) != min(limit, len(times)) {
		t.Fatalf("%d are due, want %v with limit %d", len(due), first, limit)
	}
	for i, p := range due {
		if !slices.Contains(all, p) || !p.next.Equal(first[p.receiver].next) || !p.next.Equal(times[i]) {
			t.Fatalf("%v is due, want %v", due, first)
		}
		delete(first, p.receiver)
	}
}

func (s *subject) postReplies(t *rapid.T, m *told) {
	limit := rapid.IntRange(1, 3).Draw(t, "limit")
	requests, next, err := s.l.DueReplies(s.ctx, m.tick(), limit)
	ok(t, err)
	var all, due []posting
	for _, r := range m.requests {
		all = append(all, posting{r.ID, r.ReplyTo, r.Posting.Next})
	}
	for _, r := range requests {
		want := *m.request(r.ID)
		if want.Reply = ""; r != want {
			t.Fatalf("%+v\nwant %+v", r, want)
		}
		due = append(due, posting{r.ID, r.ReplyTo, r.Posting.Next})
	}
	checkDue(t, m, limit, all, due, next)
	for _, p := range due {
		r := m.request(p.id)
		if rapid.Bool().Draw(t, "posted") {
			ok(t, s.l.ReplyPosted(s.ctx, r.ID))
			r.Posted, r.Posting = true, ledger.Posting{Tries: r.Posting.Tries + 1}
			continue
		}
		r.Posting = ledger.Posting{Tries: r.Posting.Tries + 1, Next: drawNext(t, m), Error: "refused"}
		ok(t, s.l.ReplyFailed(s.ctx, r.ID, r.Posting.Tries, r.Posting.Next, r.Posting.Error))
	}
}

func (s *subject) subscribe(t *rapid.T, m *told) {
	at := m.tick()
	sub := ledger.Subscription{ID: drawSubscription(t), Connector: "c", Body: fmt.Sprint(at), Token: "token",
		ReplyTo: rapid.SampledFrom([]string{"u", "v"}).Draw(t, "reply to"), Created: at}
	if m.subscription(sub.ID) != nil {
		return
	}
	ok(t, s.l.AddSubscription(s.ctx, sub))
	sub.Cursor, sub.Posting.Next = m.sequence, at
	m.subscriptions = append(m.subscriptions, sub)
}

func (s *subject) unsubscribe(t *rapid.T, m *told) {
	id := drawSubscription(t)
	err := s.l.DeleteSubscription(s.ctx, id)
	if m.subscription(id) == nil {
		if !errors.Is(err, ledger.ErrNoSubscription) {
			t.Fatal(err)
		}
		return
	}
	ok(t, err)
	m.subscriptions = slices.DeleteFunc(m.subscriptions, func(s ledger.Subscription) bool { return s.ID == id })
	m.trim()
}

func (s *subject) postDeliveries(t *rapid.T, m *told) {
	limit := rapid.IntRange(1, 3).Draw(t, "limit")
	subscriptions, next, err := s.l.DueSubscriptions(s.ctx, m.tick(), limit)
	ok(t, err)
	var all, due []posting
	for _, sub := range m.subscriptions {
		if len(m.behind(sub.Cursor)) > 0 {
			all = append(all, posting{sub.ID, sub.ReplyTo, sub.Posting.Next})
		}
	}
	for _, sub := range subscriptions {
		due = append(due, posting{sub.ID, sub.ReplyTo, sub.Posting.Next})
	}
	checkDue(t, m, limit, all, due, next)
	for _, p := range due {
		sub := m.subscription(p.id)
		page, err := s.l.Deliveries(s.ctx, sub.ID, sub.Cursor, 2)
		ok(t, err)
		if want := m.behind(sub.Cursor); !slices.Equal(page, want[:min(2, len(want))]) {
			t.Fatalf("%+v\nwant the first of %+v", page, want)
		}
		if rapid.Bool().Draw(t, "posted") {
			last := page[len(page)-1].Sequence
			ok(t, s.l.Advance(s.ctx, sub.ID, last, m.tick()))
			sub.Cursor, sub.Posting = last, ledger.Posting{Next: m.now}
			m.trim()
			continue
		}
		sub.Posting = ledger.Posting{Tries: sub.Posting.Tries + 1, Next: drawNext(t, m), Error: "refused"}
		ok(t, s.l.SubscriptionFailed(s.ctx, sub.ID, sub.Posting.Tries, sub.Posting.Next, sub.Posting.Error))
	}
}

func (s *subject) drop(t *rapid.T, m *told) {
	id, at := drawSubscription(t), m.tick()
	err := s.l.DropPending(s.ctx, id, at)
	sub := m.subscription(id)
	if sub == nil {
		if !errors.Is(err, ledger.ErrNoSubscription) {
			t.Fatal(err)
		}
		return
	}
	ok(t, err)
	sub.Cursor, sub.Posting = m.sequence, ledger.Posting{Next: at}
	m.trim()
}

func (s *subject) forget(t *rapid.T, m *told) {
	before := m.now.Add(-time.Duration(rapid.IntRange(0, 10).Draw(t, "retention")) * time.Second)
	ok(t, s.c.Forget(s.ctx, before))
	m.requests = slices.DeleteFunc(m.requests, func(r ledger.Request) bool {
		return r.Connector == "c" && !r.Finished.IsZero() && r.Finished.Before(before) && r.Posting.Next.IsZero()
	})
	told := int64(math.MaxInt64) // to all who are ever to be told
	for _, s := range m.subscriptions {
		if !s.Posting.Next.IsZero() {
			told = min(told, s.Cursor)
		}
	}
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d ledger.LoggedDelivery) bool { return d.At.Before(before) && d.Sequence <= told })
}

// compareTold looks at all that both know.
func (s *subject) compareTold(t *rapid.T, m *told) {
	for _, id := range requestIDs() {
		r, err := s.l.Request(s.ctx, id)
		want := m.request(id)
		if r != *want || errors.Is(err, ledger.ErrNoRequest) != (want.ID == "") {
			t.Fatalf("%+v %v\nwant %+v", r, err, *want)
		}
	}
	open, last := []ledger.Request{}, []ledger.Request{}
	for _, r := range m.requests {
		if isOpen(r) {
			open = append(open, r)
		}
		if r.Reply = ""; r.Connector == "c" {
			last = slices.Insert(last, 0, r)
		}
	}
	if got, err := s.l.OpenRequests(s.ctx); err != nil || !slices.Equal(got, open) {
		t.Fatalf("open: %+v %v\nwant %+v", got, err, open)
	}
	if got, err := s.l.RequestsOf(s.ctx, "c", 2); err != nil || !slices.Equal(got, last[:min(2, len(last))]) {
		t.Fatalf("last: %+v %v\nwant the first of %+v", got, err, last)
	}
	subscriptions := slices.Clone(m.subscriptions)
	for i := range subscriptions {
		sub := &subscriptions[i]
		sub.Pending = int64(len(m.behind(sub.Cursor)))
		if got, err := s.l.Subscription(s.ctx, sub.ID); err != nil || got != *sub {
			t.Fatalf("%+v %v\nwant %+v", got, err, *sub)
		}
		// From the start, to see what is left of the log.
		if got, err := s.l.Deliveries(s.ctx, sub.ID, 0, 1000); err != nil || !slices.Equal(got, m.behind(0)) {
			t.Fatalf("log: %+v %v\nwant %+v", got, err, m.behind(0))
		}
	}
	if got, err := s.l.Subscriptions(s.ctx, "c"); err != nil || !slices.Equal(got, subscriptions) {
		t.Fatalf("subscriptions: %+v %v\nwant %+v", got, err, subscriptions)
	}
}
