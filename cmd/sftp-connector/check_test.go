package main

import (
	"strings"
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

// A daemon that a server has refused stays away from it. A check that succeeds
// has it try again at once, not only this process.
func TestCheckLiftsTheDaemonsHold(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{AuthMethods: []string{}})
	put(t, server.Root, "a.csv", "x", old)
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n    automatic_sftp_file_sync: 1s\n", login(server.Endpoint), server.Root)
	r := s.daemon()
	r.until("the login is held back", func() bool { return connectorOf(t, s, "results").HeldUntil != nil })
	s.run("check").gives(1, "Authentication Failed")
	if connectorOf(t, s, "results").HeldUntil == nil {
		t.Error("a check that failed has lifted it")
	}
	server.Set(func(f *sftptest.Faults) { f.AuthMethods = nil })
	if o := s.run("check").gives(0, "Connection Valid"); strings.Contains(o.stderr, "the daemon") {
		t.Errorf("it says %q", o.stderr)
	}
	r.until("the file is copied", func() bool { return s.exists("results/a.csv") })
	r.stop().gives(0)
}
