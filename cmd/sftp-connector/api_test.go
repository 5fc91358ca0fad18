package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// A daemon that is healthy is asked whatever is wrong with the file by now, which is
// said. Without one, the same file ends a verb.
func TestMistakesDoNotKeepVerbsFromADaemon(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, server.Root, "a.csv", "x", old)
	good := fmt.Sprintf(`server:
  listen: 127.0.0.1:0
  tokens: [{name: tests, token: %s, scopes: [read, request, apply, configure]}]
space_server: {listen: "127.0.0.1:0"}
spaces:
  us_1: {destination_directory_path: ./us_1}
connectors:
  results:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./results}
`, requestToken, login(server.Endpoint), server.Root)
	s := &site{t, t.TempDir()}
	s.write("config.yaml", good)
	r := s.daemon()
	s.run("apply", "results").gives(0)
	bad := strings.Replace(good, "./results", `"${RESULTS_UNSET}"`, 1) + "    colour: red\n"
	s.write("config.yaml", bad)
	verbs := []string{"status", "history results", "apply results", "request results", "retry results", "space list", "space files us_1", "space credentials us_1 --list"}
	for _, verb := range verbs {
		o := s.run(strings.Fields(verb)...).gives(0).says("the daemon runs", "RESULTS_UNSET", "connectors.results.colour")
		if o.stdout == "" {
			t.Errorf("%s prints nothing", verb)
		}
	}
	s.run("config", "check").gives(2).says("RESULTS_UNSET")
	s.write("config.yaml", strings.Replace(bad, requestToken, `"${TOKEN_UNSET}"`, 1))
	s.run("status").gives(0, "results").says("TOKEN_UNSET")
	s.withoutOperator()
	s.run("status").gives(2).says("TOKEN_UNSET", "use --token")
	s.run("status", "--token", requestToken).gives(0, "results")
	s.write("config.yaml", bad)
	r.stop().gives(0)
	for _, verb := range verbs {
		if o := s.run(strings.Fields(verb)...).gives(2).says("RESULTS_UNSET"); strings.Contains(o.stderr, "the daemon runs") {
			t.Errorf("%s: %s", verb, o.stderr)
		}
	}
}

// The ledger is read beside a daemon that has no token for the verb.
func TestHistoryWithoutAToken(t *testing.T) {
	t.Parallel()
	s := &site{t, t.TempDir()}
	s.write("config.yaml", "server:\n  listen: 127.0.0.1:0\n  tokens: [{name: ci, token: "+requestToken+", scopes: [configure]}]\n"+idle)
	r := s.daemon()
	s.withoutOperator()
	s.run("history", "idle").gives(0, "PASS")
	s.run("retry", "idle").gives(0, "no quarantined file")
	s.run("status").gives(2).says("use --token")
	r.stop().gives(0)
}

// A verb without a daemon listens nowhere, and starts no other connector.
func TestVerbsListenNowhere(t *testing.T) {
	t.Parallel()
	var taken []any
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		taken = append(taken, l.Addr())
	}
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, server.Root, "a.csv", "x", old)
	s := &site{t, t.TempDir()}
	s.write("config.yaml", fmt.Sprintf(`server: {listen: %q}
space_server: {listen: %q}
spaces:
  us_1: {destination_directory_path: ./us_1}
connectors:
  results:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./results, settle: 3s}
  other:
    sftp: %[3]s
    files: {source_directory_path: %[4]q, destination_directory_path: ./other}
    automatic_sftp_file_sync: 1s
`, taken[0], taken[1], login(server.Endpoint), server.Root))
	s.run("apply", "results").gives(0, "copied a.csv")
	s.run("request", "results").gives(0, "a.csv")
	s.run("space", "list").gives(0, "us_1")
	s.run("space", "credentials", "us_1").gives(0, "password")
	for _, name := range []string{"other", "data/daemon.json", "data/host_keys", "data/spool"} {
		if s.exists(name) {
			t.Errorf("there is %s", name)
		}
	}
	s.run("history", "other", "--json").gives(0, `"passes": []`)
}

// Ctrl-C ends the work of a verb at the next safe point, and the verb says how far it came.
func TestInterruptedVerbs(t *testing.T) {
	t.Parallel()
	server := slow(t)
	s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n", login(server.Endpoint), server.Root)
	for _, verb := range []string{"apply", "request results"} {
		r := s.spawn(strings.Fields(verb)...)
		r.until("it copies", func() bool { return len(s.parts("results")) > 0 })
		r.signal(os.Interrupt)
		o := r.wait(time.Minute).gives(1)
		if !strings.Contains(o.stdout+o.stderr, "cancelled") {
			t.Errorf("%s says\n%s%s", verb, o.stdout, o.stderr)
		}
	}
	s.run("history", "results").gives(0, "cancelled")
}
