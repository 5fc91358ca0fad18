package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/store/sftp/sftptest"
)

const asking = "  %s:\n    sftp: {host: 127.0.0.1, port: %d, username: %s, authentication: key-pairs, key_pairs_path: %q}\n    files: {source_directory_path: %q, destination_directory_path: ./%s}\n"

func unknownHost(name string, e sftptest.Endpoint) string {
	return fmt.Sprintf(asking, name, e.Port, e.User, e.PrivateKeyPath, e.Root, name)
}

// Nobody sits before a daemon, also when it was started on a terminal.
func TestDaemonNeverAsks(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	s := newSite(t, "connectors:\n%s    automatic_sftp_file_sync: 1s\n", unknownHost("results", server.Endpoint))
	r, _ := s.onTerminal("run")
	r.until("it has answered by itself", func() bool { return strings.Contains(r.stdout.String(), "Host Key Unknown") })
	if o := r.stop().gives(0); strings.Contains(o.stdout, "(yes/no)") {
		t.Error("it asked")
	}
}

// Several questions come one after the other, each has its answer, and the bar
// leaves them alone.
func TestQuestionsOfSeveralConnectors(t *testing.T) {
	t.Parallel()
	one, two, busy := sftptest.StartFaulty(t, sftptest.Faults{}), sftptest.StartFaulty(t, sftptest.Faults{}), slow(t)
	put(t, one.Root, "a.csv", "x", old)
	put(t, two.Root, "a.csv", "x", old)
	s := newSite(t, "connectors:\n%s%s  busy:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./busy}\n",
		unknownHost("one", one.Endpoint), unknownHost("two", two.Endpoint), login(busy.Endpoint), busy.Root)
	r, user := s.onTerminal("apply")
	const question = "Trust it (yes/no)? "
	r.until("the first question, while a copy goes on", func() bool {
		return strings.Contains(r.stdout.String(), question) && s.exists("busy/big.bin")
	})
	if _, err := user.WriteString("yes\n"); err != nil {
		t.Fatal(err)
	}
	r.until("the second question", func() bool { return strings.Count(r.stdout.String(), question) == 2 })
	if _, err := user.WriteString("yes\n"); err != nil {
		t.Fatal(err)
	}
	o := r.wait(time.Minute).gives(0)
	for i, part := range strings.Split(o.stdout, question)[1:] {
		if !strings.HasPrefix(part, "yes") {
			t.Errorf("after question %d: %q", i+1, part[:min(len(part), 200)])
		}
	}
	for _, name := range []string{"one/a.csv", "two/a.csv"} {
		if !s.exists(name) {
			t.Errorf("%s was not copied", name)
		}
	}
}

// A pass that cannot be ended holds up a reload, but not the end of the program,
// and its connector is not unknown meanwhile.
func TestSignalsAreHeardWhileAReloadWaits(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	s := &site{t, t.TempDir()}
	pipe := s.path("known_hosts") // who reads it waits for what nobody writes
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	sftp := strings.Replace(login(server.Endpoint), fmt.Sprintf("%q", server.KnownHosts), fmt.Sprintf("%q", pipe), 1)
	configure := func(to string) {
		s.configure("connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: %s}\n    automatic_sftp_file_sync: 1s\n", sftp, server.Root, to)
	}
	configure("./results")
	r := s.spawn("run")
	r.until("it runs", func() bool { return strings.Contains(r.stderr.String(), "running") })
	r.until("a pass is stuck", func() bool { // a pipe that nobody reads cannot be opened, see fifo(7)
		writer, err := os.OpenFile(pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			t.Cleanup(func() { writer.Close() })
		}
		return err == nil
	})
	configure("./moved")
	client := s.operator()
	defer client.Close()
	r.signal(syscall.SIGHUP)
	r.until("the reload waits", func() bool {
		_, _, err := client.Apply(context.Background(), "results", 0)
		return err != nil && strings.Contains(err.Error(), "try again in a moment")
	})
	r.signal(os.Interrupt)
	r.wait(stopWithin+10*time.Second).gives(1).says("stopping", "did not end within")
}
