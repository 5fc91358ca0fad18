package interapp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/interapp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, h http.HandlerFunc) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func client(t *testing.T, url string) *interapp.Client {
	c := interapp.NewClient(url, "the-token")
	t.Cleanup(c.Close)
	return c
}

func TestProblemIsDecoded(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json; charset=utf-8")
		w.WriteHeader(404)
		_, _ = w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"detail":"no such thing","more":1}`))
	})
	_, err := client(t, url).Connector(t.Context(), "x")
	p, ok := errors.AsType[*interapp.Problem](err)
	if !ok || p.Status != 404 || p.Title != "Not Found" || p.Detail != "no such thing" || err.Error() != "connector x: no such thing" {
		t.Errorf("%v: %+v", err, p)
	}
}

// Whatever answers in the server's place, the error says so.
func TestAnswersOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		kind string
		body string
		want string
	}{
		"a proxy":             {502, "text/html", "<html>", "502 Bad Gateway"},
		"a problem of nobody": {500, "application/problem+json", `{}`, "500 Internal Server Error"},
		"a page":              {200, "text/html", "<html>", "not one of sftp-connector"},
		"nothing":             {204, "", "", "204 No Content"},
		"half an answer":      {200, "application/json", `{"connectors":[`, "not one of sftp-connector"},
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.kind)
			w.WriteHeader(c.code)
			_, _ = w.Write([]byte(c.body))
		})
		if _, err := client(t, url).Connectors(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// The token goes to the server that it was given for, and to no other.
func TestRedirectsAreNotFollowed(t *testing.T) {
	followed := false
	other := serve(t, func(http.ResponseWriter, *http.Request) { followed = true })
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, other, http.StatusTemporaryRedirect)
	})
	c := client(t, url)
	for _, h := range []*http.Client{c.HTTP, {}} {
		c.HTTP = h
		_, _, err := c.Apply(t.Context(), "x", 0)
		if err == nil || !strings.Contains(err.Error(), "redirects to "+other) {
			t.Error(err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if followed {
		t.Error("the redirect was followed")
	}
}

func TestRequests(t *testing.T) {
	var got string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Method + " " + r.URL.EscapedPath() + "?" + r.URL.RawQuery
		_, _ = w.Write([]byte(`{}`))
	})
	c := client(t, url+"/below/")
	ctx := t.Context()
	for want, call := range map[string]func() error{
		"GET /below/api/v1/connectors?":                          func() error { _, err := c.Connectors(ctx); return err },
		"GET /below/api/v1/connectors/a%2Fb%3Fc%20d?":            func() error { _, err := c.Connector(ctx, "a/b?c d"); return err },
		"GET /below/api/v1/connectors/%2E%2E?":                   func() error { _, err := c.Connector(ctx, ".."); return err },
		"POST /below/api/v1/connectors/a/apply?":                 func() error { _, _, err := c.Apply(ctx, "a", -time.Hour); return err },
		"POST /below/api/v1/connectors/a/apply?wait=1m30s":       func() error { _, _, err := c.Apply(ctx, "a", 90*time.Second); return err },
		"POST /below/api/v1/connectors/a/apply?wait=10m0s":       func() error { _, _, err := c.Apply(ctx, "a", time.Hour); return err },
		"GET /below/api/v1/connectors/a/files?cursor=f1&limit=5": func() error { _, err := c.Files(ctx, "a", interapp.FileQuery{Cursor: "f1", Limit: 5}); return err },
		"GET /below/api/v1/connectors/a/files?name=x%26y&state=present": func() error {
			_, err := c.Files(ctx, "a", interapp.FileQuery{Name: "x&y", State: "present"})
			return err
		},
		"GET /below/api/v1/connectors/a/passes?": func() error { _, err := c.Passes(ctx, "a", 0); return err },
		"POST /below/api/v1/connectors/a/requests?wait=50s": func() error {
			_, err := c.Request(ctx, "a", interapp.Request{})
			return err
		},
		"POST /below/api/v1/connectors/a/requests?": func() error { _, err := c.StartRequest(ctx, "a", interapp.Request{}); return err },
		"GET /below/api/v1/requests/a%2Fb?":         func() error { _, err := c.RequestState(ctx, "a/b"); return err },
		"DELETE /below/api/v1/requests/%2E%2E?":     func() error { _, err := c.CancelRequest(ctx, ".."); return err },
		"POST /below/api/v1/connectors/a/subscriptions?": func() error {
			_, err := c.Subscribe(ctx, "a", interapp.Subscription{})
			return err
		},
		"GET /below/api/v1/connectors/a/subscriptions?": func() error { _, err := c.Subscriptions(ctx, "a"); return err },
	} {
		if err := call(); err != nil || got != want {
			t.Errorf("got %s (%v), want %s", got, err, want)
		}
	}
}

func TestNoServer(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	for url, want := range map[string]string{
		s.URL:                                "refused",
		strings.TrimPrefix(s.URL, "http://"): "refused",
		"ftp://127.0.0.1":                    "write it like",
		"http://":                            "write it like",
		"http://a b":                         "write it like",
		"":                                   "write it like",
	} {
		if _, err := client(t, url).Connectors(t.Context()); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "the-token") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}

func TestContextIsObeyed(t *testing.T) {
	hanging := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(hanging); <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-hanging; cancel() }()
	if _, _, err := client(t, url).Apply(ctx, "x", time.Minute); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPassEnded(t *testing.T) {
	for state, want := range map[string]bool{"queued": false, "running": false, "succeeded": true, "partial": true, "failed": true, "cancelled": true} {
		if got := (interapp.Pass{State: state}).Ended(); got != want {
			t.Errorf("%s: %t", state, got)
		}
	}
}
