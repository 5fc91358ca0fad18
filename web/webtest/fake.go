// Package webtest is a stand-in for the API, with one of everything that pages show.
package webtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"sftpconnector/interapp"
)

// API is an http.Handler that answers as the API does, from what it holds. What changes it
// is counted in Calls.
type API struct {
	mu         sync.Mutex
	Connectors []interapp.Connector
	Spaces     []interapp.Space
	Files      []interapp.File
	Passes     []interapp.Pass
	Requests   []interapp.RequestState
	Settings   []interapp.Setting
	Audit      []interapp.AuditEntry
	File       interapp.ConfigurationFile
	Session    interapp.Session
	Check      interapp.Check
	Key        interapp.ServerHostKey
	Listing    interapp.Listing
	Password   string
	Absent     []string // routes that are not there, by the first part of their path below /api/v1
	OpenAPI    string

	calls []Call
	mux   *http.ServeMux
}

// Call is a call that changes something.
type Call struct {
	Method, Path, Body string
	Header             http.Header
}

// Now is when everything of New happens.
func Now() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// New makes an API whose caller may do everything, over a few connectors of which two need
// attention.
func New() *API {
	a := &API{Password: "a-secret-password-that-is-shown-once", Session: interapp.Session{Name: "operator", Scopes: []string{"read", "request", "apply", "configure"}, Browser: true}}
	a.Connectors, a.Spaces = connectors(), spaces()
	a.Files, a.Passes = files(), passes()
	a.Requests = requests()
	a.Settings, a.File = Settings(), file()
	a.Audit = audit()
	a.Check = interapp.Check{Connector: "trace-results", ConnectionStatus: "Connection Refused", Error: "dial 192.0.2.1:22: connection refused",
		Hint:   "Check your firewall settings and ensure that sftp.port (usually 22) is open, and that the SFTP server is running.",
		Stages: []interapp.Stage{{Stage: "resolve", OK: true, MS: 3, Detail: "192.0.2.1"}, {Stage: "connect", MS: 12, Detail: "connection refused"}}}
	a.Key = interapp.ServerHostKey{Connector: "trace-results", Host: "[sftp.vendor.example]:22", Type: "ssh-ed25519", Fingerprint: "SHA256:AAAAnewAAAA", Remembered: []string{"SHA256:AAAAoldAAAA"}}
	a.Listing = interapp.Listing{At: Now(), Files: a.Files, Counts: interapp.Counts{Seen: 6, Present: 2, Waiting: 1, Excluded: 1}}
	a.OpenAPI = `{"info":{"title":"sftp-connector","version":"1","description":"What it does."},"tags":[{"name":"connectors","description":"Theirs"}],
"paths":{"/api/v1/connectors":{"get":{"operationId":"list","summary":"All of them","description":"By name.","tags":["connectors"],"parameters":[{"name":"limit","in":"query","schema":{"type":"integer"}}],"responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/ConnectorList"}}}}}}}},
"components":{"schemas":{"ConnectorList":{"type":"object","properties":{"connectors":{"type":"array","description":"All","items":{"$ref":"#/components/schemas/Connector"}}},"required":["connectors"]},"Connector":{"type":"object","properties":{"name":{"type":"string"}}}}}}`
	a.routes()
	return a
}

// Calls gives the calls that changed something, in their order.
func (a *API) Calls() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := strings.TrimPrefix(r.URL.Path, "/api/v1/")
	for _, absent := range a.Absent {
		if strings.HasPrefix(part, absent) || strings.HasSuffix(part, "/"+absent) {
			problem(w, http.StatusNotFound, "There is nothing at "+r.URL.Path)
			return
		}
	}
	a.mux.ServeHTTP(w, r)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // to memory
}

func problem(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(interapp.Problem{Title: http.StatusText(code), Status: code, Detail: detail}) // to memory
}

// may lets a call through whose caller has the scope, and keeps it if it changes something.
func (a *API) may(scope string, next func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(a.Session.Scopes) == 0 {
			problem(w, http.StatusUnauthorized, "Send a token.")
			return
		}
		if !slices.Contains(a.Session.Scopes, scope) {
			problem(w, http.StatusForbidden, "The token lacks the scope "+scope)
			return
		}
		var body strings.Builder
		if r.Body != nil {
			buffer := make([]byte, 1<<20)
			for {
				n, err := r.Body.Read(buffer)
				body.Write(buffer[:n])
				if err != nil {
					break
				}
			}
		}
		if r.Method != http.MethodGet {
			a.mu.Lock()
			a.calls = append(a.calls, Call{r.Method, r.URL.RequestURI(), body.String(), r.Header.Clone()})
			a.mu.Unlock()
		}
		next(w, r, body.String())
	}
}

