package server_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sftpconnector/interapp/server"
)

func TestProblems(t *testing.T) {
	d := newDaemon(t, server.Options{})
	const one = "/api/v1/connectors/results"
	for _, c := range []struct {
		method, path, body string
		code               int
		texts              []string
	}{
		{"GET", "/api/v1/connectors/nobody", "", 404, []string{`"nobody"`, "known: results"}},
		{"POST", "/api/v1/connectors/nobody/apply", "", 404, []string{"known: results"}},
		{"POST", "/api/v1/connectors/nobody/check", "", 404, []string{"known: results"}},
		{"POST", "/api/v1/connectors/nobody/retry", "", 404, []string{"known: results"}},
		{"PUT", "/api/v1/connectors/nobody/schedule", `{"automatic_sftp_file_sync":"15m"}`, 404, []string{"known: results"}},
		{"GET", "/api/v1/connectors/nobody/files", "", 404, []string{"known: results"}},
		{"GET", "/api/v1/connectors/nobody/passes", "", 404, []string{"known: results"}},
		{"GET", "/api/v1/connectors/%2e%2e%2fresults", "", 404, []string{"known: results"}},
		{"GET", "/api/v2/connectors", "", 404, []string{"/api/v2/connectors", "/openapi.json"}},
		{"GET", "/api/", "", 404, nil},
		{"GET", "/", "", 404, nil},
		{"GET", "/docs", "", 404, nil},
		{"GET", "/schemas/Pass.json", "", 404, nil},
		{"DELETE", one + "/files", "", 405, []string{"DELETE", "GET"}},
		{"GET", one + "/apply", "", 405, []string{"POST"}},
		{"POST", one + "/schedule", "{}", 405, []string{"PUT"}},
		{"POST", one + "/apply?wait=soon", "", 422, []string{"wait", "allowed", "15m"}},
		{"POST", one + "/apply?wait=-1s", "", 422, []string{"wait", "allowed"}},
		{"POST", one + "/apply?wait=11m", "", 422, []string{"wait", "up to 10m"}},
		{"POST", one + "/apply?wiat=1m", "", 422, []string{"query.wiat", "unknown"}},
		{"GET", one + "/files?state=lost", "", 422, []string{"query.state", "quarantined"}},
		{"GET", one + "/files?limit=0", "", 422, []string{"query.limit", "1"}},
		{"GET", one + "/files?limit=1001", "", 422, []string{"query.limit", "1000"}},
		{"GET", one + "/files?limit=many", "", 422, []string{"query.limit", "integer"}},
		{"GET", one + "/files?cursor=x", "", 422, []string{"query.cursor", "cursor of the page before"}},
		{"GET", one + "/files?cursor=f99999999999999999999", "", 422, []string{"query.cursor"}},
		{"GET", one + "/passes?limit=1001", "", 422, []string{"query.limit"}},
		{"PUT", one + "/schedule", "", 400, []string{"body is required"}},
		{"PUT", one + "/schedule", "{", 400, []string{"body", "JSON"}},
		{"PUT", one + "/schedule", "{}", 422, []string{"automatic_sftp_file_sync"}},
		{"PUT", one + "/schedule", `{"automatic_sftp_file_sync":15}`, 422, []string{"automatic_sftp_file_sync", "string"}},
		{"PUT", one + "/schedule", `{"automatic_sftp_file_sync":"15m","zone":"UTC"}`, 422, []string{"zone", "unexpected"}},
		{"PUT", one + "/schedule", `{"automatic_sftp_file_sync":"sometimes"}`, 422, []string{"automatic_sftp_file_sync", "allowed", "N/A"}},
		{"PUT", one + "/schedule", `{"automatic_sftp_file_sync":"0 0 30 2 *"}`, 422, []string{"never comes"}},
		{"POST", one + "/retry", `{"path":["a"]}`, 422, []string{"body.path"}},
		{"POST", one + "/retry", `{"paths":"a"}`, 422, []string{"body.paths", "array"}},
		{"POST", one + "/retry", `[]`, 422, []string{"body", "object"}},
		{"POST", one + "/retry", `{"paths":["` + strings.Repeat("x", 1<<20) + `"]}`, 413, []string{"too large"}},
	} {
		t.Run(fmt.Sprintf("%s %s %.40s", c.method, c.path, c.body), func(t *testing.T) {
			a := d.ask(c.method, c.path, c.body)
			a.problem(t, c.code, c.texts...)
			if c.code == 405 && a.header.Get("Allow") == "" {
				t.Error("no Allow header")
			}
		})
	}
	d.ask("PUT", one+"/schedule", "15m", "Content-Type: text/plain").problem(t, 415)
}

// What a client sends does not come back: it may be a secret in the wrong place.
func TestProblemsEchoNoBodies(t *testing.T) {
	d := newDaemon(t, server.Options{})
	for _, body := range []string{`{"password":"hunter2-secret"}`, `{"automatic_sftp_file_sync":["hunter2-secret"]}`, `{"automatic_sftp_file_sync":"hunter2-secret`} {
		if a := d.ask("PUT", "/api/v1/connectors/results/schedule", body); strings.Contains(a.body, "hunter2") {
			t.Errorf("%s: %s", body, a.body)
		}
	}
}

func TestUnexpectedErrors(t *testing.T) {
	log := &lines{}
	d := newDaemon(t, server.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	d.change(func() { d.lock = errors.New("disk on fire") })
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").problem(t, 500, "disk on fire", "log")
	if got := log.String(); !strings.Contains(got, "disk on fire") {
		t.Errorf("log %s", got)
	}
}

func TestPanic(t *testing.T) {
	log := &lines{}
	s := server.Panicking(log)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "http://127.0.0.1/panic", nil))
	answer{w.Code, w.Header(), w.Body.String()}.problem(t, 500, "report")
	if got := log.String(); !strings.Contains(got, "out of cheese") || !strings.Contains(got, "export_test.go") {
		t.Errorf("log %s", got)
	}
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Error("http.ErrAbortHandler was swallowed")
		}
	}()
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "http://127.0.0.1/abort", nil))
}
