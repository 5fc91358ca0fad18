package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/config"
	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	"sftpconnector/status"
)

// event is one that a stream brought; a comment has no name.
type event struct{ name, data string }

// listen opens the stream, which stands when it returns. The channel is closed
// at the stream's end.
func (d *daemon) listen(query string, headers ...string) (events <-chan event, stop func()) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, "GET", d.http.URL+"/api/v1/events"+query, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	answer, err := d.http.Client().Do(r) //nolint:bodyclose // it is closed at the stream's end
	if err != nil {
		d.t.Fatal(err)
	}
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || kind != "text/event-stream" {
		d.t.Fatalf("%s of %s", answer.Status, kind)
	}
	out := make(chan event, 1000)
	go func() {
		defer close(out)
		defer answer.Body.Close()
		read(bufio.NewScanner(answer.Body), func(e event) bool { out <- e; return true })
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		for range out { // until it is closed
		}
	})
	d.t.Cleanup(stop)
	if e := <-out; e.name != "" {
		d.t.Fatalf("the first is %+v, not a comment", e)
	}
	return out, stop
}

// read takes a stream apart, until more is false.
func read(lines *bufio.Scanner, found func(event) (more bool)) {
	var e event
	for lines.Scan() {
		switch key, value, _ := strings.Cut(lines.Text(), ": "); {
		case key == "event":
			e.name = value
		case key == "data":
			e.data = value
		case lines.Text() == "":
			if !found(e) {
				return
			}
			e = event{}
		}
	}
}

// await reads events until there is one of that name that is right.
func await[T any](t testing.TB, events <-chan event, name string, right func(T) bool) T {
	t.Helper()
	timeout := time.After(20 * time.Second)
	var seen []event
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the stream ended; there were %q", seen)
			}
			var v T
			if e.name != name {
				seen = append(seen, e)
				continue
			}
			if err := json.Unmarshal([]byte(e.data), &v); err != nil {
				t.Fatalf("%v: %s", err, e.data)
			}
			if right(v) {
				return v
			}
			seen = append(seen, e)
		case <-timeout:
			t.Fatalf("no %s event; there were %q", name, seen)
		}
	}
}

func TestEventsOfAnApply(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "12345", old)
	open := d.close()
	events, _ := d.listen("?connector=results")
	d.ask("POST", "/api/v1/connectors/results/apply", "").want(t, 202, nil)
	await(t, events, "status", func(s interapp.StatusEvent) bool {
		return s.Connector == "results" && s.ConnectionStatus == "Connection Valid" && !s.Since.IsZero()
	})
	running := await(t, events, "pass", func(p interapp.PassEvent) bool {
		return p.State == "running" && p.Progress != nil && p.Progress.FilesFound == 1
	})
	if running.Connector != "results" || running.Mode != "apply" || running.Pass.Pass == "" || running.ConnectionStatus != "Connection Valid" {
		t.Errorf("running: %+v", running)
	}
	open()
	await(t, events, "file", func(f interapp.FileEvent) bool {
		return f.Connector == "results" && f.Name == "x.csv" && f.Target == "x.csv" && f.Size == 5 && f.State == "delivered" && f.Pass == running.Pass.Pass && f.DeliveredAt != nil
	})
	await(t, events, "pass", func(p interapp.PassEvent) bool {
		return p.Pass.Pass == running.Pass.Pass && p.State == "succeeded" && p.Files.Copied == 1 && p.Progress == nil && p.Finished != nil
	})
}

