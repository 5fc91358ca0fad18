package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

// slow is a server with a file that takes long to read. Some of it arrives at
// once, so that there is an interrupted copy to keep.
func slow(t *testing.T) *sftptest.Faulty {
	t.Helper()
	server := sftptest.StartFaulty(t, sftptest.Faults{Bandwidth: 4 << 20})
	put(t, server.Root, "big.bin", strings.Repeat("0123456789abcdef", bigSize/16), old)
	return server
}

const (
	bigSize      = 48 << 20
	worthKeeping = 8 << 20 // bytes from which on an interrupted copy is kept
)

// progress is how many bytes a daemon's pass has read; none runs: 0.
func progress(t *testing.T, s *site, name string) int64 {
	t.Helper()
	c := connectorOf(t, s, name)
	if c.Running == nil || c.Running.Progress == nil {
		return 0
	}
	return c.Running.Progress.BytesDone
}

// connectorOf is what the daemon says of a connector.
func connectorOf(t *testing.T, s *site, name string) interapp.Connector {
	t.Helper()
	client := s.operator()
	defer client.Close()
	c, err := client.Connector(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A daemon that is told to stop in the middle of a copy ends well and in time,
// and the next pass goes on where it was.
func TestStopKeepsTheInterruptedCopy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		start func(s *site) *running
	}{
		{"inside", func(s *site) *running { return s.daemon() }},
		{"SIGTERM", func(s *site) *running {
			r := s.spawn("run")
			r.until("it runs", func() bool { return strings.Contains(r.stderr.String(), "running") })
			return r
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := slow(t)
			server.Set(func(f *sftptest.Faults) { // what was read has no gaps: one channel commands, one reads
				f.MaxChannels, f.Bandwidth = 2, 12<<20
			})
			s := newSite(t, "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n    automatic_sftp_file_sync: 1s\n", login(server.Endpoint), server.Root)
			r := c.start(s)
			r.until("most of the file is there", func() bool { return progress(t, s, "results") > bigSize*3/4 })
			started := time.Now()
			r.stop().gives(0).says("stopped")
			if took := time.Since(started); took > stopWithin {
				t.Errorf("stopping took %s", took)
			}
			if s.exists("results/big.bin") {
				t.Fatal("the file has its name before it is whole")
			}
			if parts := s.parts("results"); len(parts) != 1 {
				t.Errorf("pending files: %v", parts)
			}
			s.run("history", "results").gives(0, "cancelled")

			server.Set(func(f *sftptest.Faults) { f.Bandwidth = 0 })
			server.ResetCounts()
			s.run("apply").gives(0, "copied big.bin")
			if read := server.Counts().BytesRead; read > bigSize-worthKeeping {
				t.Errorf("%d of %d bytes were read again", read, bigSize)
			}
			sftptest.CompareTrees(t, server.Root, s.path("results"))
			if parts := s.parts("results"); len(parts) != 0 {
				t.Errorf("pending files: %v", parts)
			}
		})
	}
}

// A reload touches only the connectors whose settings changed.
func TestReload(t *testing.T) {
	t.Parallel()
	busy, quick := slow(t), sftptest.StartFaulty(t, sftptest.Faults{})
	busy.Set(func(f *sftptest.Faults) { f.Bandwidth = 1 << 20 })
	put(t, quick.Root, "a.csv", "x", old)
	const text = `connectors:
  busy:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./busy}
    automatic_sftp_file_sync: 1s
  quick:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: %s}
    automatic_sftp_file_sync: 1s
%s`
	configure := func(s *site, quickTo, more string) {
		s.configure(text, login(busy.Endpoint), busy.Root, login(quick.Endpoint), quick.Root, quickTo, more)
	}
	s := &site{t, t.TempDir()}
	configure(s, "./quick", "")
	r := s.spawn("run")
	r.until("it runs", func() bool { return strings.Contains(r.stderr.String(), "running") })
	r.until("both had a pass", func() bool {
		return progress(t, s, "busy") > 0 && connectorOf(t, s, "quick").LastPass != nil
	})
	before := connectorOf(t, s, "busy")

	configure(s, "./quick", "  broken: {}\n")
	r.signal(syscall.SIGHUP)
	r.until("the bad file is refused", func() bool {
		return strings.Contains(r.stderr.String(), "the old one is kept") && strings.Contains(r.stderr.String(), "connectors.broken")
	})
	if after := connectorOf(t, s, "quick"); after.LastPass == nil {
		t.Error("a bad file touched a connector")
	}

	configure(s, "./moved", fmt.Sprintf("  added:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./added}\n    automatic_sftp_file_sync: 1s\n", login(quick.Endpoint), quick.Root))
	r.signal(syscall.SIGHUP)
	r.until("the good file is in force", func() bool { return strings.Contains(r.stderr.String(), "msg=reloaded") })
	r.until("the new connector works", func() bool { return s.exists("added/a.csv") })
	put(t, quick.Root, "b.csv", "x", old)
	r.until("the changed connector copies to its new place", func() bool { return s.exists("moved/b.csv") })
	if s.exists("quick/b.csv") {
		t.Error("the old settings are still in force")
	}
	after := connectorOf(t, s, "busy")
	if after.Running == nil || before.Running == nil || after.Running.Pass != before.Running.Pass || !after.Running.Started.Equal(before.Running.Started) {
		t.Errorf("the pass of the connector that did not change was touched: %+v, before %+v", after.Running, before.Running)
	}
	if n := strings.Count(r.stderr.String(), "msg=reloaded"); n != 1 {
		t.Errorf("%d reloads", n)
	}

	// Without its entry a connector is gone.
	configure(s, "./moved", "")
	r.signal(syscall.SIGHUP)
	r.until("the removed connector is gone", func() bool { return s.run("status", "added").code == 2 })
	r.stop().gives(0)
}

