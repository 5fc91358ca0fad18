package server_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	filesync "sftpconnector/sync"
)

// everything is a daemon with a token for all, and what it recorded.
func everything(t *testing.T, o server.Options) (d *daemon, as string) {
	const secret = "token-for-everything-0123456789"
	o.Server = eachScope()
	o.Server.Tokens = append(o.Server.Tokens, config.Token{Name: "ops", Token: secret,
		Scopes: []config.Scope{config.ScopeRead, config.ScopeRequest, config.ScopeApply, config.ScopeConfigure}})
	return newDaemon(t, o), "Authorization: Bearer " + secret
}

// recorded gives the audit, oldest first.
func (d *daemon) recorded(as, query string) []interapp.AuditEntry {
	d.t.Helper()
	var page interapp.AuditPage
	d.ask("GET", "/api/v1/audit"+query, "", as).want(d.t, 200, &page)
	slices.Reverse(page.Entries)
	return page.Entries
}

// Each call that changes something is recorded, with who, what and how it ended.
func TestAudit(t *testing.T) {
	d, as := everything(t, server.Options{Spaces: openSpaces(t)})
	c, err := d.set.Get("results")
	if err != nil {
		t.Fatal(err)
	}
	const results, space = "/api/v1/connectors/results", "/api/v1/spaces/us_1"
	call := func(method, path, body string) answer { return d.ask(method, path, body, as) }
	call("POST", results+"/apply?wait=1m", "").want(t, 200, nil)
	call("POST", results+"/check", "").want(t, 200, nil)
	if _, err := c.Ledger().Fail(t.Context(), []filesync.Failure{{Source: filesync.Entry{Name: "q"}, Tries: 5, Quarantined: true, At: old}}); err != nil {
		t.Fatal(err)
	}
	call("POST", results+"/retry", `{"paths":["q","none"]}`).want(t, 200, nil)
	call("PUT", results+"/schedule", `{"automatic_sftp_file_sync":"15m"}`).want(t, 200, nil)
	call("PUT", results+"/schedule", `{"automatic_sftp_file_sync":"never <secret>"}`).want(t, 422, nil)
	call("POST", results+"/pause", `{"reason":"a look"}`).want(t, 200, nil)
	call("POST", results+"/resume", "").want(t, 200, nil)
	call("DELETE", results+"/schedule", "").want(t, 200, nil)
	call("POST", results+"/trust", `{"fingerprint":"SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"}`).want(t, 200, nil)
	call("POST", results+"/requests?wait=1m", `{"id":"r1","file_name_filter":"*.csv","source":"element 1","reply_to":"http://127.0.0.1:1/in?key=<secret>"}`).want(t, 200, nil)
	call("DELETE", "/api/v1/requests/r1", "").want(t, 200, nil)
	call("DELETE", "/api/v1/requests/r2", "").want(t, 404, nil)
	call("POST", results+"/interapp", message).want(t, 200, nil)
	var sub interapp.Subscription
	call("POST", results+"/subscriptions", `{"reply_to":"http://127.0.0.1:1/in?key=<secret>","file_name_filter":"*.txt"}`).want(t, 201, &sub)
	call("DELETE", results+"/subscriptions/"+sub.ID+"/pending", "").want(t, 204, nil)
	call("DELETE", results+"/subscriptions/"+sub.ID, "").want(t, 204, nil)
	var made interapp.NewCredentials
	call("POST", space+"/credentials", "").want(t, 201, &made)
	call("DELETE", space+"/credentials/"+made.ID, "").want(t, 200, nil)
	call("DELETE", space+"/credentials", "").want(t, 200, nil)
	call("POST", space+"/retry", "").want(t, 200, nil)
	d.ask("GET", "/v1/auth/sftp-credentials?spaceId=us_1", "", "Authorization: Bearer "+anyKey).want(t, 200, nil)
	call("POST", "/api/v1/connectors/none/apply", "").want(t, 404, nil)
	// These change nothing.
	call("GET", results, "").want(t, 200, nil)
	call("POST", "/api/v1/nothing", "").want(t, 404, nil)

	want := []string{
		"ops apply results: pass 1: succeeded 200",
		"ops check results: Connection Valid 200",
		"ops retry results: 1 released: q 200",
		"ops schedule results: 15m 200",
		"ops schedule results:  422 refused",
		"ops pause results: a look 200",
		"ops resume results:  200",
		"ops schedule results: the file's: N/A 200",
		"ops trust results: ssh-ed25519 SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB of memory:22 200",
		"ops request results: r1 for *.csv, of element 1 200",
		"ops cancel results: r1 200",
		"ops cancel : r2 404 refused",
		"ops request results: 1 messages of an InterApp call 200",
		"ops subscribe results: " + sub.ID + " for *.txt 201",
		"ops drop results: " + sub.ID + " 204",
		"ops unsubscribe results: " + sub.ID + " 204",
		"ops credentials spaces/us_1: password " + made.ID + " 201",
		"ops revoke spaces/us_1: 1 revoked: " + made.ID + " 200",
		"ops revoke spaces/us_1:  200",
		"ops retry spaces/us_1: none released 200",
		"",
		"ops apply none:  404 refused",
	}
	all := d.recorded(as, "")
	for i, e := range all {
		got := fmt.Sprintf("%s %s %s: %s %d", e.Who, e.Action, e.Connector, e.Detail, e.Status)
		if !e.OK {
			got += " refused"
		}
		if e.From != "127.0.0.1" || time.Since(e.At) > time.Minute || strings.Contains(got, "secret>") {
			t.Errorf("%+v", e)
		}
		if e.Who != "ops" {
			if e.Action != "credentials" || e.Connector != "spaces/us_1" || !strings.HasPrefix(e.Detail, "password ") || !e.OK {
				t.Errorf("%+v", e)
			}
			got = ""
		}
		if i >= len(want) || got != want[i] {
			t.Errorf("%d: %q", i, got)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d entries, want %d", len(all), len(want))
	}
	if of := d.recorded(as, "?connector=spaces/us_1&limit=2"); len(of) != 2 || of[1].Action != "credentials" || of[0].Action != "retry" {
		t.Errorf("%+v", of)
	}
}

// Every operation that changes something is one that the audit knows.
func TestAuditKnowsEveryChange(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	var doc document
	d.ask("GET", "/openapi.json", "").want(t, 200, &doc)
	known := server.Actions()
	for path, methods := range doc.Paths {
		for method := range methods {
			if route := strings.ToUpper(method) + " " + path; method != "get" && known[route] == "" {
				t.Errorf("the audit has no word for %s", route)
			}
		}
	}
}

// What is refused to a known token is recorded, but a flood of it is not; who is not
// known is not recorded, nor a wrong secret key.
func TestAuditOfRefusals(t *testing.T) {
	d, as := everything(t, server.Options{Spaces: openSpaces(t)})
	for range 3 {
		d.ask("POST", "/api/v1/connectors/results/apply", "", "Authorization: Bearer wrong-token-0123456789").want(t, 401, nil)
		d.ask("POST", "/api/v1/connectors/results/apply", "").want(t, 401, nil)
		d.ask("GET", "/v1/auth/sftp-credentials?spaceId=us_2", "", "Authorization: Bearer "+opsKey).want(t, 401, nil)
	}
	for range 50 {
		d.ask("POST", "/api/v1/connectors/results/apply", "", "Authorization: Bearer "+tokenOf(config.ScopeRead)).want(t, 403, nil)
	}
	d.ask("POST", "/api/v1/connectors/results/apply", "", as, "Sec-Fetch-Site: cross-site").want(t, 403, nil)
	all := d.recorded(as, "")
	if n := len(all); n != 21 {
		t.Fatalf("%d entries: %+v", n, all)
	}
	if e := all[0]; e.Who != "of-read" || e.Action != "apply" || e.Connector != "results" || e.OK || e.Status != http.StatusForbidden {
		t.Errorf("%+v", e)
	}
	if e := all[20]; e.Who != "ops" || e.Connector != "results" || e.OK {
		t.Errorf("of another origin: %+v", e)
	}
}

// That the audit cannot be written stops nothing, and is an error in the log.
func TestAuditThatCannotBeWritten(t *testing.T) {
	log := &lines{}
	d, as := everything(t, server.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	if err := d.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	d.ask("POST", "/api/v1/connectors/results/check", "", as).want(t, 200, nil)
	if got := log.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "action=check") || !strings.Contains(got, "who=ops") {
		t.Errorf("log:\n%s", got)
	}
}

func TestNoAuditWithoutLedger(t *testing.T) {
	d := newDaemon(t, server.Options{})
	d.api = server.New(server.Options{Set: d.set})
	d.http.Config.Handler = d.api
	d.ask("POST", "/api/v1/connectors/results/check", "").want(t, 200, nil)
	d.ask("GET", "/api/v1/audit", "").problem(t, 404)
}
