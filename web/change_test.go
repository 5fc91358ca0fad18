package web

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sftpconnector/interapp"
)

var draftID = regexp.MustCompile(`name="draft" value="([^"]*)"`)

// form is the General form of trace-results as it is sent when nobody changed it.
func form() url.Values {
	return url.Values{"version": {"v1"}, "page": {"general"}, "sftp.host": {"sftp.vendor.example"}, "sftp.port": {"22"}, "sftp.username": {"${SFTP_USER}"}, "sftp.authentication": {"credentials"},
		"sftp.password": {""}, "sftp.key_pairs_path": {""}, "sftp.host_key": {"known-hosts"}, "files.source_directory_path": {"/results"}, "files.destination_directory_path": {"./results"}}
}

// Apply without an edit copies at once.
func TestApplyWithoutEdits(t *testing.T) {
	s := newSite(t)
	if to := s.post("/connectors/trace-results/apply", form()); to != "../../connectors/trace-results?done=applied" {
		t.Errorf("leads to %s", to)
	}
	if c := s.last(); c.Method != "POST" || c.Path != "/api/v1/connectors/trace-results/apply" {
		t.Errorf("called %+v", c)
	}
}

// With edits, what will change is shown first; a password that was typed stands in no page.
func TestSaveAndApply(t *testing.T) {
	const secret = "canary-password"
	s := newSite(t)
	s.api.Check.ConnectionStatus = "Connection Valid"
	f := form()
	f.Set("sftp.host", "other.example")
	f.Set("sftp.password", secret)
	w := s.ask("POST", "/connectors/trace-results/apply", f.Encode())
	page := w.Body.String()
	has(t, page, "What will change", "Save and Apply", "other.example")
	hasNot(t, page, secret)
	dry := decode[interapp.ConnectorChange](t, s.last())
	if !dry.DryRun || len(dry.Set) != 2 || *dry.Set["sftp.host"] != "other.example" || *dry.Set["sftp.password"] != secret {
		t.Errorf("tried %+v", dry)
	}
	id := draftID.FindStringSubmatch(page)[1]
	// Back to the form: nothing that was typed is lost.
	page = s.ask("POST", "/connectors/trace-results/confirm", url.Values{"draft": {id}, "edit": {"1"}}.Encode()).Body.String()
	has(t, page, `value="other.example"`, "typed a moment ago", "is not saved")
	hasNot(t, page, secret)
	// Another caller has nothing of it.
	s.api.Session.Name = "another"
	if w := s.ask("POST", "/connectors/trace-results/confirm", url.Values{"draft": {id}}.Encode()); w.Code != http.StatusGone {
		t.Errorf("another caller: %d", w.Code)
	}
	s.api.Session.Name = "operator"
	if to := s.post("/connectors/trace-results/confirm", url.Values{"draft": {id}}); to != "../../connectors/trace-results?done=saved-apply" {
		t.Errorf("leads to %s", to)
	}
	calls := s.api.Calls()
	saved := decode[interapp.ConnectorChange](t, calls[len(calls)-2])
	if saved.DryRun || !saved.Check || saved.Force || saved.Version != "v1" || len(saved.Set) != 2 {
		t.Errorf("saved %+v", saved)
	}
	if w := s.ask("POST", "/connectors/trace-results/confirm", url.Values{"draft": {id}}.Encode()); w.Code != http.StatusGone {
		t.Errorf("saved twice: %d", w.Code)
	}
}

// A check with the new settings that fails keeps them from being saved, unless they are
// saved anyway.
func TestSaveAnyway(t *testing.T) {
	s := newSite(t)
	f := form()
	f.Set("sftp.host", "other.example")
	page := s.ask("POST", "/connectors/trace-results/save", f.Encode()).Body.String()
	id := draftID.FindStringSubmatch(page)[1]
	w := s.ask("POST", "/connectors/trace-results/confirm", url.Values{"draft": {id}}.Encode())
	page = w.Body.String()
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d", w.Code)
	}
	has(t, page, "Nothing was saved", "Connection Refused", "connection refused", "Save it anyway")
	id = draftID.FindStringSubmatch(page)[1]
	if to := s.post("/connectors/trace-results/confirm", url.Values{"draft": {id}, "force": {"1"}}); to != "../../connectors/trace-results?done=saved" {
		t.Errorf("leads to %s", to)
	}
	if c := decode[interapp.ConnectorChange](t, s.last()); !c.Force {
		t.Errorf("saved %+v", c)
	}
}