// One pass at a time, whoever asks for it.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	const sample = "connectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n"
	t.Run("apply beside apply", func(t *testing.T) {
		t.Parallel()
		server := slow(t)
		s := newSite(t, sample, login(server.Endpoint), server.Root)
		first := s.spawn("apply")
		first.until("it copies", func() bool { return len(s.parts("results")) > 0 })
		s.run("apply").gives(1).says("another process runs a pass of this connector")
		server.Set(func(f *sftptest.Faults) { f.Bandwidth = 0 })
		first.wait(time.Minute).gives(0, "copied big.bin")
		if n := len(passes(t, s)); n != 1 {
			t.Errorf("%d passes", n)
		}
	})
	t.Run("apply beside a daemon", func(t *testing.T) {
		t.Parallel()
		server := slow(t)
		s := newSite(t, sample+"    automatic_sftp_file_sync: 1s\n", login(server.Endpoint), server.Root)
		r := s.spawn("run")
		r.until("a pass copies", func() bool { return len(s.parts("results")) > 0 })
		put(t, server.Root, "later.csv", "x", old)
		apply := s.start("apply")
		s.start("apply") // joins it
		server.Set(func(f *sftptest.Faults) { f.Bandwidth = 0 })
		apply.wait(time.Minute).gives(0, "succeeded")
		sftptest.CompareTrees(t, server.Root, s.path("results"))
		applies := 0
		for _, p := range passes(t, s) {
			if p.mode == "apply" {
				applies++
			}
		}
		if applies != 1 {
			t.Errorf("%d passes of mode apply, want the daemon's one", applies)
		}
		r.stop().gives(0)
	})
	t.Run("run beside run", func(t *testing.T) {
		t.Parallel()
		s := newSite(t, "connectors:\n  idle:\n    sftp: {host: 127.0.0.1, username: u, password: p}\n    files: {source_directory_path: /, destination_directory_path: ./idle}\n")
		r := s.daemon()
		s.run("run").gives(1).says("another daemon runs with this data directory", s.url())
		s.run("status").gives(0) // and the first one is still found
		r.stop().gives(0)
	})
	t.Run("a daemon out of reach", func(t *testing.T) {
		t.Parallel()
		server := sftptest.StartFaulty(t, sftptest.Faults{})
		put(t, server.Root, "a.csv", "x", old)
		s := newSite(t, sample, login(server.Endpoint), server.Root)
		if err := os.Mkdir(s.path("data"), 0o700); err != nil {
			t.Fatal(err)
		}
		held := flock.New(s.path("data/daemon.lock"))
		if ok, err := held.TryLock(); !ok || err != nil {
			t.Fatal(err)
		}
		s.run("apply").gives(1).says("a daemon runs with")
		s.write("data/daemon.json", fmt.Sprintf(`{"pid":1,"url":"http://127.0.0.1:%d"}`, closedPort(t)))
		s.run("apply").gives(1).says("refused")
		if s.exists("results/a.csv") {
			t.Error("a pass ran beside the daemon")
		}
		if err := held.Unlock(); err != nil {
			t.Fatal(err)
		}
		s.run("apply").gives(0, "copied a.csv") // what a killed daemon left does not count
	})
}

// passRow is a row of the ledger.
type passRow struct{ mode, state string }

// passes reads the ledger's file as it is.
func passes(t *testing.T, s *site) (rows []passRow) {
	t.Helper()
	query(t, s, "SELECT mode, state FROM passes ORDER BY id", func(r *sql.Rows) error {
		var p passRow
		err := r.Scan(&p.mode, &p.state)
		rows = append(rows, p)
		return err
	})
	return rows
}

// query reads the ledger's file, without the program.
func query(t *testing.T, s *site, text string, each func(*sql.Rows) error) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(s.path("data/ledger.db"))+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
