package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/sync/ledger"
)

// item is a row of the outbox. Those with the same line keep their order.
type item struct {
	ledger.OutboxRow
	line string
	next time.Time // zero: never
	text string
}

// memory is an Outbox. Its order is that of the IDs, which are numbers.
type memory struct {
	t  testing.TB
	mu sync.Mutex
	// items are those that are not posted; posted has the others, in their order.
	items  map[string]*item
	posted []string
	fail   error        // of every method
	broken string       // the ID of one that can't be loaded
	reads  atomic.Int64 // of Lanes
	// recorded gets a value when something was, if there is room.
	recorded chan struct{}
}

func newMemory(t testing.TB, items ...item) *memory {
	s := &memory{t: t, items: map[string]*item{}, recorded: make(chan struct{}, 1)}
	for i, it := range items {
		s.add(fmt.Sprintf("%05d", i), it)
	}
	return s
}

func (s *memory) add(id string, it item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it.ID, it.next = id, time.Now()
	it.Receiver, _, _ = strings.Cut(it.URL, "?")
	scheme, rest, _ := strings.Cut(it.Receiver, "://")
	authority, _, _ := strings.Cut(rest, "/")
	it.Host = scheme + "://" + authority
	s.items[id] = &it
}

// ready gives what is due at now, what is due longest first. The caller holds s.mu.
func (s *memory) ready(now time.Time) (ready []*item, next time.Time) {
	lines := map[string]bool{"": false}
	for _, id := range slices.Sorted(maps.Keys(s.items)) {
		it := s.items[id]
		if lines[it.line] {
			continue
		}
		lines[it.line] = it.line != ""
		switch {
		case it.next.IsZero():
		case !it.next.After(now):
			ready = append(ready, it)
		case next.IsZero() || it.next.Before(next):
			next = it.next
		}
	}
	slices.SortStableFunc(ready, func(a, b *item) int { return a.next.Compare(b.next) })
	return ready, next
}

func (s *memory) Lanes(_ context.Context, now time.Time, busy []ledger.Lane, hosts []string, limit int) (lanes []ledger.Lane, next time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads.Add(1)
	ready, next := s.ready(now)
	for _, it := range ready {
		if l := it.Lane; len(lanes) < limit && !slices.Contains(lanes, l) && !slices.Contains(busy, l) && !slices.Contains(hosts, l.Host) {
			lanes = append(lanes, l)
		}
	}
	return lanes, next, s.fail
}

func (s *memory) Due(_ context.Context, lane ledger.Lane, now time.Time, limit int) (due []ledger.OutboxRow, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready, _ := s.ready(now)
	for _, it := range ready {
		if it.Lane == lane && len(due) < limit {
			due = append(due, it.OutboxRow)
		}
	}
	return due, s.fail
}

func (s *memory) Load(_ context.Context, p ledger.OutboxRow) (Message, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ID == s.broken {
		return Message{}, false, errors.New("broken")
	}
	_, ok := s.items[p.ID]
	return Message{URL: p.URL, Event: interapp.EventReply, Key: p.ID, Token: "driver", Body: []byte(`{"id":"` + p.ID + `"}`)}, ok, s.fail
}

func (s *memory) Posted(ctx context.Context, p ledger.OutboxRow, m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if p.ID != m.Key || s.items[p.ID] == nil {
		s.t.Errorf("%s is recorded as posted for %s", m.Key, p.ID)
	}
	if s.fail == nil {
		delete(s.items, p.ID)
		s.posted = append(s.posted, p.ID)
	}
	s.record()
	return s.fail
}

func (s *memory) Failed(_ context.Context, p ledger.OutboxRow, next time.Time, text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.items[p.ID]
	if p.Tries != it.Tries+1 || text == "" {
		s.t.Errorf("%s: try %d after %d, %q", p.ID, p.Tries, it.Tries, text)
	}
	it.Tries, it.next, it.text = p.Tries, next, text
	s.record()
	return s.fail
}

func (s *memory) record() {
	select {
	case s.recorded <- struct{}{}:
	default:
	}
}

// await waits, outside of bubbles, until what is recorded is as wanted.
func (s *memory) await(wanted func() bool) {
	s.t.Helper()
	late := time.After(20 * time.Second)
	for !wanted() {
		select {
		case <-s.recorded:
		case <-late:
			s.t.Fatal("it is not recorded")
		}
	}
}

