package server_test

import (
	"strings"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	"sftpconnector/status"
)

func TestPauseAndResume(t *testing.T) {
	d := newDaemon(t, server.Options{Server: config.Server{Tokens: []config.Token{
		{Name: "ops", Token: "secret-of-ops", Scopes: []config.Scope{config.ScopeRead, config.ScopeApply, config.ScopeRequest}},
	}}})
	as := "Authorization: Bearer secret-of-ops"
	d.src.Put("a.csv", "1", old)
	const results = "/api/v1/connectors/results"
	d.ask("POST", results+"/check", "", as).want(t, 200, nil)
	events, _ := d.listen("", as)
	var c interapp.Connector
	d.ask("POST", results+"/pause", `{"reason":"the vendor works on it"}`, as).want(t, 200, &c)
	if c.ConnectionStatus != "Paused" || c.Hint != status.Paused.Hint() || c.Error != "paused by ops: the vendor works on it" ||
		c.Paused == nil || c.Paused.By != "ops" || c.Paused.Reason != "the vendor works on it" || !c.Since.Equal(c.Paused.Since) || time.Since(c.Since) > time.Minute {
		t.Errorf("%+v", c)
	}
	await(t, events, "status", func(s interapp.StatusEvent) bool { return s.ConnectionStatus == "Paused" && s.Since.Equal(c.Since) })
	d.ask("POST", results+"/apply", "", as).problem(t, 409, "paused by ops: the vendor works on it", "resume it first")
	d.ask("POST", results+"/requests", `{}`, as).problem(t, 409, "paused by ops")
	d.ask("POST", results+"/pause", `{"reason":"`+strings.Repeat("x", 501)+`"}`, as).problem(t, 422, "reason")
	d.ask("POST", "/api/v1/connectors/nobody/pause", "", as).problem(t, 404, "known: results")
	var check interapp.Check
	d.ask("POST", results+"/check", "", as).want(t, 200, &check)
	if check.ConnectionStatus != "Connection Valid" || check.Paused == nil {
		t.Errorf("%+v", check)
	}
	metrics := d.ask("GET", "/metrics", "", as).body
	for _, want := range []string{`sftp_connector_paused{connector="results"} 1`, `sftp_connector_connection_status{connector="results",status="Paused"} 1`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	// Into resumed, as what is absent leaves a value as it was.
	var resumed interapp.Connector
	d.ask("POST", results+"/resume", "", as).want(t, 200, &resumed)
	if resumed.ConnectionStatus != "Connection Valid" || resumed.Paused != nil || resumed.Error != "" {
		t.Errorf("%+v", resumed)
	}
	await(t, events, "status", func(s interapp.StatusEvent) bool { return s.ConnectionStatus == "Connection Valid" })
	d.ask("POST", results+"/apply?wait=1m", "", as).want(t, 200, nil)
}

// A pass under way ends as any other.
func TestPauseWhileAPassRuns(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.src.Put("a.csv", "1", old)
	c := interapp.NewClient(d.http.URL, "")
	defer c.Close()
	ctx := t.Context()
	open := d.close()
	d.ask("POST", "/api/v1/connectors/results/apply", "").want(t, 202, nil)
	d.awaitFetch()
	if _, err := c.Pause(ctx, "results", ""); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Connector(ctx, "results"); err != nil || s.Running == nil || s.Error != "paused by operator" {
		t.Errorf("the pass under way is ended: %+v %v", s, err)
	}
	open()
	if _, err := c.Resume(ctx, "results"); err != nil {
		t.Fatal(err)
	}
	if _, done, err := c.Apply(ctx, "results", time.Minute); err != nil || !done {
		t.Errorf("once it was resumed: %v", err)
	}
}
