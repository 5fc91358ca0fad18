package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

const (
	pathOfRequests      = "/api/v1/connectors/results/requests"
	pathOfSubscriptions = "/api/v1/connectors/results/subscriptions"
)

// The body is the one of the contract, with all that may be null.
func TestRequestWaitsForItsReply(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("a/x.csv", "12345", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	d.src.Put("a/early.csv", "1", time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC))
	d.src.Put("a/x.txt", "1", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	a := d.ask("POST", pathOfRequests+"?wait=60s", `{"id":"r1","source":"element 925/187","file_name_filter":"*.csv",
		"file_time_filter":{"from":"2026-01-01T00:00:00Z","to":null,"newer_than":null},"reply_to":null,"timeout":"5m"}`)
	var r interapp.Reply
	a.want(t, 200, &r)
	if !r.Success || r.ID != "r1" || r.Connector != "results" || r.Source != "element 925/187" || r.Destination != d.dir ||
		!slices.Equal(r.FileNames, []string{"a/x.csv"}) || len(r.Files) != 1 || r.Files[0].Status != "copied" {
		t.Errorf("reply %s", a.body)
	}
	if got, err := os.ReadFile(filepath.Join(d.dir, "a/x.csv")); err != nil || string(got) != "12345" {
		t.Errorf("at the destination: %q, %v", got, err)
	}
	if !strings.Contains(a.body, `"waiting":[],"failed":[]`) || a.header.Get("Location") != "" {
		t.Errorf("%s %v", a.body, a.header)
	}
	d.ask("POST", pathOfRequests+"?wait=60s", `{"file_name_filter":"no/such/*"}`).want(t, 200, &r)
	if !r.Success || r.ID == "" || len(r.FileNames) != 0 {
		t.Errorf("no match: %+v", r)
	}
}

// curl sends what stands after -d as a form, unless told otherwise.
func TestRequestByPlainCurl(t *testing.T) {
	d := newDaemon(t, server.Options{})
	var r interapp.Reply
	d.ask("POST", pathOfRequests+"?wait=60s", `{"file_name_filter":"*.csv"}`, "Content-Type: application/x-www-form-urlencoded").want(t, 200, &r)
	if !r.Success {
		t.Errorf("reply %+v", r)
	}
	const evil = "Origin: http://evil.example"
	d.ask("POST", pathOfRequests, `{"id":"evil"}`, "Content-Type: application/x-www-form-urlencoded", evil).problem(t, 403, "another origin")
	d.ask("GET", "/api/v1/requests/evil", "").problem(t, 404)
}

// The same id is the same request, before it has ended and after.
func TestSameIDIsTheSameRequest(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	const body = `{"id":"r1","file_name_filter":"*.csv"}`
	var first, again interapp.RequestState
	a := d.ask("POST", pathOfRequests, body)
	a.want(t, 202, &first)
	if first.ID != "r1" || first.Ended() || first.Finished != nil || first.Request.FileNameFilter != "*.csv" || a.header.Get("Location") != "/api/v1/requests/r1" {
		t.Errorf("%s %v", a.body, a.header)
	}
	d.awaitFetch()
	d.ask("POST", pathOfRequests+"?wait=10ms", body).want(t, 202, &again)
	if again.State != interapp.RequestRunning || !again.Accepted.Equal(first.Accepted) {
		t.Errorf("again: %+v, first %+v", again, first)
	}
	d.ask("POST", pathOfRequests, `{"id":"r1","file_name_filter":"*.txt"}`).problem(t, 409, "another request")
	open()
	one := d.ask("POST", pathOfRequests+"?wait=1m", body)
	one.want(t, 200, nil)
	for range 2 {
		if two := d.ask("POST", pathOfRequests+"?wait=1m", body); two.body != one.body {
			t.Errorf("%s, before %s", two.body, one.body)
		}
	}
	d.ask("POST", pathOfRequests, body).want(t, 202, &again)
	if again.State != interapp.RequestReplied || again.Reply == nil || again.Reply.Files[0].Status != "copied" {
		t.Errorf("ended: %+v", again)
	}
	var list interapp.PassList
	if d.ask("GET", "/api/v1/connectors/results/passes", "").want(t, 200, &list); len(list.Passes) != 1 {
		t.Errorf("%d passes for one request", len(list.Passes))
	}
}

// Whatever an id is made of, its Location leads to it.
func TestIDsInPaths(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for _, id := range []string{"a/b", "..", ".", "../connectors", "%2F", "%", "a?b#c", `!"$&'()*+,-./:;<=>@[\]^_{|}~`, strings.Repeat("x", 200)} {
		body, err := json.Marshal(interapp.Request{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		a := d.ask("POST", pathOfRequests, string(body))
		a.want(t, 202, nil)
		at := a.header.Get("Location")
		var s interapp.RequestState
		if d.ask("GET", at+"?wait=1m", "").want(t, 200, &s); s.ID != id || !s.Ended() {
			t.Errorf("%q at %s: %+v", id, at, s)
		}
		if d.ask("DELETE", at, "").want(t, 200, &s); s.ID != id || s.State != interapp.RequestReplied {
			t.Errorf("%q at %s after it has ended: %+v", id, at, s)
		}
	}
}

func TestCancelRequest(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	d.ask("POST", pathOfRequests, `{"id":"first"}`).want(t, 202, nil)
	d.awaitFetch()
	d.ask("POST", pathOfRequests, `{"id":"r1"}`).want(t, 202, nil) // which waits for that copy
	var s, again interapp.RequestState
	d.ask("DELETE", "/api/v1/requests/r1", "").want(t, 200, &s)
	if s.State != interapp.RequestCancelled || s.Reply == nil || s.Reply.Success || !strings.Contains(s.Reply.Description, "cancelled") {
		t.Errorf("%+v", s)
	}
	var r interapp.Reply
	if d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`).want(t, 200, &r); r.Success {
		t.Errorf("reply %+v", r)
	}
	open()
	if d.ask("GET", "/api/v1/requests/first?wait=1m", "").want(t, 200, &s); s.State != interapp.RequestReplied {
		t.Errorf("the other: %+v", s)
	}
	if d.ask("DELETE", "/api/v1/requests/first", "").want(t, 200, &again); again.State != s.State {
		t.Errorf("the other, cancelled after its end: %+v", again)
	}
}

// Neither a client that goes away nor a wait that is over ends a request.
func TestRequestOutlivesItsClient(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", d.http.URL+pathOfRequests+"?wait=1m", strings.NewReader(`{"id":"r1"}`))
	gone := make(chan error, 1)
	go func() { gone <- d.send(r) }()
	d.awaitFetch()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var s interapp.RequestState
	if d.ask("GET", "/api/v1/requests/r1?wait=10ms", "").want(t, 200, &s); s.State != interapp.RequestRunning || s.Progress == nil {
		t.Errorf("%+v", s)
	}
	open()
	if d.ask("GET", "/api/v1/requests/r1?wait=1m", "").want(t, 200, &s); s.State != interapp.RequestReplied || !s.Reply.Success {
		t.Errorf("%+v", s)
	}
}

func TestRequestFails(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.change(func() { d.refuse = &status.Error{Word: status.ConnectionRefused, Op: "connect", Target: "127.0.0.1:1"} })
	var r interapp.Reply
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`).want(t, 200, &r)
	if r.Success || !strings.Contains(r.Description, "Connection Refused") || r.FileNames == nil {
		t.Errorf("reply %+v", r)
	}
	d.change(func() { d.refuse = nil })
	d.src.Put("good.csv", "1", old)
	d.src.Put("bad.csv", "1", old)
	d.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "bad.csv" {
			return errors.New("broken sector")
		}
		return nil
	}
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r2"}`).want(t, 200, &r)
	if r.Success || !slices.Equal(r.FileNames, []string{"good.csv"}) || len(r.Failed) != 1 || !strings.Contains(r.Failed[0].Reason, "broken sector") {
		t.Errorf("reply %+v", r)
	}
}

// What is wrong is told in a sentence, and changes nothing.
func TestBadRequests(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for name, c := range map[string]struct {
		path, body string
		code       int
		texts      []string
	}{
		"glob":           {"", `{"id":"r","file_name_filter":"[a"}`, 422, []string{"file_name_filter", "[a"}},
		"regex":          {"", `{"id":"r","file_name_filter":"regex:("}`, 422, []string{"file_name_filter", "missing closing )"}},
		"braces":         {"", `{"id":"r","file_name_filter":"` + strings.Repeat("{a,b}", 9) + `"}`, 422, []string{"file_name_filter", "256"}},
		"long filter":    {"", `{"id":"r","file_name_filter":"` + strings.Repeat("a", 1001) + `"}`, 422, []string{"body.file_name_filter", "1000"}},
		"from after to":  {"", `{"id":"r","file_time_filter":{"from":"2026-02-01","to":"2026-01-01"}}`, 422, []string{"file_time_filter", "before"}},
		"time":           {"", `{"id":"r","file_time_filter":{"from":"yesterday"}}`, 422, []string{"file_time_filter.from", "2006-01-02"}},
		"two beginnings": {"", `{"id":"r","file_time_filter":{"from":"2026-01-01","newer_than":"1h"}}`, 422, []string{"newer_than", "one of the two"}},
		"span":           {"", `{"id":"r","file_time_filter":{"newer_than":"long"}}`, 422, []string{"newer_than", "allowed"}},
		"timeout":        {"", `{"id":"r","timeout":"25h"}`, 422, []string{"timeout", "24h"}},
		"id":             {"", `{"id":"r 1"}`, 422, []string{"id", "without spaces"}},
		"reply_to":       {"", `{"id":"r","reply_to":"http://example.com/"}`, 422, []string{"reply_to", "server.reply_to_allow"}},
		"scheme":         {"", `{"id":"r","reply_to":"file:///etc/passwd"}`, 422, []string{"reply_to"}},
		"wait":           {"?wait=11m", `{"id":"r"}`, 422, []string{"wait", "up to 10m"}},
		"query":          {"?wiat=1m", `{"id":"r"}`, 422, []string{"query.wiat"}},
		"unknown field":  {"", `{"id":"r","filename":"*.csv"}`, 422, []string{"body.filename", "unexpected"}},
		"kind":           {"", `{"id":"r","file_name_filter":["*.csv"]}`, 422, []string{"body.file_name_filter", "string"}},
		"list":           {"", `[{"id":"r"}]`, 422, []string{"body", "object"}},
		"no JSON":        {"", `id=r`, 400, []string{"not JSON"}},
		"half":           {"", `{"id":"r"`, 400, []string{"not JSON"}},
		"nothing":        {"", ``, 400, []string{"body is required"}},
		"too large":      {"", `{"id":"r","source":"` + strings.Repeat("x", 1<<20) + `"}`, 413, []string{"too large"}},
	} {
		t.Run(name, func(t *testing.T) {
			d.ask("POST", pathOfRequests+c.path, c.body).problem(t, c.code, c.texts...)
			d.ask("GET", "/api/v1/requests/r", "").problem(t, 404, `"r"`, "not known")
		})
	}
	d.ask("POST", "/api/v1/connectors/nobody/requests", `{"id":"r"}`).problem(t, 404, "known: results")
	d.ask("POST", pathOfRequests, `{"id":"r"}`, "Content-Type: text/plain").problem(t, 415, "Content-Type: application/json")
	d.ask("GET", "/api/v1/requests/r", "").problem(t, 404)
	d.ask("DELETE", "/api/v1/requests/r", "").problem(t, 404, `"r"`)
	d.ask("GET", "/api/v1/requests/r?wait=soon", "").problem(t, 422, "wait")
	d.ask("PUT", pathOfRequests, "{}").problem(t, 405, "POST")
	var list interapp.PassList
	if d.ask("GET", "/api/v1/connectors/results/passes", "").want(t, 200, &list); len(list.Passes) != 0 {
		t.Errorf("%d passes", len(list.Passes))
	}
}

// Whose token it was is remembered, as the reply is signed with it; another's
// request is not there for the taking.
func TestRequestsOfAnotherToken(t *testing.T) {
	s := eachScope()
	s.Tokens = append(s.Tokens, config.Token{Name: "second", Token: "second-token-0123456789", Scopes: []config.Scope{config.ScopeRequest}})
	d := newDaemon(t, server.Options{Server: s})
	first, second := "Authorization: Bearer "+tokenOf(config.ScopeRequest), "Authorization: Bearer second-token-0123456789"
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`, first).want(t, 200, nil)
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`, second).problem(t, 409, "another request")
	d.ask("POST", pathOfRequests, `{"id":"r2"}`, "Authorization: Bearer wrong").problem(t, 401, "server.tokens")
	d.ask("POST", pathOfRequests, `{"id":"r2"}`, "Authorization: Bearer "+tokenOf(config.ScopeRead)).problem(t, 403, "scope request")
	d.ask("GET", "/api/v1/requests/r2", "", first).problem(t, 404)
	d.ask("GET", "/api/v1/requests/r1", "", "Authorization: Bearer "+tokenOf(config.ScopeApply)).problem(t, 403, "scope request or read")
}

