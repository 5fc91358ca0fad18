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
		} else if a.code < 400 || a.code > 499 {
			t.Errorf("schedule %q: %d %s", body, a.code, a.body)
		} else {
			a.problem(t, a.code)
		}
		if a = ask("POST", "/api/v1/connectors/results/retry", body); a.code == 200 {
			a.want(t, 200, &interapp.RetryReply{})
		} else if a.code < 400 || a.code > 499 {
			t.Errorf("retry %q: %d %s", body, a.code, a.body)
		} else {
			a.problem(t, a.code)
		}
	})
}
