package sshclient

import (
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
)

// saying puts text before what a server says.
func saying(t *testing.T, e sftptest.Endpoint, text string) sftptest.Endpoint {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	target := e.Addr
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				s, err := net.Dial("tcp", target)
				if err != nil {
					return
				}
				defer s.Close()
				io.WriteString(c, text)
				go func() {
					io.Copy(s, c)
					s.Close()
				}()
				io.Copy(c, s)
			}()
		}
	}()
	return e.Via(t, l.Addr().String())
}

// What a server may say before its version is what OpenSSH's client bears.
func TestTextBeforeTheVersion(t *testing.T) {
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	for name, tt := range map[string]struct {
		text string
		ok   bool
	}{
		"a line":            {"Welcome to the file exchange\r\n", true},
		"an empty line":     {"\n", true},
		"colours":           {"\x1b[1mWelcome\x1b[0m\n", true},
		"a long line":       {strings.Repeat("=", 4000) + "\r\n", true},
		"the longest line":  {strings.Repeat("=", 8000) + "\n", true},
		"many lines":        {strings.Repeat("Authorised use only.\r\n", 1000), true},
		"as of another one": {"220 exchange ready\r\n<banner>\r\n", true},
		"umlauts":           {"Wir gr\xfc\xdfen Sie\n", true},
		"a longer line":     {strings.Repeat("=", 9000) + "\r\n", false},
		"too many lines":    {strings.Repeat("no\n", 1100), false},
		"a NUL":             {"wel\x00come\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := saying(t, server.Endpoint, tt.text)
			out, err := exec.CommandContext(t.Context(), "sftp", "-b", "/dev/null", "-P", strconv.Itoa(e.Port), "-i", e.PrivateKeyPath,
				"-F", "/dev/null", "-o", "UserKnownHostsFile="+e.KnownHosts, "-o", "IdentitiesOnly=yes", e.User+"@"+e.Host).CombinedOutput()
			if (err == nil) != tt.ok {
				t.Errorf("OpenSSH's client: %v %s", err, out)
			}
			c, stages, err := connectTo(t, keyLogin(e))
			if (err == nil) != tt.ok {
				t.Fatal(err)
			}
			if err != nil {
				if !status.Is(err, status.NotAnSSHServer) {
					t.Error(err)
				}
				return
			}
			if !strings.HasPrefix(stages[2].Detail, "SSH-2.0-OpenSSH") {
				t.Errorf("the handshake says %q", stages[2].Detail)
			}
			expectSFTP(t, c)
		})
	}
}

// A server that refuses in words of its own is told with them.
func TestRefusalInWords(t *testing.T) {
	for text, want := range map[string]string{
		"Your address is blocked.\r\nCall 555-1234.\r\n": "Your address is blocked",
		"SSH-2.0-" + strings.Repeat("x", 300) + "\r\n":   "version line is 308 bytes long",
	} {
		expectFailure(t, at(t, answering(t, text, true)), status.NotAnSSHServer, status.StageHandshake, want)
	}
	_, _, err := connectTo(t, at(t, answering(t, "Exceeded MaxStartups\r\n", true)))
	if hint := status.HintOf(err); !strings.Contains(hint, "MaxStartups") || strings.Contains(hint, "firewall") {
		t.Errorf("the hint is %q", hint)
	}
}

// What a server says as it disconnects is told, at every stage.
func TestDisconnectInWords(t *testing.T) {
	for text, want := range map[string]string{
		"ssh: handshake failed: ssh: disconnect, reason 12: \"Too many \\\"users\\\"\"": `says "Too many \"users\""`,
		"ssh: disconnect, reason 11: \"\"":                                              "reason 11",
	} {
		bye, ok := disconnectOf(errorOf(text))
		if !ok || !strings.Contains(bye.Error(), want) {
			t.Errorf("%s: %v", text, bye)
		}
	}
	if _, ok := disconnectOf(errorOf("EOF")); ok {
		t.Error("EOF is none")
	}
	// The SSH layer closes the stream, and then gives the reason.
	here, there := net.Pipe()
	defer there.Close()
	c := &Connection{t: newTransport(here, "there", here.Close, time.Minute), addr: "there:22", done: make(chan struct{})}
	c.t.Close()
	c.ended(errorOf(`ssh: disconnect, reason 11: "idle for 10 minutes"`))
	if err := c.Err(); !status.Is(err, status.ConnectionLost) || !strings.Contains(err.Error(), `says "idle for 10 minutes"`) ||
		strings.Contains(status.HintOf(err), "network") {
		t.Errorf("got %v; hint %q", err, status.HintOf(err))
	}
}

type errorOf string

func (e errorOf) Error() string { return string(e) }
