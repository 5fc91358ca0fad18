package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/interapp"
	"sftpconnector/web/webtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is pages over a stand-in for the API.
type site struct {
	t     *testing.T
	api   *webtest.API
	pages *Pages
}

func newSite(t *testing.T) *site {
	api := webtest.New()
	pages := New(Options{API: api, Version: "1.2.3"})
	pages.now = webtest.Now
	return &site{t, api, pages}
}

func (s *site) ask(method, path, body string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.pages.ServeHTTP(w, r)
	return w
}

// get gives the text of a page, which has to be there.
func (s *site) get(path string) string {
	s.t.Helper()
	w := s.ask("GET", path, "")
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// post sends a form, and gives where it leads.
func (s *site) post(path string, form url.Values) string {
	s.t.Helper()
	w := s.ask("POST", path, form.Encode())
	if w.Code != http.StatusSeeOther {
		s.t.Fatalf("%s: %d\n%s", path, w.Code, w.Body)
	}
	return w.Header().Get("Location")
}

// last is the last call that changed something.
func (s *site) last() webtest.Call {
	s.t.Helper()
	calls := s.api.Calls()
	if len(calls) == 0 {
		s.t.Fatal("nothing was changed")
	}
	return calls[len(calls)-1]
}

func has(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}

func hasNot(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			t.Errorf("the page has %q", text)
		}
	}
}

// everyPage are all pages that are shown, and a text that each has to have.
func everyPage() map[string]string {
	return map[string]string{
		"/":                         "3 of 8 connectors and Spaces need attention",
		"/?status=attention&q=inv":  "invoices",
		"/add":                      "Add a connector",
		"/configuration":            "The file is newer than what is loaded",
		"/audit":                    "billing-driver",
		"/docs":                     "/api/v1/connectors",
		"/sign-in":                  "Sign in",
		"/requests":                 "2 files copied, 1 already present",
		"/requests/r1":              "Send again",
		"/requests/r2":              "Cancel",
		"/connectors/trace-results": "Authentication Failed",
		"/connectors/orders":        "1.0 MB/s",
		"/connectors/trace-results/configuration":    "Europe/Brussels",
		"/connectors/trace-results/files":            "It failed five times",
		"/connectors/trace-results/listing":          "a second look comes in 3 s",
		"/connectors/trace-results/passes":           "Duration",
		"/connectors/trace-results/requests":         "Subscriptions",
		"/connectors/trace-results/host-key":         "SHA256:AAAAnewAAAA",
		"/connectors/trace-results/remove":           "What it has delivered stays",
		"/spaces/us_sp_123":                          "Get SFTP Credentials",
		"/connectors/trace-results/files?state=none": "No file matches.",
	}
}

var (
	inline    = regexp.MustCompile(`(?i)<style|\sstyle\s*=|\son[a-z]+\s*=|javascript:`)
	script    = regexp.MustCompile(`(?i)<script[^>]*>`)
	addresses = regexp.MustCompile(`(?:href|src|action|formaction)="([^"]*)"`)
)

// Each page shows what it is for, and nothing that the policy forbids.
func TestEveryPage(t *testing.T) {
	s := newSite(t)
	for path, text := range everyPage() {
		t.Run(path, func(t *testing.T) {
			w := s.ask("GET", path, "")
			page := w.Body.String()
			if w.Code != http.StatusOK || !strings.Contains(page, text) {
				t.Fatalf("%d, without %q:\n%s", w.Code, text, page)
			}
			if got := w.Header().Get("Content-Security-Policy"); got != policy {
				t.Errorf("policy %q", got)
			}
			if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "same-origin" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("headers %v", w.Header())
			}
			if found := inline.FindString(page); found != "" {
				t.Errorf("the page has %q", found)
			}
			for _, tag := range script.FindAllString(page, -1) {
				if !strings.Contains(tag, " src=") {
					t.Errorf("a script stands in the page: %s", tag)
				}
			}
			for _, m := range addresses.FindAllStringSubmatch(page, -1) {
				if strings.HasPrefix(m[1], "/") || strings.Contains(m[1], ":") {
					t.Errorf("%s is not relative", m[1])
				}
			}
			hasNot(t, page, s.api.Password, "ZgotmplZ", "<no value>", "%!")
		})
	}
}

