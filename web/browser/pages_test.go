package browser_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/web"
	"sftpconnector/web/webtest"
)

// fake serves pages over the stand-in for the API.
func fake(t *testing.T, api *webtest.API) string {
	pages := web.New(web.Options{API: api, Version: "1.2.3"})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz":
			_, _ = w.Write([]byte("{}"))
		case r.URL.Path == "/api/v1/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte(": connected\n\n"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case strings.HasPrefix(r.URL.Path, "/api/"):
			api.ServeHTTP(w, r)
		default:
			pages.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// look looks at the page as it is, in both colours, narrow and wide.
func (b *tab) look(script, name string) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		for width, size := range map[int64]string{320: "narrow", 1280: "wide"} {
			b.size(width, 900)
			what := name + "-" + scheme + "-" + size
			b.accessible(script, what)
			b.sideways(what)
			b.shoot(what)
		}
	}
	b.scheme("light")
	b.size(1280, 900)
}

// Every page, in every colour and width, bears axe-core and the policy, and asks no other
// host for anything.
func TestEveryPage(t *testing.T) {
	script := axe(t)
	b := open(t, fake(t, webtest.New()))
	for path, name := range map[string]string{
		"/":                             "overview",
		"/?q=nobody":                    "overview-none",
		"/add":                          "add",
		"/configuration":                "configuration",
		"/audit":                        "audit",
		"/docs":                         "docs",
		"/sign-in?failed=1":             "sign-in",
		"/requests":                     "requests",
		"/requests/r1":                  "request",
		"/connectors/trace-results":     "general",
		"/connectors/orders?done=saved": "general-running",
		"/connectors/trace-results/configuration": "connector-configuration",
		"/connectors/trace-results/files":         "files",
		"/connectors/trace-results/listing":       "listing",
		"/connectors/trace-results/passes":        "passes",
		"/connectors/trace-results/requests":      "connector-requests",
		"/connectors/trace-results/host-key":      "host-key",
		"/connectors/trace-results/remove":        "remove",
		"/spaces/us_sp_123":                       "space",
	} {
		b.visit(path)
		b.look(script, name)
	}
}

// The answers to forms bear the same.
func TestAnswersOfForms(t *testing.T) {
	script := axe(t)
	api := webtest.New()
	b := open(t, fake(t, api))
	b.mayHear("422", "409", "404")
	b.visit("/connectors/trace-results")
	b.write("#f-sftp-host", "other.example")
	b.follow("fieldset .buttons button:nth-of-type(1)")
	b.shows("What will change", "Save and Apply")
	b.look(script, "review")
	b.follow(".buttons button.primary") // whose check fails
	b.shows("Nothing was saved", "Save it anyway")
	b.look(script, "review-failed")

	b.visit("/connectors/trace-results")
	b.follow("fieldset .buttons button:nth-of-type(2)")
	b.shows("connection refused")
	b.look(script, "check")

	b.visit("/connectors/trace-results")
	b.write("#f-sftp-port", "ssh")
	b.follow("fieldset .buttons button:nth-of-type(1)")
	b.shows("not a port")
	b.look(script, "refused")

	b.visit("/connectors/trace-results")
	b.write("#f-sftp-host", "mine.example")
	api.File.Version = "v9"
	b.follow("fieldset .buttons button:nth-of-type(1)")
	b.shows("Changed by another hand", "mine.example")
	b.look(script, "conflict")

	b.visit("/spaces/us_sp_123")
	b.follow(".status .actions button")
	b.shows("Save your credentials to a secure location", api.Password, "Copy")
	b.look(script, "credentials")

	b.visit("/nothing-is-here")
	b.look(script, "error")
	api.Connectors, api.Spaces = nil, nil
	b.visit("/")
	b.shows("No connectors yet")
	b.look(script, "overview-empty")
}

// Names that somebody else chose do nothing, and do not break the page.
func TestHostileNames(t *testing.T) {
	api := webtest.New()
	names := []string{`<script>document.title="gone"</script>`, `"><img src=x onerror=document.title="gone">`, "photo\u202egnp.exe", strings.Repeat("long", 1000), "\u05e9\u05dc\u05d5\u05dd", "line\nbreak\x1b[31m"}
	c := api.Connectors[1]
	for _, name := range names {
		c.Name = name
		c.LastPass = new(*c.LastPass)
		c.LastPass.Failures = []interapp.FileFailure{{Name: name, Error: name, Hint: name}}
		api.Connectors = append(api.Connectors, c)
		api.Files = append(api.Files, interapp.File{Name: name, State: "quarantined", Error: name})
		api.Audit = append(api.Audit, interapp.AuditEntry{Who: name, Detail: name, Connector: name})
	}
	b := open(t, fake(t, api))
	for path, name := range map[string]string{"/": "hostile-overview", "/connectors/invoices/files": "hostile-files", "/audit": "hostile-audit"} {
		b.visit(path)
		for _, width := range []int64{320, 1280} {
			b.size(width, 900)
			b.sideways(name)
		}
		b.shoot(name)
		if strings.Contains(eval[string](b, "document.title"), "gone") || eval[int](b, `document.querySelectorAll("main img, main script").length`) > 0 {
			t.Errorf("%s: a name did something", name)
		}
	}
}

// By the keyboard alone: the skip link comes first, and every link and button has its turn,
// and shows where it is.
func TestKeyboard(t *testing.T) {
	b := open(t, fake(t, webtest.New()))
	b.visit("/")
	var seen []string
	for range 12 {
		b.press("\t")
		seen = append(seen, eval[string](b, `document.activeElement.textContent.trim() || document.activeElement.name`))
		if outline := eval[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
			t.Errorf("the focus on %q is not seen", seen[len(seen)-1])
		}
	}
	if seen[0] != "Skip to the content" || !slices.Contains(seen, "Requests") || !slices.Contains(seen, "q") || !slices.Contains(seen, "Filter") {
		t.Errorf("the keyboard goes to %q", seen)
	}
	b.visit("/")
	b.press("\t")
	b.press("\r")
	if at := eval[string](b, "document.activeElement.id"); at != "main" {
		t.Errorf("the skip link leads to %q", at)
	}
	b.shoot("keyboard")
}
