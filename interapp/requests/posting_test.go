package requests_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
)

// receiver is a program that is posted to.
type receiver struct {
	*httptest.Server
	mu      sync.Mutex
	replies []interapp.Reply
	files   []string // of deliveries
	broken  bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	in := &interapp.Receiver{
		Secret: secret,
		OnReply: func(_ context.Context, reply interapp.Reply) error {
			return r.take(func() { r.replies = append(r.replies, reply) })
		},
		OnDeliveries: func(_ context.Context, d interapp.Deliveries) error {
			return r.take(func() {
				for _, f := range d.Files {
					r.files = append(r.files, f.Name)
				}
			})
		},
	}
	r.Server = httptest.NewServer(in)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(f func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return errors.New("out of order")
	}
	f()
	return nil
}

func (r *receiver) mend(broken bool) { r.mu.Lock(); defer r.mu.Unlock(); r.broken = broken }

func (r *receiver) told() (replies int, files string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.replies), strings.Join(r.files, " ")
}

// A reply is posted, signed, and again until the receiver has it.
func TestReplyTo(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.src.Put("f", "1", old)
	r := newReceiver(t)
	r.mend(true)
	s := w.ended(w.accept(interapp.Request{ReplyTo: r.URL + "/here"}).ID)
	w.until("a posting has failed", func() bool {
		s, _ = w.service.Request(t.Context(), s.ID)
		return s.Posting != nil && s.Posting.Tries > 0
	})
	if s.Posting.Done || s.Posting.NextTry == nil || !strings.Contains(s.Posting.Error, "500") {
		t.Errorf("%+v", s.Posting)
	}
	other := newReceiver(t) // is not held up
	w.accept(interapp.Request{ID: "other", ReplyTo: other.URL})
	w.until("the other has its reply", func() bool { n, _ := other.told(); return n == 1 })
	w.end()
	r.mend(false)
	w.start(true)
	w.until("the reply is there", func() bool { n, _ := r.told(); return n == 1 })
	w.until("that is known", func() bool { s, _ = w.service.Request(t.Context(), s.ID); return s.Posting.Done })
	if got := r.replies[0]; got.ID != s.ID || !got.Success || !slices.Equal(got.FileNames, []string{"f"}) {
		t.Errorf("%+v", got)
	}
}