// What is refused comes back as it was typed, with the reason.
func TestRefusedFormKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	f := form()
	f.Set("sftp.port", "ssh")
	f.Set("sftp.host", "other.example")
	w := s.ask("POST", "/connectors/trace-results/apply", f.Encode())
	if w.Code != http.StatusUnprocessableEntity {
		t.Errorf("%d", w.Code)
	}
	has(t, w.Body.String(), "line 5: sftp.port: not a port", `value="ssh"`, `value="other.example"`)
}

// Another hand has changed the file: both versions are shown, and mine can be saved
// knowingly.
func TestConflict(t *testing.T) {
	s := newSite(t)
	s.api.File.Version = "v7"
	f := form()
	f.Set("sftp.host", "mine.example")
	w := s.ask("POST", "/connectors/trace-results/apply", f.Encode())
	page := w.Body.String()
	if w.Code != http.StatusConflict {
		t.Errorf("%d", w.Code)
	}
	has(t, page, "Changed by another hand", "mine.example", "sftp.vendor.example", "Drop mine")
	id := draftID.FindStringSubmatch(page)[1]
	page = s.ask("POST", "/connectors/trace-results/confirm", url.Values{"draft": {id}, "review": {"1"}}.Encode()).Body.String()
	has(t, page, "What will change", "Save and Apply")
	if c := decode[interapp.ConnectorChange](t, s.last()); c.Version != "v7" || *c.Set["sftp.host"] != "mine.example" {
		t.Errorf("tried %+v", c)
	}

	const text = "sftp:\n  host: raw.example\n"
	w = s.ask("POST", "/connectors/trace-results/save", url.Values{"version": {"v6"}, "page": {"configuration"}, "yaml": {text}}.Encode())
	has(t, w.Body.String(), "raw.example", "As you typed it", "In the file now")
}

// A check tests what is in the form.
func TestCheckOfTheForm(t *testing.T) {
	s := newSite(t)
	has(t, s.ask("POST", "/connectors/trace-results/check", form().Encode()).Body.String(), "Connection Refused", "resolve")
	if c := s.last(); c.Path != "/api/v1/connectors/trace-results/check" {
		t.Errorf("called %+v", c)
	}
	f := form()
	f.Set("sftp.host", "other.example")
	has(t, s.ask("POST", "/connectors/trace-results/check", f.Encode()).Body.String(), "they are not saved", "Connection Refused")
	if c := decode[interapp.ConnectorChange](t, s.last()); !c.DryRun || !c.Check {
		t.Errorf("called %+v", c)
	}
}

func TestAddAndRemove(t *testing.T) {
	s := newSite(t)
	s.api.Check.ConnectionStatus = "Connection Valid"
	f := url.Values{"version": {"v1"}, "name": {"new one"}, "sftp.host": {"h"}, "sftp.port": {"22"}, "sftp.password": {"p"}, "mode": {"interval"}, "interval": {"5m"}}
	page := s.ask("POST", "/add", f.Encode()).Body.String()
	c := s.last()
	if got := decode[interapp.ConnectorChange](t, c); c.Method != "POST" || c.Path != "/api/v1/connectors/new%20one" || !got.DryRun || len(got.Set) != 3 || *got.Set[scheduleKey] != "5m" {
		t.Errorf("tried %+v", c)
	}
	id := draftID.FindStringSubmatch(page)[1]
	if to := s.post("/add/confirm", url.Values{"draft": {id}}); to != "../connectors/new%20one?done=created" {
		t.Errorf("leads to %s", to)
	}
	if w := s.ask("POST", "/add", url.Values{"version": {"v1"}, "sftp.host": {"kept.example"}}.Encode()); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "kept.example") {
		t.Errorf("without a name: %d", w.Code)
	}
	f.Set("name", "orders") // which there is
	if w := s.ask("POST", "/add", f.Encode()); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "There is a connector") || !strings.Contains(w.Body.String(), `value="orders"`) {
		t.Errorf("a name that is taken: %d", w.Code)
	}
	if to := s.post("/connectors/orders/remove", url.Values{"version": {"v1"}}); to != "../../?done=removed" {
		t.Errorf("leads to %s", to)
	}
	if c := s.last(); c.Method != "DELETE" || c.Path != "/api/v1/connectors/orders?version=v1" {
		t.Errorf("called %+v", c)
	}
}