func (a *API) routes() {
	a.mux = http.NewServeMux()
	get := func(pattern, scope string, give func(r *http.Request) (any, error)) {
		a.mux.HandleFunc(pattern, a.may(scope, func(w http.ResponseWriter, r *http.Request, _ string) {
			out, err := give(r)
			if err != nil {
				problem(w, http.StatusNotFound, err.Error())
				return
			}
			answer(w, http.StatusOK, out)
		}))
	}
	const one = "/api/v1/connectors/{name}"
	a.mux.HandleFunc("GET /api/v1/session", func(w http.ResponseWriter, _ *http.Request) {
		if len(a.Session.Scopes) == 0 {
			problem(w, http.StatusUnauthorized, "Send a token.")
			return
		}
		answer(w, http.StatusOK, a.Session)
	})
	get("GET /api/v1/connectors", "read", func(*http.Request) (any, error) { return interapp.ConnectorList{Connectors: a.Connectors}, nil })
	get("GET "+one, "read", func(r *http.Request) (any, error) { return a.connector(r) })
	get("GET "+one+"/files", "read", a.files)
	get("GET "+one+"/passes", "read", func(*http.Request) (any, error) { return interapp.PassList{Passes: a.Passes}, nil })
	get("GET "+one+"/subscriptions", "read", func(*http.Request) (any, error) {
		return interapp.SubscriptionList{Subscriptions: []interapp.Subscription{{ID: "s1", ReplyTo: "http://127.0.0.1:9/told", Pending: 3, Posting: &interapp.Posting{Tries: 2, Error: "refused"}}}}, nil
	})
	get("GET "+one+"/configuration", "read", func(r *http.Request) (any, error) {
		return interapp.ConnectorConfiguration{Connector: r.PathValue("name"), Version: a.File.Version, Settings: a.Settings, YAML: "sftp:\n  host: sftp.vendor.example\n"}, nil
	})
	get("GET "+one+"/host-key", "read", func(*http.Request) (any, error) { return a.Key, nil })
	get("GET "+one+"/listing", "read", func(*http.Request) (any, error) { return a.Listing, nil })
	get("GET "+one+"/schedule", "read", func(*http.Request) (any, error) {
		next := []time.Time{}
		for i := range 5 {
			next = append(next, Now().Add(time.Duration(i+1)*15*time.Minute))
		}
		return interapp.Schedule{AutomaticSFTPFileSync: "15m", InFile: "1h", Next: next}, nil
	})
	get("GET /api/v1/passes", "read", func(r *http.Request) (any, error) { return recent(r.URL.Query().Get("connectors")), nil })
	get("GET /api/v1/spaces", "read", func(*http.Request) (any, error) { return interapp.SpaceList{Spaces: a.Spaces}, nil })
	get("GET /api/v1/spaces/{id}", "read", func(r *http.Request) (any, error) { return a.space(r) })
	get("GET /api/v1/spaces/{id}/files", "read", func(r *http.Request) (any, error) {
		return interapp.SpaceFiles{Space: r.PathValue("id"), Inbox: []interapp.InboxFile{{Name: "day/new.csv", State: "waiting", Since: Now(), Size: 12}}, Files: a.Files}, nil
	})
	get("GET /api/v1/requests", "read", func(*http.Request) (any, error) { return interapp.RequestPage{Requests: a.Requests, Cursor: "r2"}, nil })
	get("GET /api/v1/requests/{id}", "read", func(r *http.Request) (any, error) {
		for _, q := range a.Requests {
			if q.ID == r.PathValue("id") {
				return q, nil
			}
		}
		return nil, fmt.Errorf("no such request")
	})
	get("GET /api/v1/configuration", "read", func(*http.Request) (any, error) { return a.File, nil })
	get("GET /api/v1/audit", "read", func(*http.Request) (any, error) { return interapp.AuditPage{Entries: a.Audit}, nil })
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(a.OpenAPI)) })
	a.changes()
}