func TestSubscriptions(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	r := newReceiver(t)
	for field, sub := range map[string]interapp.Subscription{
		"file_name_filter": {FileNameFilter: "[", ReplyTo: r.URL}, "reply_to": {ReplyTo: "http://192.0.2.1"}, "from": {From: "x", ReplyTo: r.URL},
	} {
		if _, err := w.service.Subscribe(t.Context(), "c", "t", sub); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	w.src.Put("before.csv", "1", old)
	w.ended(w.accept(interapp.Request{}).ID)
	sub, err := w.service.Subscribe(t.Context(), "c", "t", interapp.Subscription{FileNameFilter: "*.csv", ReplyTo: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	w.src.Put("a.txt", "1", old)
	w.src.Put("b.csv", "1", old)
	w.ended(w.accept(interapp.Request{}).ID)
	w.until("the subscriber is told", func() bool { _, files := r.told(); return files == "b.csv" })
	// Down for a while, and across a restart; the order stays.
	r.mend(true)
	for i := range 3 {
		w.src.Put("b.csv", strings.Repeat("x", i+2), old)
		w.ended(w.accept(interapp.Request{}).ID)
	}
	w.until("it is seen to fail", func() bool {
		sub, err = w.service.Subscription(t.Context(), owner, "c", sub.ID)
		return err == nil && sub.Posting != nil && sub.Posting.Tries > 0
	})
	if sub.Pending != 3 || sub.Posting.NextTry == nil || !strings.Contains(sub.Posting.Error, "500") {
		t.Errorf("%+v %+v", sub, sub.Posting)
	}
	w.end()
	r.mend(false)
	w.start(true)
	w.until("the subscriber is told", func() bool { _, files := r.told(); return files == "b.csv b.csv b.csv b.csv" })
	// What cannot be told can be dropped.
	r.mend(true)
	w.src.Put("c.csv", "1", old)
	w.ended(w.accept(interapp.Request{}).ID)
	w.until("it is pending, and no posting of it under way", func() bool {
		sub, err = w.service.Subscription(t.Context(), owner, "c", sub.ID)
		return err == nil && sub.Pending == 1 && sub.Posting != nil && sub.Posting.Tries > 0
	})
	if err := w.service.DropPending(t.Context(), owner, "c", sub.ID); err != nil {
		t.Fatal(err)
	}
	r.mend(false)
	w.src.Put("d.csv", "1", old)
	w.ended(w.accept(interapp.Request{}).ID)
	w.until("the next is told", func() bool { _, files := r.told(); return strings.HasSuffix(files, " d.csv") })
	if _, files := r.told(); strings.Contains(files, "c.csv") {
		t.Errorf("told: %s", files)
	}
	all, err := w.service.Subscriptions(t.Context(), owner, "c")
	if err != nil || len(all) != 1 || all[0].FileNameFilter != "*.csv" {
		t.Errorf("%+v %v", all, err)
	}
	if err := w.service.Unsubscribe(t.Context(), owner, "c", sub.ID); err != nil {
		t.Error(err)
	}
	if err := w.service.Unsubscribe(t.Context(), owner, "c", sub.ID); !errors.Is(err, requests.ErrUnknown) {
		t.Error(err)
	}
}

// Replies do not keep deliveries waiting that are due for longer, nor the other way.
func TestWhatIsDueLongestIsPostedFirst(t *testing.T) {
	w := newWorld(t)
	w.start(false)
	w.src.Put("f", "1", old)
	ctx, end := context.WithCancel(context.Background())
	w.service.Begin(ctx) // which posts nothing
	defer w.service.End()
	defer end()
	do := func(id string) {
		t.Helper()
		if s := w.ended(w.accept(interapp.Request{ID: id, ReplyTo: "http://127.0.0.1:1/" + id}).ID); s.State != interapp.RequestReplied {
			t.Fatalf("%+v", s)
		}
	}
	tick := func() { // so that no two are due since the same millisecond
		at := time.Now()
		w.until("the clock goes on", func() bool { return time.Since(at) > 2*time.Millisecond })
	}
	do("early")
	tick()
	_, err := w.service.Subscribe(t.Context(), "c", "t", interapp.Subscription{ReplyTo: "http://127.0.0.1:1/sub"})
	if err != nil {
		t.Fatal(err)
	}
	tick()
	w.src.Put("f", "22", old)
	do("late")
	want := []string{"http://127.0.0.1:1/early", "http://127.0.0.1:1/sub", "http://127.0.0.1:1/late"}
	for limit := 1; limit <= 4; limit++ {
		lanes, _, err := w.service.Outbox().Lanes(t.Context(), time.Now().Add(time.Second), nil, nil, limit)
		var got []string
		for _, l := range lanes {
			got = append(got, l.Receiver)
		}
		if err != nil || !slices.Equal(got, want[:min(limit, 3)]) {
			t.Errorf("up to %d: %q %v, want %q", limit, got, err, want)
		}
	}
}

// What one token asked for another can neither end nor see the secrets of,
// unless it may do everything.
func TestAnotherCaller(t *testing.T) {
	w := newWorld(t)
	w.src.Put("f", "1", old)
	defer w.close()()
	var told []string
	w.changed = func(s interapp.RequestState) { told = append(told, s.Request.ReplyTo) }
	w.start(true)
	const url = "http://127.0.0.1:1/in?secret=1"
	r := w.accept(interapp.Request{ReplyTo: url})
	sub, err := w.service.Subscribe(t.Context(), "c", "t", interapp.Subscription{ReplyTo: url})
	if err != nil || r.Request.ReplyTo != url || sub.ReplyTo != url {
		t.Fatalf("%+v %+v %v", r, sub, err)
	}
	w.until("the file is being copied", func() bool { return w.held.Load() > 0 })
	over, cancel := context.WithCancel(t.Context())
	cancel()
	const blank = "http://127.0.0.1:1/in?…"
	for by, want := range map[requests.Caller]string{
		{Token: "t"}: url, {Token: "u", All: true}: url, {All: true}: url, {Token: "u"}: blank, {}: blank,
	} {
		got, err := w.service.Wait(over, by, r.ID)
		if err != nil || got.Request.ReplyTo != want {
			t.Errorf("%+v: %+v %v", by, got, err)
		}
		one, err := w.service.Subscription(t.Context(), by, "c", sub.ID)
		if err != nil || one.ReplyTo != want {
			t.Errorf("%+v: %+v %v", by, one, err)
		}
		all, err := w.service.Subscriptions(t.Context(), by, "c")
		if err != nil || len(all) != 1 || all[0].ReplyTo != want {
			t.Errorf("%+v: %+v %v", by, all, err)
		}
		if want == url {
			continue
		}
		if _, err := w.service.Cancel(t.Context(), by, r.ID); !errors.Is(err, requests.ErrForeign) {
			t.Errorf("%+v cancels: %v", by, err)
		}
		if err := w.service.DropPending(t.Context(), by, "c", sub.ID); !errors.Is(err, requests.ErrForeign) {
			t.Errorf("%+v drops: %v", by, err)
		}
		if err := w.service.Unsubscribe(t.Context(), by, "c", sub.ID); !errors.Is(err, requests.ErrForeign) {
			t.Errorf("%+v unsubscribes: %v", by, err)
		}
	}
	all := requests.Caller{Token: "u", All: true}
	if s, err := w.service.Cancel(t.Context(), all, r.ID); err != nil || s.State != interapp.RequestCancelled {
		t.Errorf("%+v %v", s, err)
	}
	if err := errors.Join(w.service.DropPending(t.Context(), all, "c", sub.ID), w.service.Unsubscribe(t.Context(), all, "c", sub.ID)); err != nil {
		t.Error(err)
	}
	w.end()
	if !slices.Equal(told, []string{blank, blank, blank}) {
		t.Errorf("listeners see %q", told)
	}
}
