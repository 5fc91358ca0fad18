package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// What the command line or the file gets wrong ends with 2, one clear line a
// mistake on standard error, and before anything was done.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	const good = "connectors:\n  results:\n    sftp: {host: 127.0.0.1, port: 1, username: u, password: secret}\n    files: {source_directory_path: /, destination_directory_path: ./results}\n"
	const bad = "connectors:\n  results:\n    sftp: {hots: 127.0.0.1, port: 70000, username: u, password: secret}\n    files: {source_directory_path: /, destination_directory_path: ./results}\n"
	for _, c := range []struct {
		name, config, args string
		says               []string
	}{
		{"no such verb", good, "aply", []string{`unknown command "aply"`}},
		{"no such flag", good, "apply --fast", []string{"unknown flag: --fast"}},
		{"flag of another verb", good, "check --yes", []string{"unknown flag: --yes"}},
		{"flag without value", good, "apply --token", []string{"flag needs an argument"}},
		{"log level", good, "apply --log-level loud", []string{`--log-level "loud" is not one of debug, info, warn, error`}},
		{"log level of run", good, "run --log-level loud", []string{`--log-level "loud"`}},
		{"log format", good, "check --log-format xml", []string{`--log-format "xml" is not one of text, json`}},
		{"ls without a name", good, "ls", []string{"accepts 1 arg(s), received 0"}},
		{"ls with two", good, "ls results more", []string{"accepts 1 arg(s), received 2"}},
		{"history without a name", good, "history", []string{"accepts 1 arg(s), received 0"}},
		{"history of none", good, "history results --passes 0", []string{"--passes"}},
		{"history of too many", good, "history results --files 1001", []string{"--files"}},
		{"retry without a name", good, "retry", []string{"requires at least 1 arg(s)"}},
		{"trust without a name", good, "trust", []string{"accepts 1 arg(s), received 0"}},
		{"run with a name", good, "run results", []string{"unknown command"}},
		{"demo with a name", good, "demo results", []string{"unknown command"}},
		{"version with a name", good, "version 2", []string{"unknown command"}},
		{"no such config verb", good, "config chekc", []string{"unknown command"}},
		{"config check with a name", good, "config check results", []string{"unknown command"}},
		{"apply of an unknown one", good, "apply result", []string{`there is no connector "result"`, "results"}},
		{"check of an unknown one", good, "check result", []string{`there is no connector "result"`}},
		{"ls of an unknown one", good, "ls result", []string{`there is no connector "result"`}},
		{"history of an unknown one", good, "history result", []string{`there is no connector "result"`}},
		{"retry of an unknown one", good, "retry result", []string{`there is no connector "result"`}},
		{"trust of an unknown one", good, "trust result --yes", []string{`there is no connector "result"`}},
		{"no file", "", "apply", []string{"there is no configuration file", "config.example.yaml"}},
		{"no file to check", "", "config check", []string{"there is no configuration file"}},
		{"no file to run", "", "run", []string{"there is no configuration file", "an empty file will do", "in the browser"}},
		{"bad file", bad, "config check", []string{"config.yaml:3: connectors.results.sftp.hots: ", "host", "config.yaml:3: connectors.results.sftp.port: "}},
		{"bad file for apply", bad, "apply", []string{"connectors.results.sftp.hots"}},
		{"bad file for check", bad, "check", []string{"connectors.results.sftp.hots"}},
		{"bad file for run", bad, "run", []string{"connectors.results.sftp.hots"}},
		{"bad file for ls", bad, "ls results", []string{"connectors.results.sftp.hots"}},
		{"bad file for status", bad, "status", []string{"connectors.results.sftp.hots"}},
		{"bad file for history", bad, "history results", []string{"connectors.results.sftp.hots"}},
		{"bad file for retry", bad, "retry results", []string{"connectors.results.sftp.hots"}},
		{"bad file for trust", bad, "trust results", []string{"connectors.results.sftp.hots"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &site{t, t.TempDir()}
			if c.config != "" {
				s.write("config.yaml", c.config)
			}
			o := s.run(strings.Fields(c.args)...).gives(2).says(c.says...)
			if o.stdout != "" {
				t.Errorf("on standard output:\n%s", o.stdout)
			}
			mistakes := 1
			if c.config == bad {
				mistakes = 2
			}
			if lines := strings.Count(o.stderr, "\n"); lines > mistakes {
				t.Errorf("%d lines for %d mistakes:\n%s", lines, mistakes, o.stderr)
			}
			if s.exists("data") || s.exists("results") {
				t.Error("something was done before the mistake was found")
			}
		})
	}
}