// Another's requests and subscriptions are there to see, without the secrets of
// their reply_to, but not to end.
func TestWhatAnotherTokenAskedFor(t *testing.T) {
	s := eachScope()
	s.Tokens = append(s.Tokens, config.Token{Name: "second", Token: "second-token-0123456789", Scopes: []config.Scope{config.ScopeRequest}})
	d := newDaemon(t, server.Options{Server: s})
	const bearer = "Authorization: Bearer "
	first, second, all := bearer+tokenOf(config.ScopeRequest), bearer+"second-token-0123456789", bearer+tokenOf(config.ScopeConfigure)
	const body = `{"id":"r1","reply_to":"http://127.0.0.1:1/in?secret=1"}`
	var sub interapp.Subscription
	d.ask("POST", pathOfSubscriptions, `{"reply_to":"http://127.0.0.1:1/in?secret=1"}`, first).want(t, 201, &sub)
	d.ask("POST", pathOfRequests+"?wait=1m", body, first).want(t, 200, nil)
	at := pathOfSubscriptions + "/" + sub.ID
	for _, path := range []string{"/api/v1/requests/r1", pathOfSubscriptions, at} {
		if a := d.ask("GET", path, "", first); !strings.Contains(a.body, "/in?secret=1") {
			t.Errorf("%s of its owner: %s", path, a.body)
		}
		if a := d.ask("GET", path, "", second); a.code != 200 || strings.Contains(a.body, "secret") || !strings.Contains(a.body, "/in?…") {
			t.Errorf("%s of another: %s", path, a.body)
		}
	}
	if a := d.ask("GET", "/api/v1/requests/r1", "", bearer+tokenOf(config.ScopeRead)); a.code != 200 || strings.Contains(a.body, "secret") {
		t.Errorf("a reader sees %s", a.body)
	}
	for _, path := range []string{"/api/v1/requests/r1", at + "/pending", at} {
		d.ask("DELETE", path, "", second).problem(t, 403, "another token", "configure")
	}
	for _, path := range []string{"/api/v1/requests/r1/send", at + "/send"} {
		d.ask("POST", path, "", second).problem(t, 403, "another token", "configure")
	}
	if a := d.ask("GET", "/api/v1/requests", "", second); a.code != 200 || strings.Contains(a.body, "secret") || !strings.Contains(a.body, "/in?…") {
		t.Errorf("the list of another: %s", a.body)
	}
	if a := d.ask("GET", "/api/v1/requests", "", first); !strings.Contains(a.body, "/in?secret=1") {
		t.Errorf("the list of its owner: %s", a.body)
	}
	d.ask("POST", "/api/v1/requests/r1/send", "", all).want(t, 200, nil)
	d.ask("GET", at, "", first).want(t, 200, nil)
	d.ask("DELETE", at+"/pending", "", all).want(t, 204, nil)
	d.ask("DELETE", at, "", all).want(t, 204, nil)
	d.ask("DELETE", "/api/v1/requests/r1", "", all).want(t, 200, nil)
}

