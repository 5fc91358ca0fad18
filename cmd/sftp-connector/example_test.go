package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/smb/smbtest"
)

// TestExampleForReal runs config.example.yaml, with nothing changed but names of
// hosts and paths that exist here: its share gets what is on an SFTP server, and
// its upload goes to its own Space, which imports it.
func TestExampleForReal(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	share := smbtest.Start(t, smbtest.Options{})
	text, err := os.ReadFile("../../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	api, receiver := port(t), port(t)
	s := &site{t, t.TempDir()}
	example := string(text)
	for _, change := range [][2]string{
		{"listen: 127.0.0.1:8022", fmt.Sprintf("listen: 127.0.0.1:%d", api)},
		{"listen: 127.0.0.1:2022", fmt.Sprintf("listen: 127.0.0.1:%d", receiver)},
		{"public_host: sftp.example.com", `public_host: ""`},
		{"public_port: 22 ", "public_port: 0 "},
		{"host: sftp.vendor.example", "host: 127.0.0.1"},
		{"host: 192.0.2.10", fmt.Sprintf("host: 127.0.0.1\n      port: %d", server.Port)},
		{"username: invoices", "username: " + server.User},
		{"key_pairs_path: ./id_ed25519", "key_pairs_path: " + server.PrivateKeyPath},
		{"source_directory_path: /out/invoices", "source_directory_path: " + server.Root},
		{"smb://files.example.com/results/", "smb://" + share.Addr + "/" + share.Share + "/"},
		{`EXAMPLE\collector `, share.User + " "},
		{`EXAMPLE\collector` + "\n", share.User + "\n"},
		{"https://api.example.com", fmt.Sprintf("http://127.0.0.1:%d", api)},
		{"space_id: us_sp_456", "space_id: us_sp_123"},
	} {
		if !strings.Contains(example, change[0]) {
			t.Fatalf("the example has no %q", change[0])
		}
		example = strings.ReplaceAll(example, change[0], change[1])
	}
	s.write("config.yaml", example)
	for name, value := range map[string]string{
		"SFTP_PASSWORD": "none", "BILLING_TOKEN": "a-token-of-the-test", "SHARE_PASSWORD": share.Password,
		"UPLOAD_SECRET_KEY": "sk_of_the_example", "SPACE_SECRET_KEY": "sk_of_the_example",
	} {
		t.Setenv(name, value)
	}
	s.run("config", "check").gives(0)
	put(t, server.Root, "2026/invoice.pdf", "an invoice", old)
	put(t, s.path("outgoing"), "day/report.csv", "a report", old)

	r := s.start("run")
	r.until("the report was imported", func() bool {
		data, err := os.ReadFile(s.path("us_sp_123/day/report.csv"))
		return err == nil && string(data) == "a report"
	})
	r.until("its original was moved", func() bool {
		_, err := os.Stat(s.path("outgoing/sent/day/report.csv"))
		return err == nil
	})
	r.until("the inbox is empty", func() bool {
		left, _ := filepath.Glob(s.path("data/spool/us_sp_123/objects/*"))
		return len(left) == 0
	})
	s.run("apply", "invoices").gives(0, "succeeded")
	if data, err := os.ReadFile(filepath.Join(share.Dir, "in", "2026", "invoice.pdf")); err != nil || string(data) != "an invoice" {
		t.Errorf("on the share: %q, %v", data, err)
	}
	s.run("check", "invoices", "outgoing").gives(0, "invoices: Connection Valid", "outgoing: Connection Valid", "credentials")
	s.run("upload", "outgoing", s.path("config.yaml"), "--name", "by hand.txt").gives(0)
	r.until("the file put by hand was imported", func() bool {
		_, err := os.Stat(s.path("us_sp_123/by hand.txt"))
		return err == nil
	})
	r.signal(syscall.SIGTERM)
	o := r.stop().gives(0)
	for _, secret := range []string{share.Password, "sk_of_the_example"} {
		if strings.Contains(o.stderr+o.stdout, secret) {
			t.Errorf("a secret was logged:\n%s", o.stderr)
		}
	}
}

// port is a free port of loopback.
func port(t *testing.T) int {
	t.Helper()
	p, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
