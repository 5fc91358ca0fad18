package sshclient

import (
	"strings"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
)

// sftp.legacy_algorithms is named where it would help, and is not set already.
func TestHintOfNoCommonAlgorithm(t *testing.T) {
	const legacy = "sftp.legacy_algorithms"
	for name, tt := range map[string]struct {
		options sftptest.OpenSSHOptions
		set     bool
		helps   bool
		hint    string
	}{
		"a cipher that it has":       {options: sftptest.OpenSSHOptions{Ciphers: "aes128-cbc"}, helps: true},
		"one of two":                 {options: sftptest.OpenSSHOptions{Ciphers: "aes256-cbc,3des-cbc"}, helps: true},
		"a key exchange":             {options: sftptest.OpenSSHOptions{KexAlgorithms: "diffie-hellman-group1-sha1"}, helps: true},
		"a cipher that nobody has":   {options: sftptest.OpenSSHOptions{Ciphers: "aes256-cbc"}, hint: "aes128-gcm@openssh.com"},
		"it is set":                  {options: sftptest.OpenSSHOptions{Ciphers: "aes256-cbc"}, set: true, hint: "aes128-gcm@openssh.com"},
		"a key exchange of tomorrow": {options: sftptest.OpenSSHOptions{KexAlgorithms: "sntrup761x25519-sha512@openssh.com"}, hint: "curve25519-sha256"},
		"a MAC":                      {options: sftptest.OpenSSHOptions{Ciphers: "aes128-ctr", MACs: "umac-128@openssh.com"}, hint: "hmac-sha2-256-etm@openssh.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := keyLogin(sftptest.StartOpenSSH(t, tt.options).Endpoint)
			cfg.LegacyAlgorithms = tt.set
			_, _, err := connectTo(t, cfg)
			hint := status.HintOf(err)
			if !status.Is(err, status.NoCommonAlgorithm) || strings.Contains(hint, legacy) != tt.helps || !strings.Contains(hint, tt.hint) {
				t.Errorf("%v\nhint %q", err, hint)
			}
			cfg.LegacyAlgorithms = true
			if _, _, err := connectTo(t, cfg); (err == nil) != tt.helps {
				t.Errorf("with legacy algorithms: %v", err)
			}
		})
	}
}

// The network is named where it may be at fault.
func TestHintOfALostConnection(t *testing.T) {
	const network = "network"
	for name, tt := range map[string]struct {
		err  error
		want bool
	}{
		"nothing is known":     {nil, true},
		"an answer is missing": {(&Connection{addr: "a:22"}).Unanswered("no answer"), true},
		"a message of SSH":     {errorOf("ssh: unexpected message type 3 (expected 0)"), false},
		"a packet of SFTP":     {&wire.EndError{Err: &wire.ProtocolError{What: "a packet of 4 bytes"}}, false},
		"words of the server":  {errorOf("ssh: disconnect, reason 11: \"see you\""), false},
	} {
		err := lostError("a:22", tt.err)
		if hint := status.HintOf(err); hint == "" || strings.Contains(hint, network) != tt.want {
			t.Errorf("%s: %v; hint %q", name, err, hint)
		}
	}
}

// A server that is none, one that refuses, and a key that cannot be read have
// advice of their own.
func TestHintsBeforeTheLogin(t *testing.T) {
	for answer, want := range map[string]string{
		"220 ready\r\n":   "FTP",
		"SSH-1.5-old\r\n": "version 1",
		"SSH-2.0-x\r\n" + strings.Repeat("garbage", 1<<10): "does not keep to the SSH protocol",
		"":                             "hosts.deny",
		"Not allowed at this time\r\n": "PerSourcePenalties",
	} {
		_, _, err := connectTo(t, at(t, answering(t, answer, true)))
		if hint := status.HintOf(err); !strings.Contains(hint, want) {
			t.Errorf("%q: %v; hint %q", answer, err, hint)
		}
	}
	cfg := keyLogin(sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint)
	cfg.KeyPath = t.TempDir()
	if hint := hintOf(t, cfg, "is a directory"); !strings.Contains(hint, "sftp.key_pairs_path") || strings.Contains(hint, "username") {
		t.Errorf("hint %q", hint)
	}
}
