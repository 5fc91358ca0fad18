package main

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

// The second start does not ask a server for what it has refused to the first: OpenSSH
// with one session to a connection logs each further one that is asked for. The document
// that keeps this may be missing, damaged or of a later program: then it is asked again.
func TestLimitsOutlastARestart(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{MaxSessions: 1})
	put(t, server.Root, "a.csv", "alpha", old)
	s := newSite(t, `connectors:
  c:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./in}
`, login(server.Endpoint), server.Root)
	const refusal = "no more sessions"
	refusals := func() int {
		t.Helper()
		before := strings.Count(server.Log(), refusal)
		s.run("apply", "c").gives(0, "succeeded")
		return strings.Count(server.Log(), refusal) - before
	}
	if n := refusals(); n != 1 {
		t.Fatalf("the first start was refused %d sessions: %s", n, server.Log())
	}
	for range 2 {
		if n := refusals(); n != 0 {
			t.Errorf("a later start was refused %d sessions", n)
		}
	}
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "data", "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, damage := range []string{
		"UPDATE servers SET limits = substr(limits, 2)",
		`UPDATE servers SET limits = replace(limits, '"version":1', '"version":2')`,
		`UPDATE servers SET limits = replace(limits, 'SSH-2.0-OpenSSH', 'SSH-2.0-Other')`,
		`UPDATE servers SET limits = replace(limits, '"since":"2', '"since":"1')`, // a thousand years ago
		"DELETE FROM servers",
	} {
		if did, err := db.Exec(damage); err != nil {
			t.Fatal(damage, err)
		} else if n, _ := did.RowsAffected(); n != 1 {
			t.Fatalf("%s: %d rows", damage, n)
		}
		if n := refusals(); n != 1 {
			t.Errorf("%s: refused %d sessions", damage, n)
		}
		if n := refusals(); n != 0 {
			t.Errorf("%s: refused %d sessions, the second time", damage, n)
		}
	}
}
