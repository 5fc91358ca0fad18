package interapp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"sftpconnector/interapp"
)

// answering is a server that has one answer.
type answering struct {
	status   int
	kind, to string
	body     []byte
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {a.kind}}
	if a.to != "" {
		header.Set("Location", a.to)
	}
	return &http.Response{StatusCode: a.status, Status: http.StatusText(a.status), Header: header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// FuzzAnswers: whatever answers in place of sftp-connector, a call ends at once, in an
// answer or in an error that is not empty, and what is refused is a *Problem.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"connectors":[{"name":"a"}]}`, `{"connectors":null}`, `[]`, `null`, ``, `{"status":503,"title":"x","detail":"y"}`, `{"status":0}`, `<html>`,
		`{"id":"a","success":true,"file_names":["x"]}`, `{"state":"running"}`, `{"subscriptions":[{}]}`, "\xff", `{"connectors":[{"next_sync":"yesterday"}]}`, strings.Repeat("[", 20000),
	} {
		f.Add(200, "application/json", "", []byte(body))
		f.Add(404, "application/problem+json", "", []byte(body))
	}
	f.Add(302, "text/html", "http://elsewhere/", []byte("x"))
	f.Add(204, "", "", []byte(nil))
	f.Add(500, "application/problem+json; x=\x01", "", []byte(`{"status":200}`))
	f.Fuzz(func(t *testing.T, status int, kind, to string, body []byte) {
		if status < 100 || status > 999 {
			return
		}
		c := interapp.NewClient("http://127.0.0.1:1", "secret-token")
		c.HTTP.Transport = answering{status, kind, to, body}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err1 := c.Connectors(ctx)
		_, err2 := c.RequestState(ctx, "id")
		_, err3 := c.Subscriptions(ctx, "a")
		err4 := c.Unsubscribe(ctx, "a", "id")
		_, _, err5 := c.Apply(ctx, "a", time.Second)
		_, err6 := c.Files(ctx, "a", interapp.FileQuery{})
		for i, err := range []error{err1, err2, err3, err4, err5, err6} {
			if err == nil {
				if status < 200 || status > 299 {
					t.Errorf("call %d: %d is a success", i+1, status)
				}
				continue
			}
			if err.Error() == "" || strings.Contains(err.Error(), "secret-token") || ctx.Err() != nil {
				t.Errorf("call %d: %q", i+1, err)
			}
			if p, ok := errors.AsType[*interapp.Problem](err); status >= 300 && (!ok || p.Status == 0) {
				t.Errorf("call %d: %d is %v", i+1, status, err)
			}
		}
	})
}

// FuzzReceiver: what is not signed by who knows the secret reaches no program, and
// what is reaches it once and as it was sent, or is refused for good.
func FuzzReceiver(f *testing.F) {
	for _, body := range []string{
		`{"id":"a","success":true}`, `{"id":""}`, `{"subscription":"s","deliveries":[]}`, `{}`, `[]`, `null`, "", "\xff", `{"id":"a","files":[{"name":"\ud800"}]}`,
	} {
		f.Add(interapp.EventReply, "key", []byte(body), "t=1,v1=00")
		f.Add(interapp.EventDeliveries, "", []byte(body), "")
	}
	f.Add("x", "k", []byte("{}"), "t=9223372036854775807,v1=")
	f.Fuzz(func(t *testing.T, event, key string, body []byte, signature string) {
		calls := 0
		rc := &interapp.Receiver{Secret: "secret",
			OnReply: func(_ context.Context, r interapp.Reply) error {
				if calls++; r.ID == "" {
					t.Error("a reply without an id")
				}
				return nil
			},
			OnDeliveries: func(_ context.Context, d interapp.Deliveries) error {
				if calls++; d.Subscription == "" {
					t.Error("deliveries of no subscription")
				}
				return nil
			}}
		post := func(signature string) int {
			r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			r.Header.Set(interapp.SignatureHeader, signature)
			r.Header.Set(interapp.EventHeader, event)
			r.Header.Set(interapp.IdempotencyHeader, key)
			w := httptest.NewRecorder()
			rc.ServeHTTP(w, r)
			return w.Code
		}
		if code := post(signature); code != http.StatusUnauthorized || calls > 0 {
			t.Fatalf("%q, signed by %q: %d, %d calls", body, signature, code, calls)
		}
		good := interapp.Sign("secret", time.Now(), body)
		first, second := post(good), post(good)
		if first != second || first == http.StatusInternalServerError || (first == http.StatusNoContent) != (calls == 1) || calls > 1 {
			t.Errorf("%q %q: %d, then %d, %d calls", event, body, first, second, calls)
		}
	})
}
