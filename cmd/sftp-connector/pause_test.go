package main

import (
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

// A connector that is paused shows it everywhere, and does nothing, whoever asks: the
// daemon, one that is started again, and a program without a daemon.
func TestPause(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "alpha", old)
	s := newSite(t, `connectors:
  results:
    sftp: %[1]s
    files: {source_directory_path: %[2]q, destination_directory_path: ./results}
    automatic_sftp_file_sync: 1s
  sending:
    direction: upload
    sftp: %[1]s
    files: {source_directory_path: ./out, destination_directory_path: %[2]q}
`, login(server.Endpoint), server.Root)
	s.write("new.csv", "x")
	r := s.daemon()
	r.until("it has copied", func() bool { return s.exists("results/a.csv") })

	const reason = "the vendor works on it"
	s.run("pause", "results", "--reason", reason).gives(0, "results is paused since ", "by operator: "+reason)
	s.run("pause", "sending").gives(0, "sending is paused since ")
	s.run("status").gives(0, "Paused", "none: paused", "results: paused by operator: "+reason, "Resume it with")
	s.run("check", "results").gives(0, "Connection Valid", "results is paused since ", reason)
	s.run("ls", "results").gives(0, "a.csv")
	s.run("apply", "results").gives(1).says("connector results is paused by operator: "+reason, "resume it first")
	s.run("request", "results").gives(1).says("is paused by operator")
	s.run("upload", "sending", s.path("new.csv")).gives(1).says("connector sending is paused by operator")
	var c interapp.Connector
	strictly(t, s.run("pause", "results", "--reason", reason, "--json").gives(0).stdout, &c)
	if c.ConnectionStatus != "Paused" || c.Paused == nil || c.Paused.Reason != reason {
		t.Errorf("%+v", c)
	}
	r.stop().gives(0)

	put(t, server.Root, "b.csv", "beta", old)
	s.run("apply", "results").gives(1).says("is paused by operator: " + reason)
	r = s.daemon()
	r.until("it says so", func() bool { return connectorOf(t, s, "results").ConnectionStatus == "Paused" })
	s.run("resume", "results").gives(0, "results is not paused; next pass: ")
	r.until("it copies again", func() bool { return s.exists("results/b.csv") })
	s.run("status", "results").gives(0, "Connection Valid")
	r.stop().gives(0)

	s.run("resume", "sending").gives(0, "sending is not paused") // without a daemon
	s.run("upload", "sending", s.path("new.csv")).gives(0)
	s.run("pause", "nobody").gives(2).says("nobody")
}
