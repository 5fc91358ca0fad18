package smbtest_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/store/smb/smbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	if err := os.WriteFile(filepath.Join(s.Dir, "x.csv"), []byte("data"), 0o666); err != nil {
		t.Fatal(err)
	}
	if out := s.Client("allinfo x.csv"); !strings.Contains(out, "4 bytes") {
		t.Errorf("allinfo: %s", out)
	}
	s.SetPassword("another password")
	if out := s.Client("ls"); !strings.Contains(out, "x.csv") {
		t.Errorf("with another password: %s", out)
	}
	s.SetReadOnly(true)
	if out := s.Client("ls"); !strings.Contains(out, "x.csv") {
		t.Errorf("read-only: %s", out)
	}
	port := s.Port
	s.Restart()
	if out := s.Client("ls"); s.Port != port || !strings.Contains(out, "x.csv") {
		t.Errorf("after a restart at port %d, %d before: %s", s.Port, port, out)
	}
	s.Stop()
	if c, err := net.DialTimeout("tcp", s.Addr, time.Second); err == nil {
		c.Close()
		t.Error("something listens after Stop")
	}
	s.Stop()
}

// A cut ends the sessions, and leaves the server.
func TestCut(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s.Client("ls") // the server has taken c on before this session
	s.Cut()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the connection is not cut: %d bytes, %v", n, err)
	}
	s.Client("ls")
}
