package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	filesync "sftpconnector/sync"
)

// The client and the server understand each other.
func TestClient(t *testing.T) {
	d := newDaemon(t, server.Options{Server: config.Server{Tokens: []config.Token{{
		Name: "all", Token: "0123456789abcdef", Scopes: []config.Scope{config.ScopeRead, config.ScopeRequest, config.ScopeApply, config.ScopeConfigure},
	}}}})
	// Behind a proxy that serves it below a path.
	proxy := httptest.NewServer(http.StripPrefix("/sftp", d.api))
	defer proxy.Close()
	for _, base := range []string{d.http.URL, d.http.URL + "/", proxy.URL + "/sftp", proxy.URL + "/sftp/"} {
		c := interapp.NewClient(base, "0123456789abcdef")
		defer c.Close()
		testClient(t, d, c)
		testClientRequests(t, d, c)
	}
	c := interapp.NewClient(d.http.URL, "")
	defer c.Close()
	_, err := c.Connectors(t.Context())
	if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 401 {
		t.Errorf("without a token: %v", err)
	}
}

func testClient(t *testing.T, d *daemon, c *interapp.Client) {
	t.Helper()
	ctx := t.Context()
	d.src.Put("a.csv", "1", old)
	d.src.Put("b.csv", "2", old)
	d.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if d.hold(); e.Name == "b.csv" {
			return errors.New("broken sector")
		}
		return nil
	}
	p, done, err := c.Apply(ctx, "results", time.Minute)
	if err != nil || !done || p.State != "partial" {
		t.Errorf("apply: %+v %t %v", p, done, err)
	}
	open := d.close()
	if p, done, err = c.Apply(ctx, "results", time.Millisecond); err != nil || done || p.Ended() {
		t.Errorf("apply that takes longer: %+v %t %v", p, done, err)
	}
	open()
	for range filesync.MaxTries {
		if _, _, err = c.Apply(ctx, "results", 2*interapp.MaxWait); err != nil {
			t.Errorf("apply: %v", err)
		}
	}
	if all, err := c.Connectors(ctx); err != nil || len(all) != 1 || all[0].Name != "results" {
		t.Errorf("connectors: %+v %v", all, err)
	}
	if one, err := c.Connector(ctx, "results"); err != nil || one.LastPass == nil {
		t.Errorf("connector: %+v %v", one, err)
	}
	for _, name := range []string{"nobody", "..", ".", "a/b", "../connectors"} {
		_, err := c.Connector(ctx, name)
		if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 404 {
			t.Errorf("connector %q: %v", name, err)
		}
	}
	if _, err := c.Connector(ctx, ""); err == nil {
		t.Error("a connector without a name")
	}
	if k, err := c.Check(ctx, "results"); err != nil || k.ConnectionStatus != "Connection Valid" {
		t.Errorf("check: %+v %v", k, err)
	}
	var told []string
	k, err := c.CheckStages(ctx, "results", func(stage string, ended *interapp.Stage) {
		told = append(told, fmt.Sprint(stage, ended != nil))
	})
	if err != nil || k.ConnectionStatus != "Connection Valid" || len(k.Stages) != 3 || len(told) != 6 || told[0] != "resolvefalse" || told[5] != "destinationtrue" {
		t.Errorf("check by stages: %+v %v, told of %v", k, err, told)
	}
	if _, err := c.CheckStages(ctx, "none", nil); err == nil {
		t.Error("a check of a connector that there is not")
	}
	page, err := c.Files(ctx, "results", interapp.FileQuery{Limit: 1})
	if err != nil || len(page.Files) != 1 || page.Files[0].State != "quarantined" || page.Cursor == "" {
		t.Errorf("files: %+v %v", page, err)
	}
	page, err = c.Files(ctx, "results", interapp.FileQuery{Cursor: page.Cursor, State: "delivered", Name: "*.csv"})
	if err != nil || len(page.Files) != 1 || page.Files[0].Name != "a.csv" || page.Cursor != "" {
		t.Errorf("files: %+v %v", page, err)
	}
	if r, err := c.Retry(ctx, "results", []string{"b.csv", "x"}); err != nil || len(r.Released) != 1 || r.Connector != "results" {
		t.Errorf("retry: %+v %v", r, err)
	}
	if r, err := c.Retry(ctx, "results", nil); err != nil || len(r.Released) != 0 {
		t.Errorf("retry: %+v %v", r, err)
	}
	if err := c.SetSchedule(ctx, "results", "15m"); err != nil {
		t.Errorf("set schedule: %v", err)
	}
	err = c.SetSchedule(ctx, "results", "now and then")
	if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 422 {
		t.Errorf("set schedule: %v", err)
	}
	if key, err := c.HostKey(ctx, "results"); err != nil || key.Trusted || key.Host != "memory:22" {
		t.Errorf("host key: %+v %v", key, err)
	} else if key, err = c.Trust(ctx, "results", interapp.TrustRequest{Fingerprint: key.Fingerprint}); err != nil || !key.Trusted {
		t.Errorf("trust: %+v %v", key, err)
	}
	if s, err := c.PreviewSchedule(ctx, "results", "@daily"); err != nil || s.AutomaticSFTPFileSync != "@daily" || len(s.Next) != 5 {
		t.Errorf("preview: %+v %v", s, err)
	}
	if s, err := c.Schedule(ctx, "results"); err != nil || s.AutomaticSFTPFileSync != "15m" || s.InFile != "N/A" {
		t.Errorf("schedule: %+v %v", s, err)
	}
	if s, err := c.UseFileSchedule(ctx, "results"); err != nil || s.AutomaticSFTPFileSync != "N/A" {
		t.Errorf("the file's schedule: %+v %v", s, err)
	}
	if passes, err := c.Passes(ctx, "results", 2); err != nil || len(passes) != 2 {
		t.Errorf("passes: %+v %v", passes, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Connectors(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}

func testClientRequests(t *testing.T, d *daemon, c *interapp.Client) {
	t.Helper()
	ctx := t.Context()
	r, err := c.Request(ctx, "results", interapp.Request{FileNameFilter: "a.*", FileTimeFilter: &interapp.FileTimeFilter{To: "2030-01-01"}})
	if err != nil || !r.Success || len(r.FileNames) != 1 || r.ID == "" {
		t.Errorf("request: %+v %v", r, err)
	}
	for _, id := range []string{"..", "a/b?c", r.ID + "."} {
		s, err := c.StartRequest(ctx, "results", interapp.Request{ID: id, FileNameFilter: "a.*"})
		if err != nil || s.ID != id || s.Connector != "results" {
			t.Errorf("start %q: %+v %v", id, s, err)
		}
		if r, err := c.Request(ctx, "results", interapp.Request{ID: id, FileNameFilter: "a.*"}); err != nil || r.ID != id || !r.Success {
			t.Errorf("request %q: %+v %v", id, r, err)
		}
		if s, err = c.RequestState(ctx, id); err != nil || s.ID != id || s.State != interapp.RequestReplied || s.Reply == nil {
			t.Errorf("state of %q: %+v %v", id, s, err)
		}
		if s, err = c.CancelRequest(ctx, id); err != nil || s.ID != id || s.State != interapp.RequestReplied {
			t.Errorf("cancel %q: %+v %v", id, s, err)
		}
	}
	for code, r := range map[int]interapp.Request{409: {ID: ".."}, 422: {FileNameFilter: "[a"}} {
		_, err := c.Request(ctx, "results", r)
		if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != code {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if page, err := c.Requests(ctx, "results", interapp.RequestReplied, "", 2); err != nil || len(page.Requests) != 2 || page.Cursor == "" {
		t.Errorf("requests: %+v %v", page, err)
	}
	if page, err := c.Audit(ctx, "results", "", 1); err != nil || len(page.Entries) != 1 || page.Cursor == "" {
		t.Errorf("audit: %+v %v", page, err)
	}
	for name, call := range map[string]func() error{
		"reply":      func() error { _, err := c.SendReply(ctx, r.ID); return err },
		"deliveries": func() error { _, err := c.SendDeliveries(ctx, "results", "none"); return err },
	} {
		if p, ok := errors.AsType[*interapp.Problem](call()); !ok || p.Status != 409 && p.Status != 404 {
			t.Errorf("send the %s: %+v", name, p)
		}
	}
	if _, err := c.RequestState(ctx, "nothing"); err == nil {
		t.Error("a request that there is not")
	}

	sub, err := c.Subscribe(ctx, "results", interapp.Subscription{ReplyTo: "http://127.0.0.1:1"})
	if err != nil || sub.ID == "" || sub.Connector != "results" {
		t.Fatalf("subscribe: %+v %v", sub, err)
	}
	if all, err := c.Subscriptions(ctx, "results"); err != nil || len(all) != 1 || all[0].ID != sub.ID {
		t.Errorf("subscriptions: %+v %v", all, err)
	}
	for range 2 { // what was sent can be sent again
		if sub, err = c.Subscribe(ctx, "results", sub); err != nil {
			t.Fatalf("subscribe: %v", err)
		}
	}
	all, err := c.Subscriptions(ctx, "results")
	if err != nil || len(all) != 3 {
		t.Errorf("subscriptions: %+v %v", all, err)
	}
	for _, sub := range all {
		if err := c.DropPending(ctx, "results", sub.ID); err != nil {
			t.Errorf("drop pending: %v", err)
		}
		if err := c.Unsubscribe(ctx, "results", sub.ID); err != nil {
			t.Errorf("unsubscribe: %v", err)
		}
		err := c.Unsubscribe(ctx, "results", sub.ID)
		if p, ok := errors.AsType[*interapp.Problem](err); !ok || p.Status != 404 {
			t.Errorf("unsubscribe again: %v", err)
		}
	}
}
