package requests_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
)

// A reply is posted once more when that is asked for: one that was taken, and one that
// waits for its next try. A receiver can tell that it is the same.
func TestSendReply(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	var broken atomic.Bool
	var taken atomic.Int64
	keys := make(chan string, 100)
	r := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get(interapp.IdempotencyHeader)
		if broken.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
		taken.Add(1)
	}))
	defer r.Close()
	s := w.ended(w.accept(interapp.Request{ID: "r", FileNameFilter: "none", ReplyTo: r.URL}).ID)
	posted := func() bool {
		s, _ = w.service.Request(t.Context(), "r")
		return s.Posting.Done
	}
	w.until("the reply is there", posted)
	again, err := w.service.SendReply(t.Context(), owner, "r")
	if err != nil || again.Posting == nil || again.Reply == nil {
		t.Fatalf("%+v %v", again, err)
	}
	w.until("it is there twice", func() bool { return taken.Load() == 2 && posted() })
	broken.Store(true)
	if _, err := w.service.SendReply(t.Context(), owner, "r"); err != nil {
		t.Fatal(err)
	}
	w.until("it waits for its next try", func() bool { return !posted() && s.Posting.Tries > 0 && time.Until(*s.Posting.NextTry) > 0 })
	broken.Store(false)
	if _, err := w.service.SendReply(t.Context(), owner, "r"); err != nil {
		t.Fatal(err)
	}
	w.until("it is there three times", func() bool { return taken.Load() == 3 && posted() })
	close(keys)
	for key := range keys {
		if key != "r" {
			t.Errorf("posted with the key %q", key)
		}
	}
}

