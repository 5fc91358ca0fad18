package sftptest_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"sftpconnector/store/sftp/sftptest"
)

func TestFaultyWithoutFaults(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	exercise(t, newClient(t, s.Endpoint), s.Root)
	n := s.Counts()
	if n.Logins != 1 || n.Connections != 1 || n.Channels != 1 || n.Ops[sftptest.OpOpen] != 1 {
		t.Errorf("counts: %+v", n)
	}
}

// The sftp client of OpenSSH pipelines, and asks for more than pkg/sftp.
func TestFaultyWithOpenSSHClient(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{ShuffleReads: true, MaxRead: 7000})
	want := make([]byte, 3<<20+17)
	rand.NewChaCha8([32]byte{1}).Read(want)
	if err := os.WriteFile(filepath.Join(s.Root, "big.bin"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	got := filepath.Join(t.TempDir(), "got.bin")
	cmd := exec.Command("sftp", "-q", "-P", strconv.Itoa(s.Port), "-i", s.PrivateKeyPath,
		"-o", "UserKnownHostsFile="+s.KnownHosts, "-o", "BatchMode=yes", s.User+"@"+s.Host+":big.bin", got)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(got)
	if err != nil || !bytes.Equal(b, want) {
		t.Fatalf("%d bytes of %d, %v", len(b), len(want), err)
	}
}

func TestFaultyInjectsNames(t *testing.T) {
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	s.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{s.Root: sftptest.InjectNames("../outside.csv", "plain.csv")}
	})
	c := newClient(t, s.Endpoint)
	infos, err := c.ReadDir(s.Root)
	if err != nil || len(infos) != 2 {
		t.Fatalf("%v, %v", infos, err)
	}
	for _, name := range []string{"/plain.csv", "/outside.csv", "/../outside.csv"} {
		f, err := c.Open(s.Root + name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if b, err := io.ReadAll(f); err != nil || string(b) != "hostile" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := c.Open(s.Root + "/other.csv"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a name that was not injected: %v", err)
	}
}
