package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

const pathOfCalls = "/api/v1/connectors/results/interapp"

// message is an InterApp message without a call around it.
const message = `{"$id":"1","$type":"Acme.Sftp.GetFilesRequest, ","fileNameFilter":"*.csv","guid":"message"}`

// callReply is a reply as DataMiner reads it.
type callReply struct {
	Type        string `json:"$type"`
	GUID        string
	Success     bool
	Description string
	FileNames   struct {
		Values []string `json:"$values"`
	}
}

func TestInterAppCall(t *testing.T) {
	call, err := os.ReadFile("../dataminer/testdata/call.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"application/json", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "nonsense", ""} {
		d := newDaemon(t, server.Options{})
		d.src.Put("x.csv", "1", old)
		// The call asks for files of 2024 and later.
		d.src.Put("y.csv", "1", old.AddDate(5, 0, 0))
		a := d.ask("POST", pathOfCalls, string(call), "Content-Type: "+kind)
		var r callReply
		a.want(t, 200, &r)
		if r.Type != "GetFilesResponse, " || r.GUID != "f562dedf-7651-4f1d-85ef-5d296f2c1a34" || !r.Success || strings.Join(r.FileNames.Values, " ") != "y.csv" {
			t.Errorf("%s: %s", kind, a.body)
		}
		if got := a.header.Get("Content-Type"); got != "application/json" {
			t.Errorf("answered as %s", got)
		}
		var s interapp.RequestState
		if d.ask("GET", "/api/v1/requests/"+r.GUID, "").want(t, 200, &s); s.Request.Source != "element 925/187" {
			t.Errorf("request %+v", s)
		}
		if again := d.ask("POST", pathOfCalls, string(call)); again.body != a.body {
			t.Errorf("again: %s, before %s", again.body, a.body)
		}
	}
}

// What is wrong with a message is told in its reply; the others are done.
func TestInterAppCallOfSeveral(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	d.ask("POST", pathOfRequests+"?wait=1m", `{"id":"taken","file_name_filter":"*.txt"}`).want(t, 200, nil)
	a := d.ask("POST", pathOfCalls, `{"$type":"InterAppCall, ","guid":"call","messages":[
		{"$type":"GetFilesRequest, ","guid":"good","fileNameFilter":"*.csv"},
		{"$type":"Ping, ","guid":"class"},
		{"$type":"GetFilesRequest, ","guid":"filter","fileNameFilter":"[a"},
		{"$type":"GetFilesRequest, ","guid":"an id"},
		{"$type":"GetFilesRequest, ","guid":"taken"},
		{"$type":"GetFilesRequest, ","guid":"kind","fileNameFilter":7}]}`)
	var c struct {
		GUID     string
		Messages []callReply
	}
	a.want(t, 200, &c)
	want := []struct{ guid, text string }{
		{"good", "1 file copied"}, {"class", "not the class"}, {"filter", "file_name_filter"}, {"an id", "without spaces"}, {"taken", "another request"}, {"kind", "fileNameFilter"},
	}
	if c.GUID != "call" || len(c.Messages) != len(want) {
		t.Fatalf("%s", a.body)
	}
	for i, w := range want {
		if m := c.Messages[i]; m.GUID != w.guid || m.Success != (i == 0) || !strings.Contains(m.Description, w.text) {
			t.Errorf("%+v, want %+v", m, w)
		}
	}
}

// All messages of a call are under way at the same time.
func TestInterAppMessagesGoSideBySide(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("a.csv", "1", old)
	d.src.Put("b.csv", "1", old)
	open := d.close()
	answered := make(chan answer, 1)
	go func() {
		answered <- d.ask("POST", pathOfCalls, `{"guid":"call","messages":[
			{"$type":"GetFilesRequest","guid":"a","fileNameFilter":"a.csv"},{"$type":"GetFilesRequest","guid":"b","fileNameFilter":"b.csv"}]}`)
	}()
	d.awaitFetch()
	d.awaitFetch()
	open()
	a := <-answered
	if a.want(t, 200, nil); strings.Count(a.body, `"success":true`) != 2 {
		t.Errorf("%s", a.body)
	}
}

func TestInterAppRequestExpires(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	defer open()
	d.ask("POST", pathOfRequests, `{"id":"first"}`).want(t, 202, nil)
	d.awaitFetch()
	var r callReply
	d.ask("POST", pathOfCalls, `{"$type":"GetFilesRequest","guid":"x","timeout":"1s"}`).want(t, 200, &r)
	if r.Success || !strings.Contains(r.Description, "1s") {
		t.Errorf("reply %+v", r)
	}
}

// send gives the error of a request.
func (d *daemon) send(r *http.Request) error {
	answer, err := d.http.Client().Do(r)
	if err == nil {
		err = answer.Body.Close()
	}
	return err
}

func TestInterAppCallOutlivesItsClient(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("x.csv", "1", old)
	open := d.close()
	ctx, cancel := context.WithCancel(t.Context())
	r, _ := http.NewRequestWithContext(ctx, "POST", d.http.URL+pathOfCalls, strings.NewReader(message))
	gone := make(chan error, 1)
	go func() { gone <- d.send(r) }()
	d.awaitFetch()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	open()
	var s interapp.RequestState
	if d.ask("GET", "/api/v1/requests/message?wait=1m", "").want(t, 200, &s); s.State != interapp.RequestReplied || !s.Reply.Success {
		t.Errorf("%+v", s)
	}
}

// Where no reply would find its way, the answer is a problem, and nothing is done.
func TestUnreadableCalls(t *testing.T) {
	d := newDaemon(t, server.Options{})
	again, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	for body, text := range map[string]string{
		`{`: "InterApp call", `[]`: "a list", `{"messages":[]}`: "at least one", `{"messages":[` + message + `,{"guid":null}]}`: "guid",
		string(again): "not serialized once more",
	} {
		d.ask("POST", pathOfCalls, body).problem(t, 422, text)
	}
	d.ask("POST", pathOfCalls, "").problem(t, 400, "body is required")
	d.ask("POST", pathOfCalls, strings.Repeat(" ", 1<<20)+message).problem(t, 413, "too large")
	d.ask("POST", "/api/v1/connectors/nobody/interapp", message).problem(t, 404, "known: results")
	d.ask("GET", "/api/v1/requests/message", "").problem(t, 404)
}