// changes are the routes that change something.
func (a *API) changes() {
	const one = "/api/v1/connectors/{name}"
	do := func(pattern, scope string, code int, give func(r *http.Request) any) {
		a.mux.HandleFunc(pattern, a.may(scope, func(w http.ResponseWriter, r *http.Request, _ string) { answer(w, code, give(r)) }))
	}
	do("POST "+one+"/apply", "apply", http.StatusAccepted, func(r *http.Request) any {
		return interapp.Pass{Connector: r.PathValue("name"), Mode: "apply", State: "queued"}
	})
	do("POST "+one+"/check", "apply", http.StatusOK, func(*http.Request) any { return a.Check })
	do("POST "+one+"/retry", "apply", http.StatusOK, func(r *http.Request) any {
		return interapp.RetryReply{Connector: r.PathValue("name"), Released: []string{"a"}}
	})
	do("POST "+one+"/pause", "apply", http.StatusOK, func(*http.Request) any { return a.Connectors[0] })
	do("POST "+one+"/resume", "apply", http.StatusOK, func(*http.Request) any { return a.Connectors[0] })
	do("POST "+one+"/trust", "configure", http.StatusOK, func(*http.Request) any { return a.Key })
	do("PUT "+one+"/schedule", "configure", http.StatusOK, func(*http.Request) any { return interapp.Schedule{} })
	do("DELETE "+one+"/schedule", "configure", http.StatusOK, func(*http.Request) any { return interapp.Schedule{} })
	do("POST "+one+"/requests", "request", http.StatusAccepted, func(*http.Request) any { return a.Requests[0] })
	do("POST "+one+"/subscriptions/{id}/send", "request", http.StatusOK, func(*http.Request) any { return interapp.Subscription{} })
	a.mux.HandleFunc("DELETE "+one+"/subscriptions/", a.may("request", func(w http.ResponseWriter, _ *http.Request, _ string) { w.WriteHeader(http.StatusNoContent) }))
	do("DELETE /api/v1/requests/{id}", "request", http.StatusOK, func(*http.Request) any { return a.Requests[0] })
	do("POST /api/v1/requests/{id}/send", "request", http.StatusOK, func(*http.Request) any { return a.Requests[0] })
	do("POST /api/v1/spaces/{id}/retry", "apply", http.StatusOK, func(*http.Request) any { return interapp.RetryReply{} })
	do("POST /api/v1/spaces/{id}/credentials", "configure", http.StatusCreated, func(r *http.Request) any {
		return interapp.NewCredentials{Space: r.PathValue("id"), SpaceCredential: interapp.SpaceCredential{ID: "c2", Created: Now()},
			Login: interapp.SFTPLogin{Username: r.PathValue("id"), Password: a.Password, Host: "sftp.example.com", Port: "2022"}}
	})
	do("DELETE /api/v1/spaces/{id}/credentials", "configure", http.StatusOK, func(*http.Request) any { return interapp.RevokedCredentials{} })
	do("DELETE /api/v1/spaces/{id}/credentials/{credential}", "configure", http.StatusOK, func(*http.Request) any { return interapp.RevokedCredentials{} })
	do("POST /api/v1/reload", "configure", http.StatusOK, func(*http.Request) any { return interapp.Reload{At: Now()} })
	a.mux.HandleFunc("PUT "+one, a.may("configure", a.change))
	a.mux.HandleFunc("POST "+one, a.may("configure", a.change))
	do("DELETE "+one, "configure", http.StatusOK, func(*http.Request) any {
		return interapp.ConnectorChanged{Changes: []interapp.DiffLine{{Line: 3, Op: "-", Text: "  trace-results:"}}}
	})
}

// change answers a change as the API does: another version is a conflict, a port that is no
// number is refused, and a check that fails writes nothing.
func (a *API) change(w http.ResponseWriter, r *http.Request, body string) {
	var c interapp.ConnectorChange
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	if c.Version != a.File.Version {
		problem(w, http.StatusConflict, "The file is another one by now.")
		return
	}
	if _, err := a.connector(r); r.Method == http.MethodPost && err == nil {
		problem(w, http.StatusConflict, "There is a connector "+r.PathValue("name")+" already.")
		return
	}
	if p := c.Set["sftp.port"]; p != nil {
		if n, err := strconv.Atoi(*p); err != nil || n < 1 || n > 65535 {
			problem(w, http.StatusUnprocessableEntity, "line 5: sftp.port: not a port: allowed are 1 to 65535")
			return
		}
	}
	out := interapp.ConnectorChanged{Connector: r.PathValue("name"), Version: "v2", Changes: []interapp.DiffLine{{Line: 4, Op: "-", Text: "      host: sftp.vendor.example"}, {Line: 4, Op: "+", Text: "      host: other.example # as told"}}}
	for key, value := range c.Set {
		now := interapp.SettingNow{Key: key, Before: "before"}
		if value != nil && !strings.Contains(key, "password") {
			now.After = *value
		}
		out.Settings = append(out.Settings, now)
	}
	if c.Check {
		out.Check = &a.Check
	}
	out.Saved = !c.DryRun && (c.Force || a.Check.ConnectionStatus == "Connection Valid")
	if out.Saved {
		out.Reload = &interapp.Reload{At: Now(), Changed: []string{out.Connector}}
	}
	answer(w, http.StatusOK, out)
}

func (a *API) connector(r *http.Request) (interapp.Connector, error) {
	for _, c := range a.Connectors {
		if c.Name == r.PathValue("name") {
			return c, nil
		}
	}
	return interapp.Connector{}, fmt.Errorf("connector %q: unknown", r.PathValue("name"))
}

func (a *API) space(r *http.Request) (interapp.Space, error) {
	for _, s := range a.Spaces {
		if s.ID == r.PathValue("id") {
			return s, nil
		}
	}
	return interapp.Space{}, fmt.Errorf("space %q: unknown", r.PathValue("id"))
}

func (a *API) files(r *http.Request) (any, error) {
	q := r.URL.Query()
	var out []interapp.File
	for _, f := range a.Files {
		if (q.Get("state") == "" || q.Get("state") == f.State) && strings.Contains(f.Name, q.Get("name")) {
			out = append(out, f)
		}
	}
	return interapp.FilePage{Files: out, Cursor: url.QueryEscape("d17")}, nil
}