func TestSchedule(t *testing.T) {
	s := newSite(t)
	at := "/connectors/trace-results/schedule"
	s.post(at, url.Values{"version": {"v1"}, "mode": {"cron"}, "cron": {" */5 * * * * "}})
	if c := decode[interapp.ConnectorChange](t, s.last()); *c.Set[scheduleKey] != "*/5 * * * *" {
		t.Errorf("%+v", c)
	}
	s.post(at, url.Values{"mode": {"na"}}) // a daemon whose file cannot be written
	if c := s.last(); c.Method != "PUT" || !strings.Contains(c.Body, "N/A") {
		t.Errorf("%+v", c)
	}
	s.post(at, url.Values{"version": {"v1"}, "mode": {"interval"}, "interval": {"1h"}}) // as the file has it
	if c := s.last(); c.Method != "DELETE" {
		t.Errorf("%+v", c)
	}
	page := s.get("/connectors/trace-results/configuration")
	has(t, page, "Use the file's value", "Wed 2026-03-04 05:21:07")
}

// The password is in the answer of the POST, and in nothing else.
func TestCredentialsAreShownOnce(t *testing.T) {
	s := newSite(t)
	w := s.ask("POST", "/spaces/us_sp_123/credentials", "x=1", "Accept-Encoding", "gzip")
	has(t, w.Body.String(), s.api.Password, "sftp -P 2022 us_sp_123@sftp.example.com", "Save your credentials to a secure location", "SHA256:BBBB")
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%v", w.Header())
	}
	hasNot(t, s.get("/spaces/us_sp_123"), s.api.Password)
	s.post("/spaces/us_sp_123/revoke", url.Values{"credential": {"c1"}})
	if c := s.last(); c.Path != "/api/v1/spaces/us_sp_123/credentials/c1" {
		t.Errorf("%+v", c)
	}
	calls := len(s.api.Calls())
	if w := s.ask("POST", "/spaces/us_sp_123/revoke", "x=1"); w.Code != http.StatusBadRequest || len(s.api.Calls()) != calls {
		t.Errorf("revoked all by mistake: %d", w.Code)
	}
}

// Every other button calls what it says.
func TestButtons(t *testing.T) {
	s := newSite(t)
	for at, want := range map[string]string{
		"/connectors/orders/pause?reason=x":                        "POST /api/v1/connectors/orders/pause",
		"/connectors/orders/resume":                                "POST /api/v1/connectors/orders/resume",
		"/connectors/orders/schedule/file":                         "DELETE /api/v1/connectors/orders/schedule",
		"/connectors/orders/requests":                              "POST /api/v1/connectors/orders/requests",
		"/connectors/orders/subscriptions?do=send&subscription=s1": "POST /api/v1/connectors/orders/subscriptions/s1/send",
		"/connectors/orders/subscriptions?do=drop&subscription=s1": "DELETE /api/v1/connectors/orders/subscriptions/s1/pending",
		"/connectors/orders/subscriptions?do=end&subscription=s1":  "DELETE /api/v1/connectors/orders/subscriptions/s1",
		"/requests/r2/cancel":                                      "DELETE /api/v1/requests/r2",
		"/requests/r1/send":                                        "POST /api/v1/requests/r1/send",
		"/spaces/us_sp_123/retry":                                  "POST /api/v1/spaces/us_sp_123/retry",
		"/configuration/reload":                                    "POST /api/v1/reload",
	} {
		path, query, _ := strings.Cut(at, "?")
		f, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		s.post(path, f)
		if c := s.last(); c.Method+" "+c.Path != want {
			t.Errorf("%s calls %s %s", at, c.Method, c.Path)
		}
	}
}