// What cannot be done ends with 1 and says why.
func TestCannotBeDone(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	sample := fmt.Sprintf("connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n", login(server.Endpoint), server.Root)
	refused := strings.Replace(sample, fmt.Sprintf("port: %d", server.Port), fmt.Sprintf("port: %d", closedPort(t)), 1)
	unmounted := strings.Replace(sample, "./results", "./mnt/results", 1)
	taken := "data_directory: ./file/data\n" + sample
	for _, c := range []struct {
		name, config, args string
		stdout, stderr     string
	}{
		{"check: no server", refused, "check", "Connection Refused", ""},
		{"apply: no server", refused, "apply", "Connection Refused", ""},
		{"apply --json: no server", refused, "apply results --json", `"connection_status": "Connection Refused"`, ""},
		{"ls: no server", refused, "ls results", "", "refused"},
		{"trust: no server", refused, "trust results --yes", "", "refused"},
		{"check: no destination", unmounted, "check", "Destination Unavailable", ""},
		{"apply: no destination", unmounted, "apply", "Destination Unavailable", ""},
		{"ls: no destination", unmounted, "ls results", "", "no such file or directory"},
		{"apply: no data directory", taken, "apply", "", "not a directory"},
		{"run: no data directory", taken, "run", "", "make data directory"},
		{"status: no daemon", sample, "status", "", "no daemon runs"},
		{"status: nothing at --server", sample, fmt.Sprintf("status --server http://127.0.0.1:%d", closedPort(t)), "", "refused"},
		{"apply: nothing at --server", sample, fmt.Sprintf("apply results --server http://127.0.0.1:%d", closedPort(t)), "", "refused"},
		{"check: --server is no URL", sample, "check results --server ftp://127.0.0.1", "", "URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "%s", c.config)
			s.write("file", "not a directory")
			s.run(strings.Fields(c.args)...).gives(1, c.stdout).says(c.stderr)
		})
	}
}

// closedPort is a port of loopback where nobody listens.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A pass that ran and left files behind ends with 3; files that wait are no failure.
func TestSomeFilesFailed(t *testing.T) {
	t.Parallel()
	sample := func(e sftptest.Endpoint, more string) string {
		return fmt.Sprintf("connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results%s}\n", login(e), e.Root, more)
	}
	t.Run("refused file", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{Fail: func(op sftptest.Op, path string) sftptest.Status {
			if op == sftptest.OpOpen && filepath.Base(path) == "no.csv" {
				return sftptest.StatusPermissionDenied
			}
			return sftptest.StatusOK
		}})
		put(t, server.Root, "no.csv", "x", old)
		put(t, server.Root, "yes.csv", "x", old)
		s := newSite(t, "%s", sample(server.Endpoint, ""))
		s.run("apply").gives(3, "partial", "no.csv", "ermission denied", "let this user read it")
		sameText(t, s.path("results/yes.csv"), "x")
	})
	t.Run("quarantined", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{})
		put(t, server.Root, "bad.csv", "x", old)
		s := newSite(t, "%s", sample(server.Endpoint, ""))
		s.quarantine("bad.csv", server.Root)
		s.run("ls", "results").gives(3, "quarantined", "bad.csv")
		s.run("apply").gives(3, "partial")
		if s.exists("results/bad.csv") {
			t.Error("a quarantined file was copied")
		}
		s.run("retry", "results", "other.csv").gives(0, "no quarantined file matches")
		s.run("retry", "results", "bad.csv").gives(0, "released bad.csv")
		s.run("apply").gives(0, "copied bad.csv")
	})
	t.Run("unsafe", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{})
		put(t, server.Root, "good.csv", "x", old)
		server.Set(func(f *sftptest.Faults) {
			f.Inject = map[string][]sftptest.Injected{server.Root: sftptest.InjectNames("../outside.csv")}
		})
		s := newSite(t, "%s", sample(server.Endpoint, ""))
		s.run("ls", "results").gives(3, "unsafe")
		s.run("apply").gives(3, "partial", "copied good.csv")
		if s.exists("outside.csv") {
			t.Error("a name led out of the destination")
		}
	})
	t.Run("conflict", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{})
		put(t, server.Root, "a.csv", "theirs", old)
		s := newSite(t, "%s", sample(server.Endpoint, ""))
		put(t, s.path("results"), "a.csv", "mine", time.Hour)
		s.run("apply").gives(3, "partial", "a.csv", "files.on_conflict")
		sameText(t, s.path("results/a.csv"), "mine")
	})
	t.Run("waiting", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{})
		put(t, server.Root, "young.csv", "x", 0)
		s := newSite(t, "%s", sample(server.Endpoint, ", minimum_age: 1h"))
		s.run("ls", "results").gives(0, "waiting", "files.minimum_age asks for")
		s.run("apply").gives(0, "succeeded")
	})
	t.Run("one of two connectors", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{})
		put(t, server.Root, "a.csv", "x", old)
		s := newSite(t, "%s  gone:\n    sftp: {host: 127.0.0.1, port: %d, username: u, password: p}\n    files: {source_directory_path: /, destination_directory_path: ./gone}\n", sample(server.Endpoint, ""), closedPort(t))
		s.run("apply", "results").gives(0)
		s.run("apply").gives(1, "Connection Refused", "succeeded")
		s.run("check").gives(1, "gone: Connection Refused", "results: Connection Valid")
	})
}

// quarantine records in the ledger that a file failed for good.
func (s *site) quarantine(name, root string) {
	s.t.Helper()
	info, err := os.Stat(filepath.Join(root, name))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.MkdirAll(s.path("data"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	ctx := context.Background()
	l, err := ledger.Open(ctx, s.path("data"))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := l.Connector(ctx, "results")
	if err == nil {
		_, err = c.Fail(ctx, []filesync.Failure{{Source: filesync.Entry{Name: name, Size: info.Size(), ModTime: info.ModTime()},
			Tries: 5, Quarantined: true, Error: "it failed", At: time.Now()}})
	}
	if err := errors.Join(err, l.Close()); err != nil {
		s.t.Fatal(err)
	}
}

func TestVersionAndCompletion(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()} // neither needs a configuration
	s.run("version").gives(0, "sftp-connector ")
	s.run("version", "--json").gives(0, `"version"`, `"platform"`)
	s.run("completion", "bash").gives(0, "__start_sftp-connector")
	s.run("help").gives(0, "Exit codes", "apply", "demo")
	s.run().gives(0, "Usage")
}