// links are followed from every page, as a browser resolves them: each leads to a page.
func TestLinksLeadSomewhere(t *testing.T) {
	s := newSite(t)
	done := map[string]bool{}
	for from := range everyPage() {
		at, err := url.Parse("http://host" + from)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(s.get(from), -1) {
			to, err := at.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
			if err != nil {
				t.Errorf("%s: %v", from, err)
				continue
			}
			if done[to.RequestURI()] || to.Path == "/openapi.json" {
				continue
			}
			done[to.RequestURI()] = true
			if w := s.ask("GET", to.RequestURI(), ""); w.Code != http.StatusOK {
				t.Errorf("%s leads to %s: %d", from, to.RequestURI(), w.Code)
			}
		}
	}
	if len(done) < 20 {
		t.Errorf("%d links", len(done))
	}
}

// Who may only read sees no button that would be refused.
func TestReadScopeSeesNoButtons(t *testing.T) {
	s := newSite(t)
	s.api.Session.Scopes, s.api.Session.Browser = []string{"read"}, false
	for path := range everyPage() {
		if path == "/add" || path == "/sign-in" || strings.HasSuffix(path, "/remove") {
			continue
		}
		if page := s.get(path); strings.Contains(page, `method="post"`) {
			t.Errorf("%s has a form that changes something", path)
		}
	}
	has(t, s.get("/connectors/trace-results"), "sftp.vendor.example", "Password</dt><dd>set")
}

// Without an answer of the API to whom one is, a page leads to the sign-in, and back.
func TestSignInIsAskedFor(t *testing.T) {
	s := newSite(t)
	s.api.Session.Scopes = nil
	w := s.ask("GET", "/connectors/trace-results/files?state=failed", "")
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != "../../sign-in?next=connectors%2Ftrace-results%2Ffiles%3Fstate%3Dfailed" {
		t.Errorf("%d to %q", w.Code, got)
	}
	page := s.get("/sign-in?next=connectors%2Fa&failed=1")
	has(t, page, `value="connectors/a"`, "not one that this program knows")
	hasNot(t, page, "Overview</a></li>")
}

// What the page's caller sends by way of identity goes to the API, and nothing else does.
func TestIdentityIsPassedOn(t *testing.T) {
	s := newSite(t)
	w := s.ask("POST", "/connectors/orders/apply", "x=1", "Cookie", "session=abc", "Authorization", "Bearer t", "X-Forwarded-For", "192.0.2.1", "Sec-Fetch-Site", "same-origin", "X-Other", "no")
	if w.Code != http.StatusSeeOther {
		t.Fatal(w.Code)
	}
	h := s.last().Header
	for name, want := range map[string]string{"Cookie": "session=abc", "Authorization": "Bearer t", "X-Forwarded-For": "192.0.2.1", "Sec-Fetch-Site": "same-origin", "X-Other": ""} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
}

// hostile are names that somebody else chose.
func hostile() []string {
	return []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, "photo\u202egnp.exe", strings.Repeat("ä", 2000), "a\xffb", "line\nbreak\x00\x1b[31m", "{{.}}", "'; --"}
}

// Hostile names are text, and nothing in them is hidden.
func TestHostileNamesAreInert(t *testing.T) {
	s := newSite(t)
	c := s.api.Connectors[1]
	s.api.Files, s.api.Connectors = nil, nil
	for _, name := range hostile() {
		c.Name = name
		c.LastPass = &interapp.Pass{State: "partial", Failures: []interapp.FileFailure{{Name: name, Error: name, Hint: name}}, Files: interapp.Counts{Failed: 1}}
		s.api.Connectors = append(s.api.Connectors, c)
		s.api.Files = append(s.api.Files, interapp.File{Name: name, State: "quarantined", Error: name})
		s.api.Audit = append(s.api.Audit, interapp.AuditEntry{Who: name, Detail: name, Connector: name})
		s.api.Requests = append(s.api.Requests, interapp.RequestState{ID: name, Connector: name, State: "failed", Request: interapp.Request{Source: name, FileNameFilter: name}})
		s.api.File.YAML += name + "\n"
	}
	pages := map[string]string{}
	for _, path := range []string{"/", "/audit", "/requests", "/configuration"} {
		pages[path] = s.get(path)
	}
	for _, name := range hostile()[:3] {
		pages[name] = s.get("/connectors/"+segment(name)) + s.get("/connectors/"+segment(name)+"/files")
	}
	for at, page := range pages {
		hasNot(t, page, "<script>alert", "<img", "\u202e", "\x00", "\x1b", "javascript:")
		if found := inline.FindString(strings.ReplaceAll(page, "onerror=alert(1)&gt;", "")); found != "" {
			t.Errorf("%s has %q", at, found)
		}
	}
	has(t, pages["/audit"], `photo\u202egnp.exe`)
}

