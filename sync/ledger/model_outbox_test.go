package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// long is when the model's requests begin: so long ago that what they make the
// ledger forget is not what passes wrote.
var long = day.Add(-1000 * time.Hour)

// outboxModel is the part of the model that other programs know of. Both lists are in
// the order of their making.
type outboxModel struct {
	requests      []ledger.Request
	subscriptions []ledger.Subscription // of connector c, Pending not counted
	deliveries    []ledger.LoggedDelivery
	sequence      int64
	outbox        []boxed // in the order of their coming
	now           time.Time
}

// boxed is a row of the outbox. How its posting goes is with what it is about.
type boxed struct {
	lane    ledger.Lane
	id, url string
}

// box adds a row, unless there is one.
func (m *outboxModel) box(kind ledger.Kind, id, url string) {
	if m.boxed(kind, id) < 0 {
		receiver, _, _ := strings.Cut(url, "?")
		m.outbox = append(m.outbox, boxed{ledger.Lane{Kind: kind, Receiver: receiver, Host: strings.TrimSuffix(receiver, "/in")}, id, url})
	}
}

func (m *outboxModel) unbox(kind ledger.Kind, id string) {
	if i := m.boxed(kind, id); i >= 0 {
		m.outbox = slices.Delete(m.outbox, i, i+1)
	}
}

func (m *outboxModel) boxed(kind ledger.Kind, id string) int {
	return slices.IndexFunc(m.outbox, func(b boxed) bool { return b.lane.Kind == kind && b.id == id })
}

// posting is how it goes with a row.
func (m *outboxModel) posting(b boxed) *ledger.Posting {
	if b.lane.Kind == ledger.KindReply {
		return &m.request(b.id).Posting
	}
	return &m.subscription(b.id).Posting
}

// isDue reports whether a try is to be made for a row now.
func (m *outboxModel) isDue(b boxed) bool {
	p := m.posting(b)
	return !p.Next.IsZero() && (p.Tries == 0 || !p.Next.After(m.now))
}

// tick is the next moment.
func (m *outboxModel) tick() time.Time {
	m.now = m.now.Add(time.Second)
	return m.now
}

func (m *outboxModel) log(d filesync.Delivery) {
	if len(m.subscriptions) == 0 {
		return
	}
	m.sequence++
	m.deliveries = append(m.deliveries, ledger.LoggedDelivery{Sequence: m.sequence, Source: d.Source, Target: d.Target.Name, Adopted: d.Adopted, At: d.At})
}

// logged has the subscriptions told of what was logged since before.
func (m *outboxModel) logged(before int64) {
	if m.sequence == before {
		return
	}
	for i := range m.subscriptions {
		if s := &m.subscriptions[i]; m.boxed(ledger.KindSubscription, s.ID) < 0 {
			m.box(ledger.KindSubscription, s.ID, s.ReplyTo)
			s.Posting.Next = m.deliveries[len(m.deliveries)-1].At
		}
	}
}

// trim forgets what everybody has passed.
func (m *outboxModel) trim() {
	least := int64(math.MaxInt64)
	for _, s := range m.subscriptions {
		least = min(least, s.Cursor)
	}
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d ledger.LoggedDelivery) bool { return d.Sequence <= least })
}

func (m *outboxModel) behind(cursor int64) []ledger.LoggedDelivery {
	i := slices.IndexFunc(m.deliveries, func(d ledger.LoggedDelivery) bool { return d.Sequence > cursor })
	if i < 0 {
		return []ledger.LoggedDelivery{}
	}
	return m.deliveries[i:]
}

func (m *outboxModel) request(id string) *ledger.Request {
	for i := range m.requests {
		if m.requests[i].ID == id {
			return &m.requests[i]
		}
	}
	return &ledger.Request{}
}

func (m *outboxModel) subscription(id string) *ledger.Subscription {
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

func (s *subject) accept(t *rapid.T, m *outboxModel) {
	at := m.tick()
	asked := ledger.Request{ID: drawRequest(t), Connector: rapid.SampledFrom([]string{"c", "d"}).Draw(t, "connector"),
		State: ledger.RequestAccepted, Body: fmt.Sprint(at), Token: "token", ReplyTo: rapid.SampledFrom([]string{"", "http://u/in", "http://v?1", "http://v?2"}).Draw(t, "reply to"),
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

func (s *subject) run(t *rapid.T, m *outboxModel) {
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

func (s *subject) finish(t *rapid.T, m *outboxModel) {
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
		m.box(ledger.KindReply, r.ID, r.ReplyTo)
	}
}

// drawNext draws when a failed posting is tried again.
func drawNext(t *rapid.T, m *outboxModel) time.Time {
	if rapid.IntRange(0, 3).Draw(t, "for good") == 0 {
		return time.Time{}
	}
	return m.now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "wait")) * time.Second)
}