func TestNothingToSend(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	r := newReceiver(t)
	w.ended(w.accept(interapp.Request{ID: "quiet", FileNameFilter: "none"}).ID)
	w.ended(w.accept(interapp.Request{ID: "r", FileNameFilter: "none", ReplyTo: r.URL}).ID)
	w.src.Put("f", "1", old)
	open := w.close()
	defer open()
	w.accept(interapp.Request{ID: "open", ReplyTo: r.URL})
	sub, err := w.service.Subscribe(t.Context(), "c", "t", interapp.Subscription{ReplyTo: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	stranger := requests.Caller{Token: "stranger"}
	for name, c := range map[string]struct {
		send func() error
		want error
		text string
	}{
		"unknown request":      {w.sendReply(owner, "none"), requests.ErrUnknown, ""},
		"another's request":    {w.sendReply(stranger, "r"), requests.ErrForeign, ""},
		"no reply_to":          {w.sendReply(owner, "quiet"), requests.ErrNothingToSend, "no reply_to"},
		"no reply yet":         {w.sendReply(owner, "open"), requests.ErrNothingToSend, "no reply yet"},
		"unknown subscription": {w.sendDeliveries(owner, "none"), requests.ErrUnknown, ""},
		"another's":            {w.sendDeliveries(stranger, sub.ID), requests.ErrForeign, ""},
		"nothing pending":      {w.sendDeliveries(owner, sub.ID), requests.ErrNothingToSend, "told of everything"},
	} {
		if err := c.send(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (w *world) sendReply(by requests.Caller, id string) func() error {
	return func() error { _, err := w.service.SendReply(context.Background(), by, id); return err }
}

func (w *world) sendDeliveries(by requests.Caller, id string) func() error {
	return func() error { _, err := w.service.SendDeliveries(context.Background(), by, "c", id); return err }
}

// What a subscriber is to be told of next is tried when that is asked for, in order.
func TestSendDeliveries(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	r := newReceiver(t)
	sub, err := w.service.Subscribe(t.Context(), "c", "t", interapp.Subscription{ReplyTo: r.URL})
	if err != nil {
		t.Fatal(err)
	}
	r.mend(true)
	for _, name := range []string{"a", "b"} {
		w.src.Put(name, "1", old)
		w.ended(w.accept(interapp.Request{}).ID)
	}
	// After some tries the next is so far away that the test would not see it.
	w.until("it waits", func() bool {
		sub, err = w.service.Subscription(t.Context(), owner, "c", sub.ID)
		return err == nil && sub.Pending == 2 && sub.Posting != nil && sub.Posting.NextTry != nil && time.Until(*sub.Posting.NextTry) > 0
	})
	r.mend(false)
	if sub, err = w.service.SendDeliveries(t.Context(), owner, "c", sub.ID); err != nil || sub.Pending != 2 {
		t.Errorf("%+v %v", sub, err)
	}
	w.until("the subscriber is told", func() bool { _, files := r.told(); return files == "a b" })
}

// Pages have what replies say and no files, and the secrets of reply_to for their
// owners alone.
func TestRequestPages(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	for _, name := range []string{"a", "b", "c"} {
		w.src.Put(name, "1", old)
	}
	for _, id := range []string{"r1", "r2", "r3"} {
		w.ended(w.accept(interapp.Request{ID: id, Source: strings.Repeat("€", 60), ReplyTo: "http://127.0.0.1:1/in?key=secret"}).ID)
	}
	stranger := requests.Caller{Token: "stranger"}
	page, next, err := w.service.Page(t.Context(), stranger, requests.Query{Limit: 2})
	if err != nil || len(page) != 2 || page[0].ID != "r3" || page[1].ID != "r2" || next == "" {
		t.Fatalf("%+v %q %v", page, next, err)
	}
	for _, s := range page {
		whole, err := w.service.Request(t.Context(), s.ID)
		if err != nil || len(whole.Reply.Files) != 3 {
			t.Fatal(whole, err)
		}
		want := *whole.Reply
		want.FileNames, want.Files = []string{}, []interapp.ReplyFile{}
		if s.Reply == nil || s.Reply.FileNames == nil || len(s.Reply.Files)+len(s.Reply.FileNames) != 0 || s.Reply.Description != want.Description ||
			s.Reply.Source != want.Source || s.Reply.Destination != w.dir || !s.Reply.Success || !s.Finished.Equal(*whole.Finished) {
			t.Errorf("%+v\nwant %+v", s.Reply, want)
		}
		if s.Posting == nil || s.Request.ReplyTo != "http://127.0.0.1:1/in?…" {
			t.Errorf("%+v", s)
		}
	}
	page, next, err = w.service.Page(t.Context(), owner, requests.Query{Limit: 2, Cursor: next})
	if err != nil || len(page) != 1 || page[0].ID != "r1" || next != "" || page[0].Request.ReplyTo != "http://127.0.0.1:1/in?key=secret" {
		t.Errorf("%+v %q %v", page, next, err)
	}
	if page, _, err = w.service.Page(t.Context(), owner, requests.Query{State: interapp.RequestFailed}); err != nil || len(page) != 0 {
		t.Errorf("%+v %v", page, err)
	}
}

// However little of a reply is known, what is known is told.
func TestReplyHead(t *testing.T) {
	t.Parallel()
	const whole = `{"id":"r","connector":"c","source":"s","success":true,"description":"1 file \u20ac copied","destination_directory_path":"/d","file_names":["a"],"files":[],"waiting":[],"failed":[]}`
	for cut, want := range map[string]interapp.Reply{
		whole:                                 {ID: "r", Connector: "c", Source: "s", Success: true, Description: "1 file € copied", Destination: "/d"},
		whole[:strings.Index(whole, "file ")]: {ID: "r", Connector: "c", Source: "s", Success: true},
		whole[:1]:                             {},
		"":                                    {},
		"null":                                {},
		"[]":                                  {},
	} {
		got := requests.ReplyHead(cut)
		if got.ID != want.ID || got.Connector != want.Connector || got.Source != want.Source || got.Success != want.Success ||
			got.Description != want.Description || got.Destination != want.Destination || got.FileNames == nil || got.Files == nil || got.Waiting == nil || got.Failed == nil {
			t.Errorf("%q: %+v", cut, got)
		}
	}
}
