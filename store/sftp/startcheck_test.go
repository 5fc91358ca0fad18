package sftp

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/sshclient"
	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
)

// A stream that does not begin as SFTP is reported with what came, in either direction.
func TestTextInsteadOfSFTP(t *testing.T) {
	const sftpServer = "/usr/lib/openssh/sftp-server"
	packet := func(version byte) string { // a file with a VERSION packet
		path := filepath.Join(t.TempDir(), "packet")
		writeFile(t, path, string([]byte{0, 0, 0, 5, 2, 0, 0, 0, version}))
		return path
	}
	for name, tt := range map[string]struct{ command, text, hint string }{
		"a greeting":             {"echo Welcome to the machine; exec " + sftpServer, `text instead of SFTP: "Welcome to the machine"`, "login shell"},
		"two lines":              {"echo Welcome; echo to the machine; exec " + sftpServer, `"Welcome to the machine"`, "login shell"},
		"no line end":            {"printf Welcome; exec " + sftpServer, `"Welcome"`, "login shell"},
		"a short one":            {"echo hi; exec " + sftpServer, `"hi"`, "login shell"},
		"nothing after it":       {"echo Welcome; exec cat >/dev/null", `"Welcome"`, "login shell"},
		"an account that is off": {"echo This account is currently not available.; exit 1", "currently not available", "login shell"},
		"a short one and an end": {"echo no; exit 1", `"no"`, "login shell"},
		"no such program":        {"/nonexistent/sftp-server", "with status 127 (no such command)", "does not start"},
		"a silent end":           {"exit 7", "with status 7", "does not start"},
		"another version":        {"cat " + packet(4) + "; exec cat >/dev/null", "speaks SFTP version 4, version 3 was asked for", "SFTP version 3"},
		"an older version":       {"cat " + packet(2) + "; exec cat >/dev/null", "speaks SFTP version 2, version 3 was asked for", "SFTP version 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{Subsystem: tt.command})
			_, down := Open(t.Context(), byKey(server.Endpoint), nil)
			_, up := OpenDestination(t.Context(), byKey(server.Endpoint), nil)
			for _, err := range []error{down, up} {
				if !status.Is(err, status.SFTPUnavailable) || !strings.Contains(err.Error(), tt.text) || !strings.Contains(status.HintOf(err), tt.hint) {
					t.Errorf("got %v\nhint %q", err, status.HintOf(err))
				}
			}
			if strings.Contains(down.Error(), "version packet") {
				t.Error("the words of the library are left in:", down)
			}
		})
	}
}

// A server that ends before it is asked anything is reported in the same way.
func TestTextBeforeTheQuestion(t *testing.T) {
	ended := make(chan struct{}, 1)
	cfg := serveSubsystem(t, func(ch ssh.Channel) {
		io.WriteString(ch, "no")
		ch.Close()
		ended <- struct{}{}
	})
	c, err := sshclient.Dial(t.Context(), cfg.Config, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	program, err := c.OpenSubsystem(t.Context(), "sftp")
	if err != nil {
		t.Fatal(err)
	}
	ch := &startChecker{subsystem: program}
	<-ended
	for err == nil { // the end is on its way
		_, err = ch.Write([]byte{0})
	}
	if !strings.Contains(err.Error(), `text instead of SFTP: "no"`) {
		t.Error(err)
	}
}

// Standard error is reported. OpenSSH does not send it.
func TestStandardErrorOfSubsystem(t *testing.T) {
	cfg := serveSubsystem(t, func(ch ssh.Channel) {
		io.WriteString(ch.Stderr(), "out of\n memory\x07\n"+strings.Repeat("x", 4<<20))
	})
	_, err := Open(t.Context(), cfg, nil)
	if !status.Is(err, status.SFTPUnavailable) || !strings.Contains(err.Error(), `ended at once: "out of memory. xxx`) || len(err.Error()) > 500 {
		t.Error(err)
	}
}

// A refused subsystem has the advice that goes with that.
func TestAdviceOfNoSubsystem(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{DisableSFTP: true})
	_, err := Open(t.Context(), byKey(server.Endpoint), nil)
	if hint := status.HintOf(err); !strings.Contains(hint, "enable the sftp subsystem") || errors.Unwrap(err) == nil {
		t.Errorf("%v; hint %q", err, hint)
	}
}