// drawBusy draws lanes and hosts that are not to be given.
func drawBusy(t *rapid.T, m *outboxModel) (lanes []ledger.Lane, hosts []string) {
	for _, b := range m.outbox {
		switch rapid.IntRange(0, 9).Draw(t, "busy") {
		case 0:
			lanes = append(lanes, b.lane)
		case 1:
			hosts = append(hosts, b.lane.Host)
		}
	}
	return lanes, hosts
}

// drawLanes asks for lanes, and checks them against all that wait.
func (s *subject) drawLanes(t *rapid.T, m *outboxModel) []ledger.Lane {
	now := m.tick()
	limit := rapid.IntRange(1, 3).Draw(t, "limit")
	busy, hosts := drawBusy(t, m)
	got, next, err := s.l.Outbox().Lanes(s.ctx, now, busy, hosts, limit)
	ok(t, err)
	since := map[ledger.Lane]time.Time{}
	var wantNext time.Time
	for _, b := range m.outbox {
		at := m.posting(b).Next
		first, known := since[b.lane]
		switch {
		case at.IsZero():
		case !m.isDue(b):
			if wantNext.IsZero() || at.Before(wantNext) {
				wantNext = at
			}
		case slices.Contains(busy, b.lane) || slices.Contains(hosts, b.lane.Host):
		case !known || at.Before(first):
			since[b.lane] = at
		}
	}
	if !next.Equal(wantNext) {
		t.Fatalf("next at %v, want %v", next, wantNext)
	}
	times := slices.SortedFunc(maps.Values(since), time.Time.Compare)
	if len(got) != min(limit, len(times)) {
		t.Fatalf("%v, want of %v with limit %d", got, since, limit)
	}
	for i, l := range got {
		if at, known := since[l]; !known || !at.Equal(times[i]) {
			t.Fatalf("%v, want %v in their order", got, since)
		}
		delete(since, l)
	}
	return got
}

// send posts some of what is due.
func (s *subject) send(t *rapid.T, m *outboxModel) {
	for _, lane := range s.drawLanes(t, m) {
		limit := rapid.IntRange(1, 3).Draw(t, "limit")
		got, err := s.l.Outbox().Due(s.ctx, lane, m.now, limit)
		ok(t, err)
		var want []ledger.OutboxRow
		for _, b := range m.outbox {
			if b.lane == lane && m.isDue(b) {
				want = append(want, ledger.OutboxRow{Lane: lane, ID: b.id, URL: b.url, Tries: m.posting(b).Tries})
			}
		}
		slices.SortStableFunc(want, func(a, b ledger.OutboxRow) int { // what failed is behind what did not
			var at [2]time.Time
			for i, r := range []ledger.OutboxRow{a, b} {
				if r.Tries > 0 {
					at[i] = m.posting(boxed{lane, r.ID, r.URL}).Next
				}
			}
			return at[0].Compare(at[1])
		})
		if !slices.Equal(got, want[:min(limit, len(want))]) {
			t.Fatalf("%+v\nwant the first of %+v", got, want)
		}
		for _, r := range got {
			s.try(t, m, r)
		}
	}
}

// try makes a try for a row.
func (s *subject) try(t *rapid.T, m *outboxModel, r ledger.OutboxRow) {
	p := m.posting(boxed{r.Lane, r.ID, r.URL})
	if !rapid.Bool().Draw(t, "posted") {
		*p = ledger.Posting{Tries: r.Tries + 1, Next: drawNext(t, m), Error: "refused"}
		r.Tries++
		ok(t, s.l.Outbox().Failed(s.ctx, r, p.Next, p.Error))
		return
	}
	m.unbox(r.Kind, r.ID)
	if r.Kind == ledger.KindReply {
		ok(t, s.l.ReplyPosted(s.ctx, r.ID))
		m.request(r.ID).Posted, *p = true, ledger.Posting{Tries: r.Tries + 1}
		return
	}
	sub := m.subscription(r.ID)
	page, err := s.l.Deliveries(s.ctx, sub.ID, sub.Cursor, 2)
	ok(t, err)
	if want := m.behind(sub.Cursor); len(page) == 0 || !slices.Equal(page, want[:min(2, len(want))]) {
		t.Fatalf("%+v\nwant the first of %+v", page, want)
	}
	sub.Cursor, *p = page[len(page)-1].Sequence, ledger.Posting{}
	ok(t, s.l.Advance(s.ctx, sub.ID, sub.Cursor, m.now))
	if len(m.behind(sub.Cursor)) > 0 {
		m.box(r.Kind, r.ID, r.URL)
		p.Next = m.now
	}
	m.trim()
}