func (s *memory) set(fail error) { s.mu.Lock(); defer s.mu.Unlock(); s.fail = fail }

// ids are those that were posted.
func (s *memory) ids() []string { s.mu.Lock(); defer s.mu.Unlock(); return slices.Clone(s.posted) }

func (s *memory) text(id string) string { s.mu.Lock(); defer s.mu.Unlock(); return s.items[id].text }

// start runs a Sender; stop ends it and waits.
func start(t testing.TB, s Outbox, post func(context.Context, Message) error) (q *Sender, stop func()) {
	t.Helper()
	q = NewSender(s, post, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); q.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(stop)
	return q, stop
}

// many gives n postings to the URL.
func many(n int, url string) []item {
	return slices.Repeat([]item{{OutboxRow: ledger.OutboxRow{URL: url}}}, n)
}

// A receiver that is down for two hours gets what it missed soon after, and is
// not asked all the time until then.
func TestReceiverIsDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := newMemory(t, many(3, "http://a")...)
		var tries []time.Duration
		_, stop := start(t, s, func(_ context.Context, m Message) error {
			if m.Key == "00000" {
				tries = append(tries, time.Since(began))
			}
			if time.Since(began) < 2*time.Hour {
				return errors.New("connection refused")
			}
			return nil
		})
		time.Sleep(2*time.Hour + 5*time.Minute)
		synctest.Wait()
		if got := slices.Sorted(slices.Values(s.ids())); len(got) != 3 {
			t.Errorf("posted: %v", got)
		}
		stop()
		if tries[0] != 0 || len(tries) < 30 || len(tries) > 65 {
			t.Errorf("%d tries: %v", len(tries), tries)
		}
		for i := 1; i < len(tries); i++ {
			full := min(time.Second<<min(i-1, 20), 5*time.Minute)
			if gap := tries[i] - tries[i-1]; gap < full/2 || gap > full {
				t.Errorf("%v between try %d and the next", gap, i)
			}
		}
	})
}

// One at a time for a receiver, in its order; sixteen side by side, and four at
// a host.
func TestSlots(t *testing.T) {
	const receivers, each = 40, 5
	for _, c := range []struct {
		name string
		url  func(i int) string
		most int
	}{
		{"hosts", func(i int) string { return fmt.Sprintf("http://r%d:8000/replies", i) }, 16},
		{"paths of one host", func(i int) string { return fmt.Sprintf("http://r:8000/%d?x=http://a/", i) }, 4},
		{"ports", func(i int) string { return fmt.Sprintf("http://r:%d", i+1) }, 16},
		{"queries", func(i int) string { return fmt.Sprintf("http://r?id=%d", i) }, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var items []item
			for range each {
				for i := range receivers {
					items = append(items, item{OutboxRow: ledger.OutboxRow{URL: c.url(i)}})
				}
			}
			var mu sync.Mutex
			running, most := map[string]bool{}, 0
			last := map[string]string{}
			s := newMemory(t, items...)
			start(t, s, func(_ context.Context, m Message) error {
				mu.Lock()
				if running[m.URL] || last[m.URL] > m.Key {
					t.Errorf("%s: %s beside or behind %s", c.name, m.Key, last[m.URL])
				}
				running[m.URL], last[m.URL] = true, m.Key
				most = max(most, len(running))
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				delete(running, m.URL)
				mu.Unlock()
				return nil
			})
			time.Sleep(receivers * each * time.Second)
			synctest.Wait()
			if n := len(s.ids()); n != receivers*each || most != c.most {
				t.Errorf("%s: %d posted, %d at the same time, want %d", c.name, n, most, c.most)
			}
		})
	}
}

// Receivers that hang, with any number of postings that are due longer, hold
// up themselves only.
func TestHangingReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(t, slices.Concat(many(1000, "http://hangs/a"), many(1000, "http://hangs/b"), many(1, "http://fine"), many(1, "http://hangs/not"))...)
		start(t, s, func(ctx context.Context, m Message) error {
			if m.URL == "http://hangs/a" || m.URL == "http://hangs/b" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		synctest.Wait()
		if got := slices.Sorted(slices.Values(s.ids())); !slices.Equal(got, []string{"02000", "02001"}) {
			t.Errorf("posted at once: %v", got)
		}
	})
}

