package interapp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"sftpconnector/interapp"
)

const (
	replyBody      = `{"id":"42","connector":"results","success":true,"file_names":["a/x.csv"]}`
	deliveriesBody = `{"subscription":"s1","connector":"results","files":[{"sequence":7,"name":"a/x.csv"}]}`
)

// posting is one that is made as sftp-connector makes it; change makes it worse.
func posting(event, key, body string, change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set(interapp.EventHeader, event)
	r.Header.Set(interapp.IdempotencyHeader, key)
	r.Header.Set(interapp.SignatureHeader, interapp.Sign(secret, time.Now(), []byte(body)))
	if change != nil {
		change(r)
	}
	return r
}

func receive(h http.Handler, r *http.Request) (code int, text string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func signedAs(header string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(interapp.SignatureHeader, header) }
}

func TestReceiverHandsOver(t *testing.T) {
	var got []string
	h := &interapp.Receiver{
		Secret: secret,
		OnReply: func(_ context.Context, r interapp.Reply) error {
			got = append(got, fmt.Sprintln(r.ID, r.Success, r.FileNames))
			return nil
		},
		OnDeliveries: func(_ context.Context, d interapp.Deliveries) error {
			got = append(got, fmt.Sprintln(d.Subscription, d.Files[0].Sequence, d.Files[0].Name))
			return nil
		},
	}
	for _, c := range []struct{ event, body, want string }{
		{"reply", replyBody, "42 true [a/x.csv]\n"},
		{"deliveries", deliveriesBody, "s1 7 a/x.csv\n"},
	} {
		got = nil
		code, text := receive(h, posting(c.event, "k", c.body, nil))
		if code != 204 || text != "" || !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s: %d %q, handed over %q", c.event, code, text, got)
		}
	}
}

func TestReceiverRefuses(t *testing.T) {
	now := func(d time.Duration) string { return interapp.Sign(secret, time.Now().Add(d), []byte(replyBody)) }
	for name, c := range map[string]struct {
		event  string
		body   string
		change func(*http.Request)
		code   int
	}{
		"a GET":                  {"reply", replyBody, func(r *http.Request) { r.Method = http.MethodGet }, 405},
		"no signature":           {"reply", replyBody, signedAs(""), 401},
		"a signature of another": {"reply", replyBody, signedAs(interapp.Sign("another", time.Now(), []byte(replyBody))), 401},
		"an old one":             {"reply", replyBody, signedAs(now(-6 * time.Minute)), 401},
		"one of the future":      {"reply", replyBody, signedAs(now(6 * time.Minute)), 401},
		"a changed body":         {"reply", replyBody + " ", signedAs(now(0)), 401},
		"a large body":           {"reply", replyBody + strings.Repeat(" ", 1000), nil, 413},
		"half a body":            {"reply", replyBody, func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }, 400},
		"not JSON":               {"reply", "files", nil, 400},
		"half of it":             {"reply", replyBody[:20], nil, 400},
		"deliveries as a reply":  {"reply", deliveriesBody, nil, 400},
		"a reply as deliveries":  {"deliveries", replyBody, nil, 400},
		"no event":               {"", replyBody, nil, 501},
		"an unknown event":       {"status", replyBody, nil, 501},
		"an event of other case": {"Reply", replyBody, nil, 501},
	} {
		h := &interapp.Receiver{
			Secret: secret, MaxBody: 1000,
			OnReply:      func(context.Context, interapp.Reply) error { t.Errorf("%s: handed over", name); return nil },
			OnDeliveries: func(context.Context, interapp.Deliveries) error { t.Errorf("%s: handed over", name); return nil },
		}
		if code, text := receive(h, posting(c.event, "k", c.body, c.change)); code != c.code || strings.Contains(text, secret) {
			t.Errorf("%s: %d %q, want %d", name, code, text, c.code)
		}
	}
	for event, body := range map[string]string{"reply": replyBody, "deliveries": deliveriesBody} {
		if code, _ := receive(&interapp.Receiver{Secret: secret}, posting(event, "k", body, nil)); code != 501 {
			t.Errorf("%s without a function: %d", event, code)
		}
	}
}

