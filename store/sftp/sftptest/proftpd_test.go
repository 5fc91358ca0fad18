package sftptest_test

import (
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"sftpconnector/store/sftp/sftptest"
)

func TestProFTPD(t *testing.T) {
	s := sftptest.StartProFTPD(t, sftptest.ProFTPDOptions{})
	exercise(t, newClient(t, s.Endpoint), s.Root)
	exercise(t, newClient(t, s.Endpoint, ssh.Password(s.Password)), s.Root)
	if _, err := dial(t, s.Endpoint, ssh.Password("wrong")); err == nil {
		t.Error("a wrong password was accepted")
	}
	if ops := s.Operations(); !strings.Contains(ops, s.Root) {
		t.Errorf("operations: %q", ops)
	}
	s.Restart()
	exercise(t, newClient(t, s.Endpoint), s.Root)
	s.Stop()
	if _, err := dial(t, s.Endpoint); err == nil {
		t.Error("a stopped server answers")
	}
}