// A receiver that hangs with what is of one kind is told of what is of another.
func TestKindsHaveLanesOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := many(3, "http://a")
		items[2].Kind = ledger.KindSubscription
		s := newMemory(t, items...)
		start(t, s, func(ctx context.Context, m Message) error {
			if m.Key == "00000" {
				<-ctx.Done()
			}
			return ctx.Err()
		})
		synctest.Wait()
		if got := s.ids(); !slices.Equal(got, []string{"00002"}) {
			t.Errorf("posted: %v", got)
		}
	})
}

// A lane with much to post gives its slot to one where something is due for longer.
func TestLanesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(t)
		for n := range 100 {
			for lane := range slots {
				s.add(fmt.Sprintf("%02d %02d", n, lane), item{OutboxRow: ledger.OutboxRow{URL: fmt.Sprintf("http://long%d", lane)}})
			}
			if time.Sleep(time.Second); n == 20 {
				s.add("short", item{OutboxRow: ledger.OutboxRow{URL: "http://short"}})
			}
		}
		start(t, s, func(context.Context, Message) error { time.Sleep(time.Second); return nil })
		time.Sleep(48 * time.Second)
		synctest.Wait()
		if got := s.ids(); !slices.Contains(got, "short") {
			t.Errorf("%d posted, and not the one of the last lane", len(got))
		}
	})
}

// What has to keep its order waits for the one before, and nothing else does.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := many(6, "http://a")
		items[0].line, items[2].line, items[4].line = "s", "s", "s"
		failed := map[string]int{}
		var order []string
		s := newMemory(t, items...)
		start(t, s, func(_ context.Context, m Message) error {
			if m.Key == "00000" && failed[m.Key] < 3 || m.Key == "00001" && failed[m.Key] < 1 {
				failed[m.Key]++
				return errors.New("no")
			}
			order = append(order, m.Key)
			return nil
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		inLine := slices.DeleteFunc(slices.Clone(order), func(id string) bool { return items[id[4]-'0'].line == "" })
		if !slices.Equal(inLine, []string{"00000", "00002", "00004"}) || !slices.Equal(order[:3], []string{"00003", "00005", "00001"}) {
			t.Errorf("posted: %v", order)
		}
	})
}

func TestGoneIsNeverTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := newMemory(t, many(1, "http://a")...)
		start(t, s, func(context.Context, Message) error { tries++; return fmt.Errorf("post: %w", ErrGone) })
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if tries != 1 || s.text("00000") != "post: answers 410 Gone" {
			t.Errorf("%d tries, %q", tries, s.text("00000"))
		}
	})
}

// What comes later is posted at once when somebody says so, else within a
// minute: another process may have put it there.
func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(t)
		q, _ := start(t, s, func(context.Context, Message) error { return nil })
		synctest.Wait()
		s.add("1", item{OutboxRow: ledger.OutboxRow{URL: "http://a"}})
		q.Wake()
		q.Wake()
		synctest.Wait()
		if len(s.ids()) != 1 {
			t.Error("not posted at once")
		}
		s.add("2", item{OutboxRow: ledger.OutboxRow{URL: "http://a"}})
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.ids()) != 2 {
			t.Error("not posted within a minute")
		}
		before := s.reads.Load()
		time.Sleep(time.Hour)
		if n := s.reads.Load() - before; n > 61 {
			t.Errorf("the store was read %d times in an idle hour", n)
		}
	})
}

// The end of the program fails nothing: not a try under way, and not what waits
// behind it. What the receiver has just taken is recorded still.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		items := slices.Concat(many(2, "http://hangs"), many(2, "http://takes"))
		s := newMemory(t, items...)
		_, stop := start(t, s, func(ctx context.Context, m Message) error {
			<-ctx.Done()
			if m.URL == "http://takes" {
				return nil
			}
			return ctx.Err()
		})
		synctest.Wait()
		stop()
		if got := s.ids(); !slices.Equal(got, []string{"00002"}) {
			t.Errorf("posted: %v", got)
		}
		for id, it := range s.items {
			if it.Tries != 0 || it.text != "" {
				t.Errorf("%s failed: %q", id, it.text)
			}
		}
	})
}

