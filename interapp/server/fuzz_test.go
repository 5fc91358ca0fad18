package server_test

import (
	"encoding/json"
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
	f.Fuzz(func(t *testing.T, body string) {
		d := newDaemon(t, server.Options{})
		a := d.ask("PUT", "/api/v1/connectors/results/schedule", body)
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
		if a = d.ask("POST", "/api/v1/connectors/results/retry", body); a.code == 200 {
			a.want(t, 200, &interapp.RetryReply{})
		} else if a.code < 400 || a.code > 499 {
			t.Errorf("retry %q: %d %s", body, a.code, a.body)
		} else {
			a.problem(t, a.code)
		}
	})
}
