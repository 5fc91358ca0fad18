package sshclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
)

// readable reports whether a text is fit for an error or a log: one line of
// bounded length.
func readable(text string) bool {
	return utf8.ValidString(text) && len(text) < 4096 && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// FuzzGreeting: what a server says before and as its version is read the same in
// whatever pieces it comes, takes bounded room, and is fit to be shown.
func FuzzGreeting(f *testing.F) {
	for _, text := range []string{
		"SSH-2.0-OpenSSH_9.6\r\n\x00\x00", "SSH-1.99-old\n", "SSH-1.5-older\r\n", "Welcome\r\n\r\nSSH-2.0-x\r\nrest", "SSH-2.0-" + strings.Repeat("x", 300) + "\r\n",
		"220 ProFTPD\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\x15\x03\x01\x00\x02\x02\x22", "Exceeded MaxStartups\r\n", "Not allowed at this time\r\n",
		"\x1b[31mred\x1b[0m\nSSH-2.0-x\n", "\u009b31m\u202eevil\nSSH-2.0-\u0085\n", "\xff\xfe\nSSH-", strings.Repeat("a", 8193), strings.Repeat("\n", 1025), "RFB 003.008\n", "",
	} {
		f.Add([]byte(text), uint8(0))
		f.Add([]byte(text), uint8(3))
	}
	f.Fuzz(func(t *testing.T, said []byte, step uint8) {
		var whole greeting
		rest, err := whole.add(said)
		var split greeting
		var again []byte
		var pieceErr error
		for left := said; len(left) > 0 && pieceErr == nil && !split.done; {
			n := min(len(left), int(step)+1)
			again, pieceErr = split.add(left[:n])
			left = left[n:]
			if split.done {
				again = append(bytes.Clone(again), left...)
			}
			if len(split.line) > maxGreetingLine+1 || len(split.text) > maxGreetingText+1 {
				t.Fatalf("keeps %d and %d bytes", len(split.line), len(split.text))
			}
		}
		if whole.done != split.done || whole.version != split.version || (err == nil) != (pieceErr == nil) || whole.done && err == nil && !bytes.Equal(rest, again) {
			t.Errorf("%q: %+v, %v, in pieces %+v, %v", said, whole, err, split, pieceErr)
		}
		if err != nil && (pieceErr == nil || err.Error() != pieceErr.Error() || !readable(err.Error())) {
			t.Errorf("%q: %q, in pieces %q", said, err, pieceErr)
		}
		if !readable(whole.said()) {
			t.Errorf("%q is shown as %q", said, whole.said())
		}
		if whole.done && err == nil && (!strings.HasPrefix(whole.version, "SSH-") || len(whole.version) > maxVersion || !bytes.HasSuffix(said, rest)) {
			t.Errorf("%q: the version %q, and behind it %q", said, whole.version, rest)
		}
	})
}

// farEnd is a server that has said all that it will ever say.
type farEnd struct {
	net.Conn
	says io.Reader
}

func (c *farEnd) Read(p []byte) (int, error)        { return c.says.Read(p) }
func (c *farEnd) Write(p []byte) (int, error)       { return len(p), nil }
func (c *farEnd) Close() error                      { return nil }
func (c *farEnd) LocalAddr() net.Addr               { return &net.TCPAddr{} }
func (c *farEnd) RemoteAddr() net.Addr              { return &net.TCPAddr{} }
func (c *farEnd) SetDeadline(time.Time) error       { return nil }
func (c *farEnd) SetReadDeadline(t time.Time) error { return nil }

// FuzzHandshake: a login at a server that says whatever it likes ends soon, in a
// status that can be shown.
func FuzzHandshake(f *testing.F) {
	kexInit := ssh.Marshal(struct {
		Kind                                            byte
		Cookie                                          [16]byte
		Kex, Keys, To, From, ToMAC, FromMAC, ToZ, FromZ []string
		ToLang, FromLang                                []string
		Follows                                         bool
		Reserved                                        uint32
	}{20, [16]byte{}, []string{"curve25519-sha256"}, []string{"ssh-ed25519"}, []string{"aes128-ctr"}, []string{"aes128-ctr"},
		[]string{"hmac-sha2-256"}, []string{"hmac-sha2-256"}, []string{"none"}, []string{"none"}, nil, nil, false, 0})
	packet := func(payload []byte) []byte {
		pad := 8 - (5+len(payload))%8 + 8
		return slices.Concat([]byte{0, 0, byte((len(payload) + pad + 1) >> 8), byte(len(payload) + pad + 1), byte(pad)}, payload, make([]byte, pad))
	}
	disconnect := ssh.Marshal(struct {
		Kind         byte
		Reason       uint32
		Words, Where string
	}{1, 2, "too many\x1b[0m logins", ""})
	for _, says := range []string{
		"", "SSH-2.0-x\r\n", "hello\r\nSSH-2.0-x\r\n" + string(packet(kexInit)), "SSH-2.0-x\r\n" + string(packet(disconnect)),
		"SSH-2.0-x\r\n" + string(packet(kexInit)) + string(packet(append([]byte{31}, make([]byte, 60)...))), "SSH-2.0-x\r\n\xff\xff\xff\xff",
		"220 FTP\r\n", "HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0-x\r\n" + string(packet([]byte{2})) + string(packet([]byte{4})),
	} {
		f.Add([]byte(says))
	}
	cfg := Config{Host: "sftp.example", Port: 22, Username: "me", Password: "correct-horse", HostKey: PolicyAcceptNew, KnownHosts: KnownHostsFile(f.TempDir() + "/known_hosts")}.WithDefaults()
	f.Fuzz(func(t *testing.T, says []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		conn := &farEnd{says: bytes.NewReader(says)}
		began := time.Now()
		client, err := handshake(ctx, newTransport(conn, "192.0.2.1:22", conn.Close, time.Second), cfg, newHostKeyCheck(cfg), newStages(nil))
		if client != nil || err == nil {
			t.Fatalf("a login at %q", says)
		}
		if _, ok := errors.AsType[*status.Error](err); !ok {
			t.Errorf("%q: %v has no status", says, err)
		}
		if !readable(err.Error()) || strings.Contains(err.Error(), cfg.Password) {
			t.Errorf("%q: %q", says, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%q: ended after %v", says, took)
		}
	})
}

// FuzzPrompts: whatever a server asks, the password goes out in one round at most, no
// question that asks for a new one gets it, and nothing but what is configured.
func FuzzPrompts(f *testing.F) {
	for _, q := range []string{"Password: ", "Enter new password:", "Current password:", "One-time code:", "PIN:", "Login:", "Second answer please", "", "пароль:", "\xff", "pass\x00word", strings.Repeat("password ", 500)} {
		f.Add(q, "Verification code: ", "second*", false, true)
		f.Add("Press enter", q, q, true, false)
	}
	const password, answer = "correct-horse", "battery-staple"
	f.Fuzz(func(t *testing.T, first, second, pattern string, echo, alone bool) {
		cfg := Config{Username: "me", Password: password, Answers: map[string]string{pattern: answer}}
		p := newPrompts(cfg)
		began, rounds := time.Now(), 0
		for range maxRounds + 2 {
			questions, echos := []string{first, second}, []bool{echo, !echo}
			if alone {
				questions, echos = questions[:1], echos[:1]
			}
			answers, err := p.answer(questions, echos)
			if err != nil {
				if !readable(err.Error()) || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), answer) {
					t.Errorf("%q: %q", questions, err)
				}
				break
			}
			for i, a := range answers {
				if kind := kindOf(questions[i], echos[i]); kind == promptNew && a != "" {
					t.Errorf("%q is answered by %q", questions[i], a)
				}
				if !slices.Contains([]string{"", cfg.Username, password, answer}, a) {
					t.Errorf("%q is answered by %q", questions[i], a)
				}
			}
			if slices.Contains(answers, password) {
				rounds++
			}
			first, second = second, first+"."
		}
		if rounds > 1 {
			t.Errorf("%q, %q: the password went out in %d rounds", first, second, rounds)
		}
		if took := time.Since(began); took > 30*time.Second { // a pattern that needs time beyond all measure
			t.Errorf("%d bytes of a pattern take %v", len(pattern), took)
		}
	})
}