// What there is nothing of cannot be sent, and the answer says why.
func TestNothingToSend(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"quiet"}`).want(t, 200, nil)
	d.ask("POST", "/api/v1/requests/quiet/send", "").problem(t, 409, "quiet", "no reply_to")
	d.ask("POST", "/api/v1/requests/none/send", "").problem(t, 404, "none", "not known")
	var sub interapp.Subscription
	d.ask("POST", pathOfSubscriptions, `{"reply_to":"http://127.0.0.1:1"}`).want(t, 201, &sub)
	d.ask("POST", pathOfSubscriptions+"/"+sub.ID+"/send", "").problem(t, 409, sub.ID, "told of everything")
	d.ask("POST", pathOfSubscriptions+"/none/send", "").problem(t, 404, "none", "not known")
	d.src.Put("a", "1", old)
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	d.ask("POST", pathOfSubscriptions+"/"+sub.ID+"/send", "").want(t, 200, &sub)
	if sub.Pending != 1 {
		t.Errorf("%+v", sub)
	}
}

func TestListRequests(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("a", "1", old)
	for _, id := range []string{"r1", "r2", "r3"} {
		d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"`+id+`"}`).want(t, 200, nil)
	}
	var ids []string
	for cursor := ""; ; {
		var page interapp.RequestPage
		d.ask("GET", "/api/v1/requests?connector=results&state=replied&limit=2&cursor="+cursor, "").want(t, 200, &page)
		for _, r := range page.Requests {
			if ids = append(ids, r.ID); r.Reply == nil || !r.Reply.Success || len(r.Reply.Files) != 0 || r.Reply.Description == "" {
				t.Errorf("%+v", r)
			}
		}
		if cursor = page.Cursor; cursor == "" {
			break
		}
	}
	if strings.Join(ids, " ") != "r3 r2 r1" {
		t.Error(ids)
	}
	for _, query := range []string{"?connector=none", "?state=failed"} {
		if a := d.ask("GET", "/api/v1/requests"+query, ""); a.code != 200 || !strings.HasPrefix(a.body, `{"requests":[],"cursor":""}`) {
			t.Errorf("%s: %+v", query, a)
		}
	}
	for _, query := range []string{"?state=done", "?cursor=x", "?limit=0", "?limit=1001"} {
		d.ask("GET", "/api/v1/requests"+query, "").problem(t, 422)
	}
}