func TestEventsOfARequest(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "12345", old)
	events, _ := d.listen("")
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"r1"}`).want(t, 200, nil)
	for _, state := range []string{interapp.RequestAccepted, interapp.RequestRunning, interapp.RequestReplied} {
		s := await(t, events, "request", func(interapp.RequestState) bool { return true })
		if s.ID != "r1" || s.State != state || s.Reply != nil {
			t.Errorf("%+v, want %s without a reply", s, state)
		}
	}
}

func TestEventsOfOneConnector(t *testing.T) {
	d := newDaemon(t, server.Options{})
	all, _ := d.listen("")
	mine, _ := d.listen("?connector=results")
	for i, name := range []string{"other", "results", "other"} {
		d.events.Health(name, connector.Health{Status: status.ConnectionLost, Hint: fmt.Sprint(i)})
	}
	d.events.Health("results", connector.Health{Status: status.ConnectionValid})
	hints := func(events <-chan event) (got string) {
		await(t, events, "status", func(s interapp.StatusEvent) bool {
			got += s.Connector + s.Hint + " "
			return s.ConnectionStatus == "Connection Valid"
		})
		return got
	}
	if got := hints(all); got != "other0 results1 other2 results " {
		t.Errorf("all: %s", got)
	}
	if got := hints(mine); got != "results1 results " {
		t.Errorf("of one: %s", got)
	}
	d.ask("GET", "/api/v1/events?connector=nobody", "").problem(t, 404, "known: results")
}

// lazy is a client that takes what is sent only when it is read.
type lazy struct {
	*httptest.ResponseRecorder
	io.Writer
}

func (l lazy) Write(b []byte) (int, error) { return l.Writer.Write(b) }

// A listener that is too slow holds nobody up, and is told what it missed and where.
func TestSlowListener(t *testing.T) {
	const sent = 1000
	d := newDaemon(t, server.Options{})
	stream, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.api.ServeHTTP(lazy{httptest.NewRecorder(), w}, httptest.NewRequest("GET", "http://127.0.0.1/api/v1/events", nil))
	}()
	lines := bufio.NewScanner(stream)
	for range 2 {
		lines.Scan() // the comment: it listens now
	}
	tell := func(hint string) { d.events.Health("results", connector.Health{Hint: hint}) }
	for i := range sent {
		tell(strconv.Itoa(i))
	}
	// It may be told of losses more than once: what counts is that all adds up.
	got, lost := 0, 0
	read(lines, func(e event) bool {
		var missing interapp.LostEvent
		if e.name == "lost" {
			if err := json.Unmarshal([]byte(e.data), &missing); err != nil || missing.Lost == 0 || got < 256 {
				t.Errorf("after %d events: %+v", got, e)
			}
			lost += int(missing.Lost)
		} else {
			if !strings.Contains(e.data, fmt.Sprintf(`"hint":"%d"`, got+lost)) {
				t.Errorf("after %d events and %d that are lost: %+v", got, lost, e)
			}
			got++
		}
		return got+lost < sent
	})
	if lost == 0 || got+lost != sent {
		t.Errorf("%d events and %d that are lost, of %d", got, lost, sent)
	}
	tell("and on")
	for _, want := range []string{"and on", "and on again"} {
		read(lines, func(e event) bool {
			if !strings.Contains(e.data, want) {
				t.Errorf("after the loss: %+v, want %s", e, want)
			}
			return false
		})
		tell("and on again")
	}
	stream.Close()
	tell("nobody is there to read it")
	<-ended
}

func TestTooManyListeners(t *testing.T) {
	d := newDaemon(t, server.Options{})
	var stop func()
	for range 100 {
		_, stop = d.listen("")
	}
	d.ask("GET", "/api/v1/events", "").problem(t, 503, "100 programs listen")
	stop()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		if a := d.first("/api/v1/events"); a == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the place of a listener that went away is not free")
		}
	}
}

// A token has 10 of the 100 streams.
func TestTooManyListenersOfOneToken(t *testing.T) {
	one := config.Token{Name: "one", Token: "one-token-0123456789", Scopes: []config.Scope{config.ScopeRead}}
	two := config.Token{Name: "two", Token: "two-token-0123456789", Scopes: []config.Scope{config.ScopeRead}}
	d := newDaemon(t, server.Options{Server: config.Server{Tokens: []config.Token{one, two}}})
	bearer := func(t config.Token) string { return "Authorization: Bearer " + t.Token.Reveal() }
	for range 10 {
		d.listen("", bearer(one))
	}
	d.ask("GET", "/api/v1/events", "", bearer(one)).problem(t, 503, "10 programs listen", "the token one")
	d.listen("", bearer(two))
}

// A stream is open for as long as its caller may read, whatever comes of the tokens.
func TestEventsEndWithTheToken(t *testing.T) {
	stays := config.Token{Name: "stays", Token: "token-that-stays-0123", Scopes: []config.Scope{config.ScopeRead}}
	goes := config.Token{Name: "goes", Token: "token-that-goes-01234", Scopes: []config.Scope{config.ScopeRead}}
	replaced, lesser := goes, goes
	replaced.Token, lesser.Scopes = "another-token-012345", []config.Scope{config.ScopeApply}
	for name, c := range map[string][]config.Token{
		"gone": {stays}, "replaced": {replaced, stays}, "may not read": {lesser, stays}, "no tokens any more": nil,
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t, server.Options{Server: config.Server{Tokens: []config.Token{stays, goes}}})
			kept, _ := d.listen("", "Authorization: Bearer "+stays.Token.Reveal())
			ends, _ := d.listen("", "Authorization: Bearer "+goes.Token.Reveal())
			d.events.Health("results", connector.Health{Hint: "before"})
			await(t, ends, "status", func(s interapp.StatusEvent) bool { return s.Hint == "before" })
			d.api.SetServer(config.Server{Tokens: c})
			d.events.Health("results", connector.Health{Hint: "after"})
			timeout := time.After(20 * time.Second)
			for open := true; open; {
				var e event
				select {
				case e, open = <-ends:
					if open {
						t.Errorf("%+v after the token was gone", e)
					}
				case <-timeout:
					t.Fatal("the stream goes on")
				}
			}
			if len(c) > 0 {
				await(t, kept, "status", func(s interapp.StatusEvent) bool { return s.Hint == "after" })
			}
		})
	}
}

// first gives the status of an answer whose body may have no end.
func (d *daemon) first(path string) int {
	d.t.Helper()
	answer, err := d.http.Client().Get(d.http.URL + path)
	if err != nil {
		d.t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// The end of the server ends the streams at once, and not by cutting them.
func TestEventsEndWithTheServer(t *testing.T) {
	d := newDaemon(t, server.Options{})
	events, _ := d.listen("")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := d.http.Config.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	for e := range events {
		t.Errorf("%+v", e)
	}
}

// paced is a client on a connection whose deadlines are noted.
type paced struct {
	*httptest.ResponseRecorder
	deadlines int
}

func (p *paced) SetWriteDeadline(at time.Time) error {
	if d := time.Until(at); d <= 0 || d > time.Minute {
		return errors.New("not the deadline of one write")
	}
	p.deadlines++
	return nil
}

// A stream where nothing happens has a comment every 15 seconds, and may last
// longer than any answer.
func TestQuietStream(t *testing.T) {
	d := newDaemon(t, server.Options{})
	synctest.Test(t, func(t *testing.T) {
		api := server.New(server.Options{Set: d.set})
		ctx, cancel := context.WithCancel(t.Context())
		w := &paced{ResponseRecorder: httptest.NewRecorder()}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			api.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "http://127.0.0.1/api/v1/events", nil))
		}()
		time.Sleep(time.Hour + time.Second)
		cancel()
		<-ended
		if n := strings.Count(w.Body.String(), ": "); n != 1+60*4 || w.deadlines < n {
			t.Errorf("%d comments in an hour, %d deadlines", n, w.deadlines)
		}
	})
}