// A name comes back from a form as it was, whatever is in it.
func TestRetryNamesTheFile(t *testing.T) {
	s := newSite(t)
	s.api.Files = []interapp.File{{Name: "a\nb + c.csv", State: "quarantined"}}
	m := regexp.MustCompile(`name="file" value="([^"]*)"`).FindStringSubmatch(s.get("/connectors/orders/files"))
	if m == nil {
		t.Fatal("no button")
	}
	to := s.post("/connectors/orders/retry", url.Values{"file": {html.UnescapeString(m[1])}, "back": {"connectors/orders/files?state=quarantined"}})
	if to != "../../connectors/orders/files?state=quarantined&done=released" {
		t.Errorf("leads to %s", to)
	}
	if got := s.last(); !strings.Contains(got.Body, `"a\nb + c.csv"`) {
		t.Errorf("released %s", got.Body)
	}
	if to := s.post("/connectors/orders/retry", url.Values{"back": {"//evil.example/"}}); to != "../../connectors/orders/files?done=released" {
		t.Errorf("leads to %s", to)
	}
}

// The outcome in an address is one of ours: no link makes a page say something.
func TestNoticesAreOurs(t *testing.T) {
	s := newSite(t)
	has(t, s.get("/?done=removed"), "The connector was removed.")
	hasNot(t, s.get("/?done=Call+0900"), "0900")
}

// What is not there is left out, and the rest of the page is drawn.
func TestOptionalParts(t *testing.T) {
	s := newSite(t)
	s.api.Absent = []string{"session", "spaces", "configuration", "requests", "schedule", "subscriptions"}
	has(t, s.get("/"), "of 7 connectors")
	has(t, s.get("/connectors/trace-results"), "Apply", "Check")
	s.get("/connectors/trace-results/configuration")
	s.get("/connectors/trace-results/requests")
	s.get("/requests")
	has(t, s.get("/add"), "no configuration file")
	if w := s.ask("GET", "/configuration", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d", w.Code)
	}
}

// The first load stays small.
func TestSizes(t *testing.T) {
	s := newSite(t)
	app, err := assetFiles.ReadFile("assets/app.js")
	if err != nil || len(app) >= 15_000 {
		t.Errorf("app.js has %d bytes (%v)", len(app), err)
	}
	c := s.api.Connectors[2]
	for len(s.api.Connectors) < 1000 {
		c.Name = "connector-" + count(len(s.api.Connectors))
		s.api.Connectors = append(s.api.Connectors, c)
	}
	w := s.ask("GET", "/", "", "Accept-Encoding", "gzip")
	total := w.Body.Len()
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`assets/[^"]*`).FindAllString(string(page), -1) {
		a := s.ask("GET", "/"+m, "", "Accept-Encoding", "gzip")
		if a.Code != http.StatusOK || a.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d, %v", m, a.Code, a.Header())
		}
		total += a.Body.Len()
	}
	if total > 60_000 {
		t.Errorf("the first load takes %d bytes", total)
	}
	t.Logf("first load: %d bytes", total)
}

// idiomorph is the file that its authors published.
func TestVendoredScriptIsAsPublished(t *testing.T) {
	text, err := os.ReadFile("assets/idiomorph.min.js")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("assets/idiomorph.sha256")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if got := hex.EncodeToString(sum[:]); got != strings.Fields(string(want))[0] {
		t.Errorf("it has the checksum %s", got)
	}
}

func TestBase(t *testing.T) {
	for path, want := range map[string]string{"/": "./", "/requests": "./", "/connectors/a": "../", "/connectors/a%2Fb/files": "../../", "/connectors/a/schedule/file": "../../../"} {
		if got := base(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// decode reads the body of a call.
func decode[T any](t *testing.T, c webtest.Call) T {
	t.Helper()
	var out T
	if err := json.NewDecoder(bytes.NewReader([]byte(c.Body))).Decode(&out); err != nil {
		t.Fatalf("%s: %v", c.Body, err)
	}
	return out
}

func TestTimesAndSizes(t *testing.T) {
	now := webtest.Now()
	for _, c := range []struct {
		ago  time.Duration
		want string
	}{{0, "now"}, {59 * time.Second, "59 s ago"}, {90 * time.Second, "1 min ago"}, {-61 * time.Minute, "in 1 h 1 min"}, {49 * time.Hour, "2 d 1 h ago"}, {40 * 24 * time.Hour, "40 d ago"}} {
		if got := distance(now, now.Add(-c.ago)); got != c.want {
			t.Errorf("%s: %s, want %s", c.ago, got, c.want)
		}
	}
	for n, want := range map[int64]string{-1: "unknown", 0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_999: "1.0 MB", 10_000_000: "10 MB", 2_500_000_000_000: "2.5 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := count(int64(-1234567)); got != "-1,234,567" {
		t.Error(got)
	}
}