func TestNoRequestsWithoutService(t *testing.T) {
	d := newDaemon(t, server.Options{})
	api := server.NewHTTPServer(server.New(server.Options{Set: d.set}))
	d.http.Config.Handler = api.Handler
	d.ask("POST", pathOfRequests, "{}").problem(t, 404)
	d.ask("GET", "/openapi.json", "").want(t, 200, nil)
}

func TestSubscriptions(t *testing.T) {
	d := newDaemon(t, server.Options{})
	var s interapp.Subscription
	a := d.ask("POST", pathOfSubscriptions, `{"source":"me","file_name_filter":"*.csv","from":"2020-01-01","reply_to":"http://127.0.0.1:1/in"}`)
	a.want(t, 201, &s)
	at := a.header.Get("Location")
	if s.ID == "" || s.Connector != "results" || s.Created.IsZero() || s.FileNameFilter != "*.csv" || at != pathOfSubscriptions+"/"+s.ID {
		t.Errorf("%s %v", a.body, a.header)
	}
	d.src.Put("x.csv", "1", old)
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	if d.ask("GET", at, "").want(t, 200, &s); s.Pending != 1 {
		t.Errorf("pending: %+v", s)
	}
	d.ask("DELETE", at+"/pending", "").want(t, 204, nil)
	var list interapp.SubscriptionList
	if d.ask("GET", pathOfSubscriptions, "").want(t, 200, &list); len(list.Subscriptions) != 1 || list.Subscriptions[0].ID != s.ID || list.Subscriptions[0].Pending != 0 {
		t.Errorf("list %+v", list)
	}
	d.ask("DELETE", at, "").want(t, 204, nil)
	for _, method := range []string{"GET", "DELETE"} {
		d.ask(method, at, "").problem(t, 404, s.ID)
	}
	d.ask("DELETE", at+"/pending", "").problem(t, 404, s.ID)
	if a := d.ask("GET", pathOfSubscriptions, ""); a.body != "{\"subscriptions\":[]}\n" {
		t.Errorf("list %q", a.body)
	}
}

