package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

const idle = "connectors:\n  idle:\n    sftp: {host: 127.0.0.1, username: u, password: p}\n    files: {source_directory_path: /, destination_directory_path: ./idle}\n"

// What a killed daemon left is gone before the next one can be found: until
// that one listens, nobody is sent to the old port.
func TestStaleDaemonInfoIsRemoved(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := &site{t, t.TempDir()}
	s.write("config.yaml", fmt.Sprintf("server: {listen: %q}\n", taken.Addr())+idle)
	if err := os.Mkdir(s.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("data/daemon.json", `{"pid":1,"url":"http://127.0.0.1:1"}`)
	s.run("run").gives(1).says("server.listen")
	if s.exists("data/daemon.json") {
		t.Error("the old one is still there")
	}
}

// A verb that looks for a daemon at that moment does not keep one from starting.
func TestClaimOutlastsASearch(t *testing.T) {
	t.Parallel()
	s := newSite(t, idle)
	if err := os.Mkdir(s.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	look := flock.New(s.path("data/daemon.lock"))
	if ok, err := look.TryRLock(); !ok || err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = look.Unlock() })
	s.daemon().stop().gives(0)
}

// The verbs trust the certificate of the configuration, whatever host it is for.
func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		template x509.Certificate
	}{
		{"host", x509.Certificate{DNSNames: []string{"sftp.example.com"}}},
		{"wildcard", x509.Certificate{DNSNames: []string{"*.example.com"}}},
		{"address", x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := &site{t, t.TempDir()}
			s.certificate(c.template)
			s.write("config.yaml", "server: {listen: 127.0.0.1:0, tls: {certificate: ./own.pem, key: ./own.key}}\n"+idle)
			r := s.daemon()
			s.run("status").gives(0, "idle")
			s.certificate(c.template) // another one of the same name
			s.run("status").gives(1).says("certificate")
			r.stop().gives(0)
		})
	}
}

// certificate writes own.pem, which has signed itself, and own.key.
func (s *site) certificate(template x509.Certificate) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signed, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("own.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})))
	s.write("own.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// A name that the daemon does not have is wrong usage, also when the file has it.
func TestUnknownNameAtADaemon(t *testing.T) {
	t.Parallel()
	s := newSite(t, idle)
	r := s.daemon()
	server := "--server " + s.url()
	for _, verb := range []string{"apply idel", "apply idle idel", "apply idel --json", "status idel", "apply idel " + server, "check idel " + server,
		"history idel " + server, "retry idel " + server} {
		if o := s.run(strings.Fields(verb)...).gives(2).says(`"idel"`); o.stdout != "" {
			t.Errorf("%s: %s", verb, o.stdout)
		}
	}
	s.configure("%s", idle+strings.TrimPrefix(strings.ReplaceAll(idle, "idle", "more"), "connectors:\n"))
	s.run("apply", "more").gives(2).says(`"more"`)
	r.stop().gives(0)
}

// A token that may apply need not be one that may read.
func TestNamesWithoutTheScopeRead(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	s := &site{t, t.TempDir()}
	s.write("config.yaml", fmt.Sprintf("server:\n  listen: 127.0.0.1:0\n  tokens: [{name: ci, token: %q, scopes: [apply]}]\nconnectors:\n  results:\n    sftp: %s\n    files: {source_directory_path: %q, destination_directory_path: ./results}\n",
		strings.Repeat("0123456789abcdef", 4), login(server.Endpoint), server.Root))
	r := s.daemon()
	s.run("apply", "results").gives(0, "succeeded")
	r.stop().gives(0)
}

// With --json there is one document on standard output, or none with the error
// on standard error.
func TestApplyThatCannotStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "%s", idle+strings.TrimPrefix(strings.ReplaceAll(idle, "idle", "more"), "connectors:\n"))
	if err := os.MkdirAll(s.path("data/locks"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"idle", "more"} {
		held := flock.New(s.path("data/locks/" + name + ".lock"))
		if ok, err := held.TryLock(); !ok || err != nil {
			t.Fatal(err)
		}
		defer held.Unlock()
	}
	var all []interapp.Pass
	o := s.run("apply", "--json").gives(1).says("idle: ", "more: ", "another process")
	if err := json.Unmarshal([]byte(o.stdout), &all); err != nil || all == nil || len(all) != 0 {
		t.Errorf("%q: %v", o.stdout, err)
	}
	if o := s.run("apply", "idle", "--json").gives(1).says("another process"); o.stdout != "" {
		t.Errorf("%q", o.stdout)
	}
}
