package sftptest_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

func TestSockets(t *testing.T) {
	c, err := net.Dial("tcp", sftptest.StartBanner(t, "220 FTP ready\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 15)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "220 FTP ready\r\n" {
		t.Errorf("banner: %q, %v", b, err)
	}
	s, err := net.Dial("tcp", sftptest.StartSilent(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = s.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := s.Read(b); !os.IsTimeout(err) {
		t.Errorf("silent: %v", err)
	}
	if _, err := net.Dial("tcp", sftptest.ClosedPort(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("closed port: %v", err)
	}
	if _, err := net.DialTimeout("tcp", sftptest.Blackhole(t), 500*time.Millisecond); !os.IsTimeout(err) {
		t.Errorf("black hole: %v", err)
	}
}

func TestRelayInFront(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	r := sftptest.StartRelay(t, s.Addr, time.Millisecond)
	exercise(t, newClient(t, s.Via(t, r.Addr)), s.Root)
	if up, down := r.Bytes(); up == 0 || down == 0 {
		t.Errorf("counted %d and %d bytes", up, down)
	}
}
