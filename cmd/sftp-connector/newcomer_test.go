package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
)

// strictly reads one JSON document that has no key which v does not know.
func strictly(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if d.More() {
		t.Fatalf("more than one document:\n%s", text)
	}
}

// keysOf gives the sorted keys of a JSON object.
func keysOf(t *testing.T, text []byte) []string {
	t.Helper()
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	var keys []string
	for k := range object {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// What the README leads a newcomer through, against a real OpenSSH server.
func TestNewcomersWay(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "alpha", old)
	put(t, server.Root, "sub/b.csv", "beta", old)
	put(t, server.Root, "upload.tmp", "not yet", old)
	s := newSite(t, `connectors:
  results:
    sftp: {host: 127.0.0.1, port: %d, username: %s, authentication: key-pairs, key_pairs_path: %q}
    files: {source_directory_path: %q, destination_directory_path: ./results, settle: 1s}
    automatic_sftp_file_sync: 1s
`, server.Port, server.User, server.PrivateKeyPath, server.Root)

	s.run("config", "check").gives(0, "1 connectors, no mistakes")
	s.run("check").gives(1, "results: Host Key Unknown", "host-key", "FAILED", status.HostKeyUnknown.Hint())
	s.run("trust", "results").gives(1, "SHA256:").says("--yes")
	s.run("trust", "results", "--yes").gives(0, "SHA256:", "Remembered in")
	s.run("trust", "results").gives(0, "trusted already")
	s.run("check").gives(0, "results: Connection Valid")
	var check interapp.Check
	strictly(t, s.run("check", "results", "--json").gives(0).stdout, &check)
	var stages []string
	for _, stage := range check.Stages {
		stages = append(stages, stage.Stage)
		if !stage.OK {
			t.Errorf("stage %+v", stage)
		}
	}
	if want := []string{"resolve", "connect", "handshake", "host-key", "authenticate", "sftp", "list", "destination"}; !slices.Equal(stages, want) {
		t.Errorf("stages %v, want %v", stages, want)
	}

	s.run("ls", "results").gives(0, "new", "a.csv", "sub/b.csv", "excluded", "a temporary name (*.tmp)", "3 files seen, 2 to copy")
	if s.exists("results/a.csv") {
		t.Error("ls copied a file")
	}
	s.run("apply").gives(0, "results: copied a.csv", "results: copied sub/b.csv", "succeeded", "Connection Valid")
	sameText(t, s.path("results/a.csv"), "alpha")
	sameText(t, s.path("results/sub/b.csv"), "beta")
	if s.exists("results/upload.tmp") {
		t.Error("a temporary name was copied")
	}
	s.run("ls", "results").gives(0, "delivered", "3 files seen, 0 to copy")
	testPassDocument(t, s.run("apply", "results", "--json").gives(0).stdout)
	testHistory(t, s)
	testDaemon(t, s, server)
}

// testPassDocument holds the document of 'apply --json' to the contract.
func testPassDocument(t *testing.T, text string) {
	t.Helper()
	var pass interapp.Pass
	strictly(t, text, &pass)
	if pass.Connector != "results" || pass.State != "succeeded" || pass.ConnectionStatus != "Connection Valid" ||
		pass.Files.Seen != 3 || pass.Files.Present != 2 || pass.Files.Excluded != 1 || pass.Files.Copied != 0 ||
		pass.Pass == "" || pass.Started.IsZero() || pass.Finished == nil {
		t.Errorf("%+v", pass)
	}
	var document map[string]json.RawMessage
	strictly(t, text, &document)
	// Of these, error, hint and mode go beyond what was promised.
	want := []string{"connection_status", "connector", "error", "failures", "files", "finished", "hint", "mode", "pass", "started", "state"}
	if got := keysOf(t, []byte(text)); !slices.Equal(got, want) {
		t.Errorf("keys %v, want %v", got, want)
	}
	want = []string{"bytes", "conflict", "copied", "excluded", "failed", "present", "quarantined", "seen", "unsafe", "unverified", "waiting"}
	if got := keysOf(t, document["files"]); !slices.Equal(got, want) {
		t.Errorf("keys of files %v, want %v", got, want)
	}
	if string(document["failures"]) != "[]" {
		t.Errorf("failures: %s", document["failures"])
	}
}

func testHistory(t *testing.T, s *site) {
	t.Helper()
	s.run("history", "results").gives(0, "apply", "succeeded", "a.csv", "sub/b.csv")
	var h history
	strictly(t, s.run("history", "results", "--json").gives(0).stdout, &h)
	if h.Connector != "results" || len(h.Passes) != 2 || len(h.Files) != 2 || h.Passes[1].Files.Copied != 2 {
		t.Errorf("%+v", h)
	}
}

// testDaemon: files arrive on the interval, and the status follows the server.
func testDaemon(t *testing.T, s *site, server *sftptest.Server) {
	t.Helper()
	s.run("status").gives(1).says("no daemon runs")
	d := s.daemon()
	look := func() (c interapp.Connector) {
		t.Helper()
		strictly(t, s.run("status", "results", "--json").stdout, &c)
		return c
	}
	d.until("a pass ended", func() bool { return look().ConnectionStatus == "Connection Valid" && look().Running == nil })
	s.run("status").gives(0, "CONNECTION STATUS", "results", "Connection Valid", "succeeded")
	put(t, server.Root, "new/c.csv", "gamma", 0) // still changing, for all we know: files.settle holds
	d.until("the new file arrived", func() bool { return s.exists("results/new/c.csv") })
	sameText(t, s.path("results/new/c.csv"), "gamma")

	server.Stop()
	d.until("the server is missed", func() bool { return look().ConnectionStatus == "Connection Refused" })
	s.run("status").gives(1, "Connection Refused", status.ConnectionRefused.Hint())
	server.Restart()
	d.until("the server is back", func() bool { return look().ConnectionStatus == "Connection Valid" })
	put(t, server.Root, "d.csv", "delta", old)
	d.until("files arrive again", func() bool { return s.exists("results/d.csv") })

	if err := os.Remove(s.path("results/a.csv")); err != nil {
		t.Fatal(err)
	}
	var pass interapp.Pass
	strictly(t, s.run("apply", "results", "--json").gives(0).stdout, &pass)
	if pass.Files.Copied != 1 || pass.Mode != "apply" {
		t.Errorf("%+v", pass)
	}
	if line := "mode=apply"; !strings.Contains(d.stderr.String(), line) || !strings.Contains(d.stderr.String(), "pass="+pass.Pass+" ") {
		t.Errorf("the daemon did not do pass %s:\n%s", pass.Pass, d.stderr.String())
	}
	sameText(t, s.path("results/a.csv"), "alpha")
	started := time.Now()
	d.stop().gives(0).says("stopped")
	if took := time.Since(started); took > stopWithin {
		t.Errorf("stopping took %s", took)
	}
}

func sameText(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
}
