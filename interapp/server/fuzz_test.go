package server_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

// Whatever body comes, the answer is JSON: a success that means what was
// asked, or a problem of the client's.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{
		`{"automatic_sftp_file_sync":"15m"}`, `{"automatic_sftp_file_sync":"*/5 * * * *"}`, `{"automatic_sftp_file_sync":null}`,
		`{"paths":["a",""]}`, `{"paths":null}`, `{}`, `[]`, `null`, `"x"`, `{"a":{"a":{"a":[[[[1e999]]]]}}}`, "\xff", "{\"paths\":[\"\\ud800\"]}", "",
		`{"id":"a","file_name_filter":"{a,b}/**/*.csv","file_time_filter":{"from":"2026-01-01","to":null},"timeout":"1s"}`,
		`{"id":"..","file_name_filter":"regex:^a(b|c)*$","file_time_filter":{"newer_than":"24h"},"source":"x"}`,
		`{"file_time_filter":{"from":"2026-01-01T00:00:00+14:00","to":"1969-12-31"}}`, `{"reply_to":"http://example.com/","from":"2026-01-01"}`,
		message, `{"guid":"c","messages":[` + message + `,{"$type":"Ping","guid":"p"}]}`,
	} {
		f.Add(body)
	}
	d := newDaemon(f, server.Options{})
	ask := func(method, path, body string) answer {
		w := httptest.NewRecorder()
		d.api.ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body)))
		return answer{w.Code, w.Header(), w.Body.String()}
	}
	f.Fuzz(func(t *testing.T, body string) {
		refused := func(what string, a answer) {
			if a.code < 400 || a.code > 499 {
				t.Errorf("%s %q: %d %s", what, body, a.code, a.body)
			} else {
				a.problem(t, a.code)
			}
		}
		a := ask("PUT", "/api/v1/connectors/results/schedule", body)
		if a.code == 200 {
			var in, out interapp.Schedule
			if json.Unmarshal([]byte(body), &in) != nil || json.Unmarshal([]byte(a.body), &out) != nil {
				t.Fatalf("%q: %s", body, a.body)
			}
			want, err := config.ParseSchedule(in.AutomaticSFTPFileSync)
			if err != nil || out.AutomaticSFTPFileSync != want.String() {
				t.Errorf("%q set %q", body, out.AutomaticSFTPFileSync)
			}
		} else {
			refused("schedule", a)
		}
		if a = ask("POST", "/api/v1/connectors/results/retry", body); a.code == 200 {
			a.want(t, 200, &interapp.RetryReply{})
		} else {
			refused("retry", a)
		}
		var r interapp.Reply
		if a = ask("POST", pathOfRequests+"?wait=1m", body); a.code == 200 {
			if a.want(t, 200, &r); r.ID == "" || r.Success != (len(r.Failed) == 0 && len(r.Waiting) == 0) {
				t.Errorf("request %q: %s", body, a.body)
			}
		} else {
			refused("request", a)
		}
		if a = ask("POST", pathOfCalls, body); a.code == 200 {
			if a.want(t, 200, &struct{}{}); !strings.Contains(a.body, `"guid":`) {
				t.Errorf("call %q: %s", body, a.body)
			}
		} else {
			refused("call", a)
		}
		if a = ask("POST", pathOfSubscriptions, body); a.code != 201 {
			refused("subscription", a)
		}
	})
}