// A key that is trusted is tried at once.
func TestTrustChecks(t *testing.T) {
	s := newSite(t)
	s.post("/connectors/orders/trust", url.Values{"fingerprint": {"f"}})
	calls := s.api.Calls()
	var got []string
	for _, c := range calls[max(0, len(calls)-2):] {
		got = append(got, c.Method+" "+c.Path)
	}
	if want := []string{"POST /api/v1/connectors/orders/trust", "POST /api/v1/connectors/orders/check"}; !slices.Equal(got, want) {
		t.Errorf("it calls %v", got)
	}
}

// The address of a form's answer leads to the page of the form.
func TestAddressesOfAnswers(t *testing.T) {
	s := newSite(t)
	for at, want := range map[string]string{
		"/connectors/orders/apply": "../../connectors/orders", "/connectors/orders/check": "../../connectors/orders",
		"/connectors/a%2Fb/schedule": "../../connectors/a%2Fb", "/spaces/us_sp_123/credentials": "../../spaces/us_sp_123",
	} {
		if w := s.ask("GET", at, ""); w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("%s: %d %q, want %q", at, w.Code, w.Header().Get("Location"), want)
		}
	}
	if w := s.ask("GET", "/connectors/orders/nothing", ""); w.Code != http.StatusNotFound {
		t.Errorf("no page: %d", w.Code)
	}
}

// What is wrong comes first: the worst, and what goes on for the longest.
func TestOverviewOrder(t *testing.T) {
	s := newSite(t)
	page := s.get("/")
	var at []int
	for _, name := range []string{"trace-results", "invoices", "held-up", "orders", "archive", "us_sp_123"} {
		at = append(at, strings.Index(page, "<bdi>"+name+"</bdi>"))
	}
	if !slices.IsSorted(at) || at[0] < 0 {
		t.Errorf("the order is %v", at)
	}
	has(t, page, "failing.", "2 files failed, 1 file in conflict", "the server refused the login", "overdue")
	s.api.Connectors = s.api.Connectors[2:3]
	s.api.Spaces = nil
	has(t, s.get("/"), "All is well with the one connector", "ok.")
	s.api.Connectors[0].ConnectionStatus, s.api.Connectors[0].LastPass, s.api.Connectors[0].NextPass = "Not Checked", nil, nil
	has(t, s.get("/"), "1 connector, not checked yet")
	s.api.Connectors[0].ConnectionStatus, s.api.Connectors[0].Paused = "Paused", &interapp.Pause{}
	has(t, s.get("/"), "Nothing needs attention; 1 of 1 connector paused", "is-paused")
	s.api.Connectors[0].ConnectionStatus, s.api.Connectors[0].Paused = "Connection Valid", nil
	s.api.Connectors[0].LastPass, s.api.Connectors[0].Running = &interapp.Pass{State: "partial"}, &interapp.Running{}
	has(t, s.get("/"), "1 of 1 connector needs attention")
	s.api.Connectors = nil
	has(t, s.get("/"), "No connectors yet", "Add a connector")
}

func TestOverviewPages(t *testing.T) {
	var rows []row
	for i := range 250 {
		rows = append(rows, row{Name: count(i), State: stateHealthy, Word: "Connection Valid"})
	}
	b := arrange(rows, nil, "", "", 3)
	if len(b.Rest) != 50 || b.Pages != 3 || b.Next() != 0 || b.Previous() != 2 || b.Turn(2) != "./?page=2" {
		t.Errorf("%d rows on page %d of %d", len(b.Rest), b.Page, b.Pages)
	}
	if b := arrange(rows, nil, "", "24", 99); b.Matching != 13 || b.Page != 1 {
		t.Errorf("%d match, page %d", b.Matching, b.Page)
	}
}
