package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

// streamed makes a call whose answer comes as it goes, and gives its events. The channel
// is closed at its end.
func (d *daemon) streamed(ctx context.Context, method, path string) <-chan event {
	d.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, d.http.URL+path, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json;q=0.1, text/event-stream")
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
	return out
}

func TestCheckAsItGoes(t *testing.T) {
	d := newDaemon(t, server.Options{})
	opened := make(chan struct{})
	d.change(func() { d.opening = func(context.Context) { <-opened } })
	events := d.streamed(t.Context(), "POST", "/api/v1/connectors/results/check")
	if e := <-events; e.name != "begin" || e.data != `{"stage":"resolve"}` {
		t.Fatalf("while it waits for the server: %+v", e)
	}
	close(opened)
	var names []string
	var last event
	for e := range events {
		names, last = append(names, e.name), e
	}
	if got := strings.Join(names, " "); got != "stage begin stage begin stage check" {
		t.Errorf("events: %s", got)
	}
	var check interapp.Check
	if err := json.Unmarshal([]byte(last.data), &check); err != nil || check.ConnectionStatus != "Connection Valid" || len(check.Stages) != 3 {
		t.Errorf("%+v %v", check, err)
	}
}

// A client that goes away, and a daemon that stops, end the check.
func TestCheckEndsWithItsStream(t *testing.T) {
	for name, end := range map[string]func(d *daemon, leave func()){
		"the client leaves": func(_ *daemon, leave func()) { leave() },
		"the daemon stops": func(d *daemon, _ func()) {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			if err := d.http.Config.Shutdown(ctx); err != nil {
				t.Errorf("it did not stop: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t, server.Options{})
			ended := make(chan struct{})
			d.change(func() { d.opening = func(ctx context.Context) { <-ctx.Done(); close(ended) } })
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			events := d.streamed(ctx, "POST", "/api/v1/connectors/results/check")
			<-events
			end(d, leave)
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatal("the check goes on")
			}
			for range events { // until it is closed
			}
		})
	}
}