// A store that fails is not asked all the time, and a receiver whose taking
// could not be recorded is not posted to all the time.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int64
		s := newMemory(t, many(2, "http://a")...)
		s.set(errors.New("disk full"))
		q, _ := start(t, s, func(context.Context, Message) error { posts.Add(1); return nil })
		time.Sleep(time.Minute)
		if s.reads.Load() > 13 || posts.Load() != 0 {
			t.Errorf("%d reads, %d posts", s.reads.Load(), posts.Load())
		}
		s.set(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if posts.Load() != 2 {
			t.Errorf("%d posts after it was mended", posts.Load())
		}

		unrecorded := &unrecording{memory: newMemory(t, many(2, "http://a")...)}
		posts.Store(0)
		q2, _ := start(t, unrecorded, func(context.Context, Message) error { posts.Add(1); return nil })
		for range 60 {
			q.Wake()
			q2.Wake()
			time.Sleep(time.Second)
		}
		if n := posts.Load(); n < 2 || n > 13 {
			t.Errorf("%d posts in a minute", n)
		}
	})
}

// What can't be loaded does not hold up the others for its receiver.
func TestBrokenPosting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(t, many(3, "http://a")...)
		s.broken = "00000"
		start(t, s, func(context.Context, Message) error { return nil })
		synctest.Wait()
		if got := s.ids(); !slices.Equal(got, []string{"00001", "00002"}) || s.text("00000") != "broken" {
			t.Errorf("posted: %v, %q", got, s.text("00000"))
		}
	})
}

// unrecording is a store that cannot record.
type unrecording struct{ *memory }

func (*unrecording) Posted(context.Context, ledger.OutboxRow, Message) error {
	return errors.New("disk full")
}

func TestDroppedIsNotPosted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts []string
		s := newMemory(t, many(2, "http://a")...)
		start(t, s, func(_ context.Context, m Message) error {
			posts = append(posts, m.Key)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.items, "00001") // which is listed as due already
			return nil
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.Equal(posts, []string{"00000"}) {
			t.Errorf("posted: %v", posts)
		}
	})
}

// Real receivers of all kinds, behind the real Poster.
func TestReceivers(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	note := func(name string) *interapp.Receiver {
		return &interapp.Receiver{Secret: secret, OnReply: func(_ context.Context, r interapp.Reply) error {
			mu.Lock()
			defer mu.Unlock()
			got[name] = append(got[name], r.ID)
			return nil
		}}
	}
	fine, recovers := note("fine"), note("recovers")
	failed := false // of one posting, once
	mux := http.NewServeMux()
	mux.Handle("/fine", fine)
	mux.HandleFunc("/recovers", func(w http.ResponseWriter, r *http.Request) {
		if !failed {
			failed = true
			http.Error(w, "not now", http.StatusInternalServerError)
			return
		}
		recovers.ServeHTTP(w, r)
	})
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { hang(r) })
	mux.HandleFunc("/redirects", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/fine", http.StatusTemporaryRedirect)
	})
	url := serve(t, mux.ServeHTTP)

	items := slices.Concat(many(2, url+"/hangs"), many(20, url+"/fine"), many(2, url+"/recovers"), many(1, url+"/redirects"), many(1, "http://127.1/elsewhere"))
	s := newMemory(t, items...)
	_, stop := start(t, s, poster(t, "http://127.0.0.1:*").Post)
	s.await(func() bool { return len(s.ids()) == 22 && s.text("00024") != "" && s.text("00025") != "" })
	stop()
	if n := len(got["fine"]); n != 20 || !slices.IsSorted(got["fine"]) {
		t.Errorf("%d arrived: %v", n, got["fine"])
	}
	if slices.Sort(got["recovers"]); !slices.Equal(got["recovers"], []string{"00022", "00023"}) {
		t.Errorf("who recovers got %v", got["recovers"])
	}
	for id, want := range map[string]string{"00000": "", "00001": "", "00024": "redirects are not followed", "00025": "server.reply_to_allow"} {
		if text := s.text(id); !strings.Contains(text, want) || (text == "") != (want == "") {
			t.Errorf("%s: %q, want %q", id, text, want)
		}
	}
}