// sendReply has a reply posted once more.
func (s *subject) sendReply(t *rapid.T, m *outboxModel) {
	id, at := drawRequest(t), m.tick()
	r := m.request(id)
	err := s.l.SendReply(s.ctx, id, at)
	var want error
	switch {
	case r.ID == "":
		want = ledger.ErrNoRequest
	case r.ReplyTo == "":
		want = ledger.ErrNoReceiver
	case isOpen(*r):
		want = ledger.ErrNoReply
	}
	if !errors.Is(err, want) {
		t.Fatalf("%+v: %v, want %v", *r, err, want)
	}
	if want != nil {
		return
	}
	m.unbox(ledger.KindReply, id)
	m.box(ledger.KindReply, id, r.ReplyTo)
	r.Posted, r.Posting = false, ledger.Posting{Next: at}
}

// sendDeliveries has a subscriber told now of what waits.
func (s *subject) sendDeliveries(t *rapid.T, m *outboxModel) {
	id, at := drawSubscription(t), m.tick()
	sub := m.subscription(id)
	err := s.l.SendDeliveries(s.ctx, id, at)
	switch {
	case sub == nil:
		if !errors.Is(err, ledger.ErrNoSubscription) {
			t.Fatal(err)
		}
	case m.boxed(ledger.KindSubscription, id) < 0:
		if !errors.Is(err, ledger.ErrNothingPending) {
			t.Fatal(err)
		}
	default:
		ok(t, err)
		sub.Posting.Next = at
	}
}

func (s *subject) subscribe(t *rapid.T, m *outboxModel) {
	at := m.tick()
	sub := ledger.Subscription{ID: drawSubscription(t), Connector: "c", Body: fmt.Sprint(at), Token: "token",
		ReplyTo: rapid.SampledFrom([]string{"http://u/in", "http://v?1"}).Draw(t, "reply to"), Created: at}
	if m.subscription(sub.ID) != nil {
		return
	}
	ok(t, s.l.AddSubscription(s.ctx, sub))
	sub.Cursor = m.sequence
	m.subscriptions = append(m.subscriptions, sub)
}

func (s *subject) unsubscribe(t *rapid.T, m *outboxModel) {
	id := drawSubscription(t)
	err := s.l.DeleteSubscription(s.ctx, id)
	if m.subscription(id) == nil {
		if !errors.Is(err, ledger.ErrNoSubscription) {
			t.Fatal(err)
		}
		return
	}
	ok(t, err)
	m.unbox(ledger.KindSubscription, id)
	m.subscriptions = slices.DeleteFunc(m.subscriptions, func(s ledger.Subscription) bool { return s.ID == id })
	m.trim()
}

func (s *subject) drop(t *rapid.T, m *outboxModel) {
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
	m.unbox(ledger.KindSubscription, id)
	sub.Cursor, sub.Posting = m.sequence, ledger.Posting{}
	m.trim()
}

func (s *subject) forget(t *rapid.T, m *outboxModel) {
	before := m.now.Add(-time.Duration(rapid.IntRange(0, 10).Draw(t, "retention")) * time.Second)
	ok(t, s.c.Forget(s.ctx, before))
	m.requests = slices.DeleteFunc(m.requests, func(r ledger.Request) bool {
		old := r.Connector == "c" && !r.Finished.IsZero() && r.Finished.Before(before) && r.Posting.Next.IsZero()
		if old {
			m.unbox(ledger.KindReply, r.ID)
		}
		return old
	})
	told := int64(math.MaxInt64) // to all who are ever to be told
	for _, s := range m.subscriptions {
		if s.Posting.Tries == 0 || !s.Posting.Next.IsZero() {
			told = min(told, s.Cursor)
		}
	}
	m.deliveries = slices.DeleteFunc(m.deliveries, func(d ledger.LoggedDelivery) bool { return d.At.Before(before) && d.Sequence <= told })
}

// compareTold looks at all that both know.
func (s *subject) compareOutbox(t *rapid.T, m *outboxModel) {
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
	s.compareRequestPages(t, m)
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

// compareRequestPages asks for pages of requests.
func (s *subject) compareRequestPages(t *rapid.T, m *outboxModel) {
	for _, q := range []ledger.RequestQuery{{Limit: 2}, {Connector: "c", Limit: 1}, {State: "replied", Limit: 2}, {Connector: "d", State: ledger.RequestAccepted}, {Connector: "none"}} {
		var want, got []ledger.Request
		for _, r := range slices.Backward(m.requests) {
			if (q.Connector == "" || r.Connector == q.Connector) && (q.State == "" || r.State == q.State) {
				want = append(want, r)
			}
		}
		for {
			page, next, err := s.l.RequestPage(s.ctx, q)
			ok(t, err)
			got = append(got, page...)
			if q.Cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%+v: %+v\nwant %+v", q, got, want)
		}
	}
}
