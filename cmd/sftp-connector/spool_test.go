package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

// piped starts an upload of standard input, which comes through the pipe.
func (s *site) piped(remote string) (r *running, pipe *os.File) {
	s.t.Helper()
	from, pipe, err := os.Pipe()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { pipe.Close() })
	before := len(s.spooled())
	r = s.spawnFrom(from, "upload", "out", "-", "--name", remote)
	from.Close()
	r.until("standard input is read", func() bool { return len(s.spooled()) > before })
	return r, pipe
}

// spooled are the files that keep standard input.
func (s *site) spooled() []string {
	found, err := filepath.Glob(s.path("data/standard-input-*"))
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// Standard input is not left in the data directory: not by who waits for it when
// the program is ended, and not for long by a program that is killed. What
// another one keeps stays.
func TestSpool(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	s := newSite(t, `connectors:
  out:
    direction: upload
    sftp: %s
    files: {source_directory_path: ./outgoing, destination_directory_path: %q}
`, login(server.Endpoint), filepath.Join(server.Root, "box"))
	put(t, s.dir, "a.csv", "alpha", old)

	idle, _ := s.piped("idle.csv")
	idle.signal(os.Interrupt)
	idle.wait(15 * time.Second).gives(1).says("standard input")
	if left := s.spooled(); len(left) > 0 {
		t.Errorf("ended, it leaves %q", left)
	}

	killed, pipe := s.piped("killed.csv")
	if _, err := pipe.WriteString("secret"); err != nil {
		t.Fatal(err)
	}
	killed.signal(os.Kill)
	<-killed.done
	if left := s.spooled(); len(left) != 1 {
		t.Errorf("killed, it leaves %q", left)
	}
	s.run("upload", "out", s.path("a.csv")).gives(0)
	if left := s.spooled(); len(left) > 0 {
		t.Errorf("the next one leaves %q", left)
	}

	alive, pipe := s.piped("alive.csv")
	if _, err := pipe.WriteString("from a "); err != nil {
		t.Fatal(err)
	}
	s.run("upload", "out", s.path("a.csv")).gives(0)
	s.input("beside it", "upload", "out", "-", "--name", "beside.csv").gives(0)
	if _, err := pipe.WriteString("pipe"); err != nil {
		t.Fatal(err)
	}
	pipe.Close()
	alive.wait(time.Minute).gives(0)
	if left := s.spooled(); len(left) > 0 {
		t.Errorf("done, it leaves %q", left)
	}
	for name, want := range map[string]string{"alive.csv": "from a pipe", "beside.csv": "beside it"} {
		if data, err := os.ReadFile(filepath.Join(server.Root, "box", name)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(server.Root, "box")); err != nil || strings.Contains(entries[0].Name(), ".part") || len(entries) != 3 {
		t.Errorf("at the server: %v, %v", entries, err)
	}
}
