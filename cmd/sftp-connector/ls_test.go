package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

// With a daemon it is the daemon that lists, and the listing is the same; what it has not
// read yet, this process lists.
func TestLsByTheDaemon(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	const files = 300 // more than wait for a client at a time
	for i := range files {
		put(t, server.Root, fmt.Sprintf("%d/a.csv", i), "alpha", old)
	}
	put(t, server.Root, "upload.tmp", "not yet", old)
	const text = "connectors:\n  %s:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n"
	s := newSite(t, text, "results", login(server.Endpoint), server.Root)
	sorted := func(o outcome) string {
		lines := strings.Split(o.stdout, "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	alone := sorted(s.run("ls", "results").gives(0, "new", "excluded", "upload.tmp", "a temporary name (*.tmp)", "301 files seen, 300 to copy"))
	r := s.daemon()
	if by := sorted(s.run("ls", "results").gives(0)); by != alone {
		t.Errorf("by the daemon it is\n%s\nnot\n%s", by, alone)
	}
	var found []interapp.File
	strictly(t, s.run("ls", "results", "--json").gives(0).stdout, &found)
	if len(found) != files+1 {
		t.Errorf("%d files as JSON", len(found))
	}
	s.configure(text, "fresh", login(server.Endpoint), server.Root)
	s.run("ls", "fresh").gives(0, "301 files seen")
	s.run("ls", "results", "--server", s.url()).gives(0, "301 files seen")
	s.run("ls", "fresh", "--server", s.url()).gives(2).says(`the daemon has no connector "fresh"`)
	server.Stop()
	s.run("ls", "results", "--server", s.url()).gives(1).says("Connection Refused")
	r.stop().gives(0)
}
