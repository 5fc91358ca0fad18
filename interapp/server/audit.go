package server

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"sftpconnector/interapp"
	"sftpconnector/sync/ledger"
)

const (
	// auditTime is how long an answer may wait until it is in the audit.
	auditTime = 5 * time.Second
	// maxDetail bounds a text of the audit, in bytes.
	maxDetail = 1000
	// maxRefusals is how many refusals of a token are recorded in an hour. A program
	// that goes on asking for what it may not have does not push out what was done.
	maxRefusals = 20
)

// actions are the calls that the audit has, by their routes.
func actions() map[string]string {
	all := map[string]string{
		"PUT /api/v1/configuration":                   "configure",
		"POST /api/v1/reload":                         "reload",
		"POST /api/v1/sign-in-links":                  "sign-in",
		"POST /sign-in":                               "sign-in",
		"GET /sign-in":                                "sign-in", // by a link
		"POST /sign-out":                              "sign-out",
		"GET " + pathSFTPCredentials:                  "credentials",
		"DELETE " + pathRequests + "/{id}":            "cancel",
		"POST " + pathRequests + "/{id}/send":         "send",
		"POST " + pathCredentials:                     "credentials",
		"DELETE " + pathCredentials:                   "revoke",
		"DELETE " + pathCredentials + "/{credential}": "revoke",
		"PUT " + pathConnector:                        "configure",
		"POST " + pathConnector:                       "create",
		"DELETE " + pathConnector:                     "remove",
		"PUT " + pathConnector + "/schedule":          "schedule",
		"DELETE " + pathConnector + "/schedule":       "schedule",
		"POST " + pathConnector + "/requests":         "request",
		"POST " + pathConnector + "/interapp":         "request",
		"POST " + pathConnector + "/uploads":          "upload",
		"POST " + pathSpace + "/retry":                "retry",
	}
	for _, verb := range []string{"apply", "check", "retry", "pause", "resume", "trust"} {
		all["POST "+pathConnector+"/"+verb] = verb
	}
	for path, id := range map[string]string{pathConnector: "/{id}", pathSpace: "/{subscription}"} {
		path += "/subscriptions"
		all["POST "+path] = "subscribe"
		all["DELETE "+path+id] = "unsubscribe"
		all["DELETE "+path+id+"/pending"] = "drop"
		all["POST "+path+id+"/send"] = "send"
	}
	return all
}

// audit records calls that change something or hand out passwords, once they are
// answered. That one cannot be recorded changes nothing about its answer.
func (s *Server) audit(next http.Handler) http.Handler {
	actions := actions()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, pattern := s.mux.Handler(r)
		action := actions[r.Method+" "+strings.TrimPrefix(pattern, r.Method+" ")]
		form := r.Method == http.MethodGet && action == "sign-in" && !r.URL.Query().Has("link") // which signs nobody in
		if s.ledger == nil || action == "" || form {
			next.ServeHTTP(w, r)
			return
		}
		rec := recorderOf(r.Context())
		ended := false
		defer func() {
			if !ended { // it panics
				rec.status = http.StatusInternalServerError
			}
			s.record(r, action, rec)
		}()
		next.ServeHTTP(w, r)
		ended = true
	})
}

// record writes the entry of a call. Refusals of who is not known are not among them:
// anybody can have as many of them as he likes.
func (s *Server) record(r *http.Request, action string, rec *recorder) {
	if rec.nothing {
		return
	}
	now, by := time.Now(), callerOf(r.Context())
	switch rec.status {
	case 0:
		rec.status = http.StatusOK
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		if by.name == "" || !s.refusals.add(by.name, now) {
			return
		}
	}
	e := ledger.AuditEntry{At: now, Who: rec.caller, Address: s.clientAddress(r), Action: action, Status: rec.status, OK: rec.status < 400 && !rec.undone}
	if e.Who == "" && by.open {
		e.Who = "operator" // only a program on this machine comes without a token
	}
	e.Connector, e.Detail = target(r.URL.EscapedPath())
	if rec.connector != "" {
		e.Connector = rec.connector
	}
	if rec.detail != "" {
		e.Detail = rec.detail
	}
	e.Connector, e.Detail = shortened(e.Connector), shortened(e.Detail)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), auditTime)
	defer cancel()
	if err := s.ledger.Audit(ctx, e); err != nil {
		s.log.Error("what was done could not be written to the audit", "who", e.Who, "address", e.Address, "action", e.Action,
			"connector", e.Connector, "detail", e.Detail, "status", e.Status, "error", err)
	}
}

// target gives what a path of the API is about: a connector, or a Space as spaces/ID,
// and of what belongs to one its id.
func target(escaped string) (connector, id string) {
	below, ok := strings.CutPrefix(escaped, "/api/v1/")
	if !ok {
		return "", ""
	}
	parts := strings.Split(below, "/")
	for i, p := range parts {
		if whole, err := url.PathUnescape(p); err == nil {
			parts[i] = whole
		}
	}
	switch {
	case len(parts) < 2:
		return "", ""
	case parts[0] == "connectors":
		connector = parts[1]
	case parts[0] == "spaces":
		connector = interapp.SpaceConnector(parts[1])
	case parts[0] == "requests":
		return "", parts[1]
	}
	if len(parts) > 3 {
		id = parts[3]
	}
	return connector, id
}

// shortened is a text of at most maxDetail bytes.
func shortened(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	end := maxDetail
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// refusals counts what was refused to tokens, which the configuration bounds.
type refusals struct {
	mu    sync.Mutex
	since time.Time
	of    map[string]int
}

// add counts a refusal, and reports whether it is to be recorded.
func (f *refusals) add(token string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil || now.Sub(f.since) >= time.Hour {
		f.since, f.of = now, map[string]int{}
	}
	f.of[token]++
	return f.of[token] <= maxRefusals
}

// counted is names for the audit, with what was done to them: the first of them, if
// there are many.
func counted(names []string, done string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "none " + done
	case len(names) > most:
		return fmt.Sprintf("%d %s: %s, …", len(names), done, strings.Join(names[:most], ", "))
	}
	return fmt.Sprintf("%d %s: %s", len(names), done, strings.Join(names, ", "))
}
