package main

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

// Delivered files and those found in place are in one order, newest first,
// wherever it is asked; files that failed are not among them.
func TestHistoryIsNewestFirst(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n", login(server.Endpoint), server.Root)
	for i, name := range []string{"a.csv", "b.csv", "c.csv"} {
		put(t, server.Root, name, "x", old)
		if i == 1 { // it is found in place
			put(t, s.path("results"), name, "x", old)
		}
		s.run("apply").gives(0)
	}
	put(t, server.Root, "bad.csv", "x", old)
	s.quarantine("bad.csv", server.Root)
	check := func(files string, want []string, more ...string) {
		t.Helper()
		o := s.run(append([]string{"history", "results", "--json", "--files", files}, more...)...).gives(0)
		var h history
		if err := json.Unmarshal([]byte(o.stdout), &h); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range h.Files {
			got = append(got, f.Name+" "+f.State)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", more, got, want)
		}
	}
	three := []string{"c.csv delivered", "b.csv present", "a.csv delivered"}
	check("20", three)
	check("2", three[:2])
	r := s.daemon()
	check("20", three, "--server", s.url())
	check("2", three[:2], "--server", s.url())
	r.stop().gives(0)

	// A file that is delivered again is the newest.
	put(t, server.Root, "a.csv", "another", old-time.Hour)
	s.run("apply").gives(3)
	check("1", three[2:])
}

// A directory that cannot be read is in the JSON too: it is why the code is 3.
func TestLsShowsUnreadableDirectories(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{Fail: func(op sftptest.Op, path string) sftptest.Status {
		if op == sftptest.OpOpendir && len(path) > 6 && path[len(path)-6:] == "closed" {
			return sftptest.StatusPermissionDenied
		}
		return sftptest.StatusOK
	}})
	put(t, server.Root, "closed/a.csv", "x", old)
	put(t, server.Root, "b.csv", "x", old)
	put(t, server.Root, "bad.csv", "x", old)
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n", login(server.Endpoint), server.Root)
	s.quarantine("bad.csv", server.Root)
	o := s.run("ls", "results", "--json").gives(3)
	var files []interapp.File
	if err := json.Unmarshal([]byte(o.stdout), &files); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, f := range files {
		states[f.Name] = f.State
		if f.Name == "closed" && f.Reason == "" {
			t.Error("there is no reason")
		}
	}
	if len(files) != 3 || states["closed"] != "failed" || states["b.csv"] != "new" || states["bad.csv"] != "quarantined" {
		t.Errorf("%s", o.stdout)
	}
}