func TestReceiverTakesUnsignedWhenToldTo(t *testing.T) {
	taken := func(context.Context, interapp.Reply) error { return nil }
	for _, c := range []struct {
		h    *interapp.Receiver
		code int
	}{
		{&interapp.Receiver{OnReply: taken, AllowUnsigned: true}, 204},
		{&interapp.Receiver{OnReply: taken}, 401},
		{&interapp.Receiver{OnReply: taken, AllowUnsigned: true, Secret: secret}, 401},
	} {
		if code, text := receive(c.h, posting("reply", "k", replyBody, signedAs(""))); code != c.code {
			t.Errorf("secret %q, unsigned %t: %d %q", c.h.Secret, c.h.AllowUnsigned, code, text)
		}
	}
}

// counting hands replies over to a count, and answers what outcome says.
func counting(outcome func(call int) error) (*interapp.Receiver, *atomic.Int64) {
	calls := new(atomic.Int64)
	return &interapp.Receiver{Secret: secret, OnReply: func(context.Context, interapp.Reply) error {
		return outcome(int(calls.Add(1)))
	}}, calls
}

func TestReceiverHandsOverAgainOnlyWhatFailed(t *testing.T) {
	h, calls := counting(func(call int) error {
		if call == 1 {
			return errors.New("disk full at /secret/place")
		}
		return nil
	})
	for i, want := range []struct{ code, calls int }{{500, 1}, {204, 2}, {204, 2}, {204, 2}} {
		code, text := receive(h, posting("reply", "k", replyBody, nil))
		if code != want.code || int(calls.Load()) != want.calls || strings.Contains(text, "/secret/place") {
			t.Errorf("posting %d: %d %q after %d calls", i, code, text, calls.Load())
		}
	}
	// Who overheard a posting can't use up the key of another.
	if code, _ := receive(h, posting("reply", "k", `{"id":"43"}`, nil)); code != 204 || calls.Load() != 3 {
		t.Errorf("another body with the same key: %d after %d calls", code, calls.Load())
	}
}

func TestReceiverForgetsTheOldest(t *testing.T) {
	const kept = 1024
	h, calls := counting(func(int) error { return nil })
	post := func(i int) {
		t.Helper()
		if code, text := receive(h, posting("reply", strconv.Itoa(i), replyBody, nil)); code != 204 {
			t.Fatal(code, text)
		}
	}
	for i := range kept + 1 {
		post(i)
	}
	post(1) // the oldest that is remembered
	if n := calls.Load(); n != kept+1 {
		t.Errorf("%d calls for %d postings", n, kept+1)
	}
	post(0)
	if n := calls.Load(); n != kept+2 {
		t.Errorf("the oldest of %d was remembered", kept+1)
	}
}

// What is posted again while it is being taken waits for the outcome.
func TestReceiverRunsOnceAtATime(t *testing.T) {
	for _, outcome := range []struct {
		err  error
		code int
	}{{nil, 204}, {errors.New("no"), 500}} {
		synctest.Test(t, func(t *testing.T) {
			open := make(chan struct{})
			h, calls := counting(func(int) error { <-open; return outcome.err })
			codes := make(chan int, 3)
			for range 3 {
				go func() {
					code, _ := receive(h, posting("reply", "k", replyBody, nil))
					codes <- code
				}()
			}
			// One that hangs up does not wait.
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			synctest.Wait()
			if code, _ := receive(h, posting("reply", "k", replyBody, nil).WithContext(ctx)); code != 500 {
				t.Errorf("who does not wait gets %d", code)
			}
			if len(codes) != 0 || calls.Load() != 1 {
				t.Errorf("%d answers while %d calls run", len(codes), calls.Load())
			}
			close(open)
			for range 3 {
				if code := <-codes; code != outcome.code {
					t.Errorf("%d, want %d", code, outcome.code)
				}
			}
			if calls.Load() != 1 {
				t.Errorf("%d calls", calls.Load())
			}
		})
	}
}

func TestReceiverSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := make(chan struct{})
		h, _ := counting(func(call int) error {
			if call == 1 {
				<-open
				panic("of the program")
			}
			return nil
		})
		go func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is hidden from net/http")
				}
			}()
			receive(h, posting("reply", "k", replyBody, nil))
		}()
		synctest.Wait()
		waiting := make(chan int)
		go func() {
			code, _ := receive(h, posting("reply", "k", replyBody, nil))
			waiting <- code
		}()
		synctest.Wait()
		close(open)
		if code := <-waiting; code != 500 {
			t.Errorf("who waited for it gets %d", code)
		}
		if code, _ := receive(h, posting("reply", "k", replyBody, nil)); code != 204 {
			t.Errorf("again: %d", code)
		}
	})
}
