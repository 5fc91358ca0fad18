package interapp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/interapp"
)

// transport is a server without a network, for tests in which time passes.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t(r)
	if answer != nil {
		answer.Request = r
	}
	return answer, err
}

func (t transport) client() *interapp.Client {
	c := interapp.NewClient("http://127.0.0.1:8022", "")
	c.HTTP = &http.Client{Transport: t}
	return c
}

func answer(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// Whatever happens on the way, the same request is asked again until there is a reply.
func TestRequestIsInsistedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const state = `{"id":"x","state":"running","reply":null}`
		answers := []func(*http.Request) (*http.Response, error){
			func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
			func(*http.Request) (*http.Response, error) { return answer(502, "<html>"), nil },
			func(*http.Request) (*http.Response, error) { return answer(503, ""), nil },
			func(*http.Request) (*http.Response, error) { return answer(504, ""), nil },
			func(*http.Request) (*http.Response, error) { return answer(200, `{"id":"x","succ`), nil },
			func(*http.Request) (*http.Response, error) { return answer(202, state), nil }, // which did not wait
			func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() },
			func(*http.Request) (*http.Response, error) {
				time.Sleep(50 * time.Second)
				return answer(202, state), nil
			},
			func(*http.Request) (*http.Response, error) {
				return answer(200, `{"id":"x","success":true,"file_names":["a"]}`), nil
			},
		}
		var bodies []string
		var at []time.Time
		c := transport(func(r *http.Request) (*http.Response, error) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			bodies, at = append(bodies, string(body)), append(at, time.Now())
			return answers[len(bodies)-1](r)
		}).client()
		reply, err := c.Request(t.Context(), "results", interapp.Request{FileNameFilter: "*.csv"})
		if err != nil || !reply.Success || len(reply.FileNames) != 1 || len(bodies) != len(answers) {
			t.Fatalf("%+v, %v after %d asks", reply, err, len(bodies))
		}
		var first interapp.Request
		if err := json.Unmarshal([]byte(bodies[0]), &first); err != nil || len(first.ID) < 20 || first.FileNameFilter != "*.csv" {
			t.Errorf("asked %s", bodies[0])
		}
		for _, body := range bodies {
			if body != bodies[0] {
				t.Errorf("asked %s, and then %s", bodies[0], body)
			}
		}
		var pauses []time.Duration
		for i := range at[1:] {
			pauses = append(pauses, at[i+1].Sub(at[i]))
		}
		// The 80 seconds are the client's own patience with a server that is silent.
		if got := fmt.Sprint(pauses); got != "[100ms 200ms 400ms 800ms 1.6s 3.2s 1m20.1s 50.1s]" {
			t.Errorf("pauses %s", got)
		}
	})
}

// What the server refuses is not asked again.
func TestRequestIsRefused(t *testing.T) {
	for _, code := range []int{400, 401, 403, 404, 409, 413, 422, 500, 301} {
		asked := 0
		c := transport(func(*http.Request) (*http.Response, error) { asked++; return answer(code, ""), nil }).client()
		_, err := c.Request(t.Context(), "results", interapp.Request{ID: "r1"})
		if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != code || asked != 1 || !strings.Contains(err.Error(), "request r1 of results: ") {
			t.Errorf("%d: %v after %d asks", code, err, asked)
		}
	}
	for name, body := range map[string]string{"a page": "<html>", "another program": `["x"]`} {
		asked := 0
		c := transport(func(*http.Request) (*http.Response, error) { asked++; return answer(200, body), nil }).client()
		if _, err := c.Request(t.Context(), "results", interapp.Request{}); err == nil || asked != 1 {
			t.Errorf("%s: %v after %d asks", name, err, asked)
		}
	}
	if _, err := client(t, "ftp://127.0.0.1").Request(t.Context(), "results", interapp.Request{}); err == nil {
		t.Error("no server")
	}
	if _, err := client(t, "http://127.0.0.1").Request(t.Context(), "", interapp.Request{}); err == nil {
		t.Error("no connector")
	}
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, err := client(t, s.URL).Request(t.Context(), "results", interapp.Request{}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that is not trusted: %v", err)
	}
}

// When ctx ends, the error says so, and what went wrong before.
func TestRequestEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := transport(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }).client()
		_, err := c.Request(ctx, "results", interapp.Request{ID: "r1"})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Error(err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		c = transport(func(r *http.Request) (*http.Response, error) {
			cancel()
			<-r.Context().Done()
			return nil, r.Context().Err()
		}).client()
		if _, err := c.Request(ctx, "results", interapp.Request{ID: "r1"}); !errors.Is(err, context.Canceled) || err.Error() != "request r1 of results: context canceled" {
			t.Error(err)
		}
	})
}

// An answer without content is one only where none is expected.
func TestDeletes(t *testing.T) {
	var got string
	code := http.StatusNoContent
	c := transport(func(r *http.Request) (*http.Response, error) {
		got = r.Method + " " + r.URL.EscapedPath()
		return answer(code, ""), nil
	}).client()
	for want, call := range map[string]func() error{
		"DELETE /api/v1/connectors/a%2Fb/subscriptions/s1":         func() error { return c.Unsubscribe(t.Context(), "a/b", "s1") },
		"DELETE /api/v1/connectors/a/subscriptions/%2E%2E/pending": func() error { return c.DropPending(t.Context(), "a", "..") },
	} {
		code = http.StatusNoContent
		if err := call(); err != nil || got != want {
			t.Errorf("got %s (%v), want %s", got, err, want)
		}
		code = http.StatusNotFound
		if err := call(); err == nil {
			t.Errorf("%s: no error", want)
		}
	}
	code = http.StatusNoContent
	if _, err := c.CancelRequest(t.Context(), "r1"); err == nil {
		t.Error("cancelled without an answer")
	}
}
