package sftptest_test

import (
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

func TestTinySSH(t *testing.T) {
	s := sftptest.StartTinySSH(t)
	exercise(t, newClient(t, s.Endpoint), s.Root)
	c, err := dial(t, s.Endpoint)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	defer c.Close()
	if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err == nil {
		t.Error("x/crypto bears the answer to a global request: this server is of no use in tests of that")
	}
}