// FuzzCertificate: a certificate beside a key is one, and of that key, or there is an
// error that says so and shows nothing of it.
func FuzzCertificate(f *testing.F) {
	ours, other := sftptest.NewKey(f, sftptest.Ed25519).Signer, sftptest.NewKey(f, sftptest.Ed25519).Signer
	for _, of := range []ssh.Signer{ours, other} {
		cert := &ssh.Certificate{Key: of.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"me"}, ValidBefore: ssh.CertTimeInfinity}
		if err := cert.SignCert(rand.Reader, other); err != nil {
			f.Fatal(err)
		}
		f.Add(ssh.MarshalAuthorizedKey(cert))
		f.Add(ssh.MarshalAuthorizedKey(of.PublicKey()))
	}
	f.Add([]byte("ssh-ed25519-cert-v01@openssh.com AAAA x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		signer, err := withCertificate(data, ours)
		if err != nil {
			if signer != nil || !readable(err.Error()) || len(err.Error()) > 100 {
				t.Errorf("%q: %v, %v", data, signer, err)
			}
			return
		}
		cert, ok := signer.PublicKey().(*ssh.Certificate)
		if !ok || !bytes.Equal(cert.Key.Marshal(), ours.PublicKey().Marshal()) {
			t.Errorf("%q is taken for a certificate of ours", data)
		}
		certificateIn(keyText(data))
	})
}