func TestBadSubscriptions(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for body, texts := range map[string][]string{
		`{}`:                                 {"reply_to", "required"},
		`{"reply_to":""}`:                    {"reply_to"},
		`{"reply_to":"http://example.com/"}`: {"reply_to", "server.reply_to_allow"},
		`{"reply_to":"http://127.0.0.1:1","file_name_filter":"[a"}`:                  {"file_name_filter"},
		`{"reply_to":"http://127.0.0.1:1","from":"2026-01-01","to":"2026-01-01"}`:    {"before"},
		`{"reply_to":"http://127.0.0.1:1","to":"soon"}`:                              {"to", "not a time"},
		`{"reply_to":"http://127.0.0.1:1","file_time_filter":{"from":"2026-01-01"}}`: {"body.file_time_filter", "unexpected"},
	} {
		d.ask("POST", pathOfSubscriptions, body).problem(t, 422, texts...)
	}
	d.ask("POST", "/api/v1/connectors/nobody/subscriptions", `{"reply_to":"http://127.0.0.1:1"}`).problem(t, 404, "known: results")
	d.ask("GET", "/api/v1/connectors/nobody/subscriptions", "").problem(t, 404, "known: results")
	d.ask("GET", "/api/v1/connectors/nobody/subscriptions/x", "").problem(t, 404, "known: results")
	var list interapp.SubscriptionList
	if d.ask("GET", pathOfSubscriptions, "").want(t, 200, &list); len(list.Subscriptions) != 0 {
		t.Errorf("list %+v", list)
	}
}
