package sshclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"

	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// knownHostsCase is a known_hosts file, and who trusts the server by it. Words
// in capitals stand for keys: see newKnownHostsLab.
type knownHostsCase struct {
	name   string
	file   string
	strict bool   // host_key: known-hosts, StrictHostKeyChecking=yes
	isNew  bool   // host_key: accept-new, StrictHostKeyChecking=accept-new
	host   string // sftp.example.com:2222 when empty
	server string // "plain" with three keys when empty; "certified", "expired", "renamed", "rsa", "twin"
	differ string // why OpenSSH says something else
}

var knownHostsCases = []knownHostsCase{
	// Plain names.
	{name: "no line", file: "", isNew: true},
	{name: "its key", file: "HOST ED", strict: true, isNew: true},
	{name: "another key", file: "HOST OTHER"},
	{name: "the second key alone", file: "HOST EC", strict: true, isNew: true},
	{name: "the third key alone", file: "HOST RSA", strict: true, isNew: true},
	{name: "rsa-sha2-512 as the type", file: "HOST rsa-sha2-512 " + "RSABLOB", strict: true, isNew: true},
	{name: "two lines, another first", file: "HOST OTHER\nHOST ED", strict: true, isNew: true},
	{name: "two lines, another last", file: "HOST ED\nHOST OTHER", strict: true, isNew: true},
	{name: "the same line twice", file: "HOST ED\nHOST ED", strict: true, isNew: true},
	{name: "stale RSA beside", file: "HOST STALERSA\nHOST ED", strict: true, isNew: true},
	{name: "stale RSA beside, last", file: "HOST ED\nHOST STALERSA", strict: true, isNew: true},
	{name: "stale ECDSA beside RSA", file: "HOST STALEEC\nHOST RSA"},
	{name: "stale Ed25519 beside RSA", file: "HOST OTHER\nHOST RSA"},
	{name: "stale RSA only", file: "HOST STALERSA"},
	{name: "a type that the server has not", file: "HOST ED", server: "rsa"},
	{name: "both keys of a cluster", file: "HOST OTHER\nHOST ED\nHOST RSA", strict: true, isNew: true, server: "twin"},
	{name: "one key of a cluster", file: "HOST ED", server: "twin"},
	{name: "several names", file: "a.example,HOST,b.example ED", strict: true, isNew: true},
	{name: "another port", file: "[sftp.example.com]:2223 OTHER", isNew: true},
	{name: "another host", file: "[ftp.example.com]:2222 OTHER", isNew: true},
	{name: "upper case in the file", file: "[SFTP.Example.COM]:2222 ED", strict: true, isNew: true},
	{name: "upper case in the configuration", file: "HOST ED", host: "SFTP.Example.COM:2222", strict: true, isNew: true},
	{name: "an empty name in the list", file: ",,HOST ED", strict: true, isNew: true},

	// Names without a port, and port 22.
	{name: "without port", file: "sftp.example.com ED", strict: true, isNew: true},
	{name: "without port, another key", file: "sftp.example.com OTHER", isNew: true},
	{name: "without port beside the right line", file: "sftp.example.com OTHER\nHOST ED", strict: true, isNew: true},
	{name: "without port beside the wrong line", file: "sftp.example.com ED\nHOST OTHER"},
	{name: "without port, another type", file: "sftp.example.com RSA", strict: true, isNew: true,
		differ: "OpenSSH asks for Ed25519 and finds it unknown; the server has the key that is known"},
	{name: "port 22", file: "sftp.example.com ED", host: "sftp.example.com:22", strict: true, isNew: true},
	{name: "port 22 in brackets", file: "[sftp.example.com]:22 ED", host: "sftp.example.com:22", isNew: true},
	{name: "port 22, line of another port", file: "HOST OTHER", host: "sftp.example.com:22", isNew: true},

	// Wildcards and negation.
	{name: "star", file: "* ED", strict: true, isNew: true},
	{name: "star, another key", file: "* OTHER"},
	{name: "star, another key beside its own", file: "* OTHER\nHOST ED", strict: true, isNew: true},
	{name: "wildcard with port", file: "[*.example.com]:2222 ED", strict: true, isNew: true},
	{name: "wildcard with port, another key", file: "[*.example.com]:2222 OTHER"},
	{name: "wildcard with another port", file: "[*.example.com]:2223 OTHER", isNew: true},
	{name: "wildcard for the port", file: "[sftp.example.com]:* ED", strict: true, isNew: true},
	{name: "wildcard for the port, another key", file: "[sftp.example.com]:* OTHER"},
	{name: "wildcard without port", file: "*.example.com ED", strict: true, isNew: true},
	{name: "wildcard without port, another key", file: "*.example.com OTHER", isNew: true},
	{name: "wildcard over the bracket", file: "*example.com]:2222 ED", strict: true, isNew: true},
	{name: "question marks", file: "[sf?p.example.com]:222? ED", strict: true, isNew: true},
	{name: "too many question marks", file: "[sftp?.example.com]:2222 OTHER", isNew: true},
	{name: "negated", file: "*,!HOST OTHER", isNew: true},
	{name: "negated first", file: "!HOST,* OTHER", isNew: true},
	{name: "negated wildcard", file: "*,![*.example.com]:* OTHER", isNew: true},
	{name: "negated only with port", file: "*,!HOST ED", strict: true, isNew: true},
	{name: "another one negated", file: "*,![ftp.example.com]:2222 ED", strict: true, isNew: true},
	{name: "negated alone", file: "!HOST ED", isNew: true},

	// Addresses.
	{name: "IPv4", file: "[127.0.0.1]:2222 ED", host: "127.0.0.1:2222", strict: true, isNew: true},
	{name: "IPv4 without port", file: "127.0.0.1 ED", host: "127.0.0.1:2222", strict: true, isNew: true},
	{name: "address of a name", file: "[127.0.0.1]:2222 ED", isNew: true},
	{name: "address of a name with another key", file: "HOST,[127.0.0.1]:2222 ED\n[127.0.0.1]:2222 OTHER", strict: true, isNew: true},
	{name: "IPv6", file: "[::1]:2222 ED", host: "[::1]:2222", strict: true, isNew: true},
	{name: "IPv6, port 22", file: "::1 ED", host: "[::1]:22", strict: true, isNew: true},
	{name: "IPv6, long form", file: "[::1]:2222 ED", host: "[0:0:0:0:0:0:0:1]:2222", strict: true, isNew: true},
	{name: "IPv6, another key", file: "[::1]:2222 OTHER", host: "[::1]:2222"},

	// Hashed names.
	{name: "hashed", file: "HASHED ED", strict: true, isNew: true},
	{name: "hashed, another key", file: "HASHED OTHER"},
	{name: "hashed without port", file: "HASHEDBARE ED", strict: true, isNew: true},
	{name: "hashed of another host", file: hashedOther + " OTHER", isNew: true},
	{name: "hashed and damaged", file: "|1|AAAA OTHER\n|2|a|b OTHER\nHASHED ED", strict: true, isNew: true},

	// Lines as people write them.
	{name: "comments and blank lines", file: "# HOST OTHER\n\n   \n\t# note\nHOST ED", strict: true, isNew: true},
	{name: "indented", file: " \t HOST ED", strict: true, isNew: true},
	{name: "CRLF", file: "# note\r\n\r\nHOST ED\r\n", strict: true, isNew: true},
	{name: "CRLF and a comment", file: "HOST ED someone@somewhere\r\n", strict: true, isNew: true},
	{name: "tabs", file: "HOST\tED\t# comment", strict: true, isNew: true},
	{name: "no final newline", file: "HOST ED", strict: true, isNew: true},
	{name: "garbage beside", file: "garbage\nHOST\nHOST ssh-ed25519\n\x00\xff\nHOST ED", strict: true, isNew: true},
	{name: "damaged line of this host", file: "HOST ssh-ed25519 AAAA\nHOST ssh-ed25519 !!!!", isNew: true},
	{name: "unknown type", file: "HOST ssh-what AAAA\nHOST ED", strict: true, isNew: true},
	{name: "line of SSH 1", file: "HOST 1024 35 1234567890\nHOST ED", strict: true, isNew: true},
	{name: "type and key differ", file: "HOST ssh-rsa EDBLOB", isNew: true},
	{name: "long line", file: "HOST ED " + strings.Repeat("x", 100_000) + "\n", strict: true, isNew: true},
	{name: "unknown marker", file: "@what HOST OTHER\nHOST ED", strict: true, isNew: true},
	{name: "two markers", file: "@revoked @cert-authority * ED\nHOST ED", strict: true, isNew: true},

	// @revoked.
	{name: "revoked", file: "HOST ED\n@revoked HOST ED"},
	{name: "revoked first", file: "@revoked HOST ED\nHOST ED"},
	{name: "revoked by wildcard", file: "HOST ED\n@revoked * ED"},
	{name: "revoked and nothing else", file: "@revoked * ED"},
	{name: "another key revoked", file: "HOST ED\n@revoked * OTHER", strict: true, isNew: true},
	{name: "revoked beside another good type", file: "HOST RSA\n@revoked * ED", strict: true, isNew: true},
	{name: "revoked for another host", file: "HOST ED\n@revoked ftp.example.com ED", strict: true, isNew: true},
	{name: "revoked without port", file: "sftp.example.com ED\n@revoked sftp.example.com ED", isNew: false,
		differ: "for accept-new OpenSSH takes the key as new, because the line has no port: revoked is revoked"},
	{name: "revoked without port beside the line with it", file: "HOST ED\n@revoked sftp.example.com ED",
		differ: "OpenSSH does not look at lines without a port when it has found the key: revoked is revoked"},
	{name: "revoked and damaged", file: "HOST ED\n@revoked HOST ssh-ed25519 AAAA",
		differ: "OpenSSH passes over it, and trusts what was to be revoked"},
	{name: "revoked of an unknown type", file: "HOST ED\n@revoked HOST ssh-what AAAA", strict: true, isNew: true},

	// @cert-authority.
	{name: "authority", file: "@cert-authority *.example.com CA", strict: true, isNew: true, server: "certified"},
	{name: "authority with port", file: "@cert-authority HOST CA", strict: true, isNew: true, server: "certified"},
	{name: "authority for all", file: "@cert-authority * CA", strict: true, isNew: true, server: "certified"},
	{name: "authority of another domain", file: "@cert-authority *.example.org CA", isNew: true, server: "certified"},
	{name: "foreign authority", file: "@cert-authority * FOREIGN", isNew: true, server: "certified"},
	{name: "foreign authority beside ours", file: "@cert-authority * FOREIGN\n@cert-authority * CA", strict: true, isNew: true, server: "certified"},
	{name: "foreign authority beside the plain key", file: "@cert-authority * FOREIGN\nHOST ED", strict: true, isNew: true, server: "certified"},
	{name: "foreign authority beside the plain key, first", file: "HOST ED\n@cert-authority * FOREIGN", strict: true, isNew: true, server: "certified"},
	{name: "foreign authority beside another key", file: "@cert-authority * FOREIGN\nHOST OTHER", server: "certified"},
	{name: "the plain key of a server with a certificate", file: "HOST ED", strict: true, isNew: true, server: "certified"},
	{name: "authority beside another key", file: "@cert-authority * CA\nHOST OTHER", strict: true, isNew: true, server: "certified"},
	{name: "authority, no certificate", file: "@cert-authority * CA", isNew: true},
	{name: "authority, no certificate, the plain key", file: "@cert-authority * CA\nHOST ED", strict: true, isNew: true},
	{name: "authority, no certificate, another key", file: "@cert-authority * CA\nHOST OTHER"},
	{name: "the authority's key as the host's", file: "HOST CA"},
	{name: "the host's key as an authority", file: "@cert-authority * ED", isNew: true},
	{name: "expired", file: "@cert-authority * CA", isNew: true, server: "expired"},
	{name: "expired beside the plain key", file: "@cert-authority * CA\nHOST ED", strict: true, isNew: true, server: "expired"},
	{name: "certificate of another name", file: "@cert-authority * CA", isNew: true, server: "renamed"},
	{name: "authority revoked", file: "@cert-authority * CA\n@revoked * CA", server: "certified"},
	{name: "certified key revoked", file: "@cert-authority * CA\n@revoked * ED", server: "certified"},
}

// knownHostsLab is a set of servers, and the keys that files name.
type knownHostsLab struct {
	t       *testing.T
	servers map[string]*sftptest.Server
	words   *strings.Replacer
}

func newKnownHostsLab(t *testing.T) *knownHostsLab {
	lab := &knownHostsLab{t: t, servers: make(map[string]*sftptest.Server)}
	host := sftptest.HostKeys(t)
	authority := sftptest.NewKey(t, sftptest.ECDSA)
	other := sftptest.NewKey(t, sftptest.Ed25519)
	start := func(name string, keys []sftptest.Key, extra ...string) {
		lab.servers[name] = sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{HostKeys: keys, Extra: extra})
	}
	certificate := func(principal, validity string) string {
		dir := t.TempDir()
		writeFile(t, dir+"/ca", string(authority.PEM))
		writeFile(t, dir+"/host.pub", string(ssh.MarshalAuthorizedKey(host[0].Signer.PublicKey())))
		command(t, "ssh-keygen", "-q", "-s", dir+"/ca", "-h", "-I", "test", "-n", principal, "-V", validity, dir+"/host.pub")
		return "HostCertificate " + dir + "/host-cert.pub"
	}
	start("plain", host)
	start("rsa", host[2:])
	start("twin", []sftptest.Key{other, host[2]})
	start("certified", host, certificate("sftp.example.com", "-1d:+1d"))
	start("expired", host, certificate("sftp.example.com", "-2d:-1d"))
	start("renamed", host, certificate("ftp.example.com", "-1d:+1d"))

	line := func(k sftptest.Key) string {
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.Signer.PublicKey())))
	}
	blob := func(k sftptest.Key) string {
		return base64.StdEncoding.EncodeToString(k.Signer.PublicKey().Marshal())
	}
	const name = "[sftp.example.com]:2222"
	lab.words = strings.NewReplacer("HOST", name, "HASHEDBARE", knownhosts.HashHostname("sftp.example.com"), "HASHED", knownhosts.HashHostname(name),
		"EDBLOB", blob(host[0]), "RSABLOB", blob(host[2]), "STALERSA", line(sftptest.NewKey(t, sftptest.RSA)), "STALEEC", line(sftptest.NewKey(t, sftptest.ECDSA)),
		"ED", line(host[0]), "EC", line(host[1]), "RSA", line(host[2]), "OTHER", line(other), "CA", line(authority), "FOREIGN", line(sftptest.NewKey(t, sftptest.Ed25519)))
	return lab
}

// The server is trusted by the same known_hosts files as with OpenSSH's client.
func TestKnownHostsAsOpenSSH(t *testing.T) {
	lab := newKnownHostsLab(t)
	for _, tt := range knownHostsCases {
		t.Run(tt.name, func(t *testing.T) {
			if tt.host == "" {
				tt.host = "sftp.example.com:2222"
			}
			if tt.server == "" {
				tt.server = "plain"
			}
			file, server := lab.words.Replace(tt.file), lab.servers[tt.server]
			strict, why := trustedByUs(t, server, tt.host, PolicyKnownHosts, file)
			theirs := trustedByOpenSSH(t, server, tt.host, "yes", file)
			if strict != tt.strict {
				t.Errorf("trusted: %v, want %v: %s", strict, tt.strict, why)
			}
			differs := theirs != strict
			if !strict || !theirs { // a key that is known is not asked about
				isNew, why := trustedByUs(t, server, tt.host, PolicyAcceptNew, file)
				theirs := trustedByOpenSSH(t, server, tt.host, "accept-new", file)
				if isNew != tt.isNew {
					t.Errorf("trusted with accept-new: %v, want %v: %s", isNew, tt.isNew, why)
				}
				differs = differs || theirs != isNew
			}
			if differs != (tt.differ != "") {
				t.Errorf("differs from OpenSSH: %v; expected: %q", differs, tt.differ)
			}
		})
	}
}

// splitHost takes host:port apart.
func splitHost(t *testing.T, addr string) (host, port string) {
	i := strings.LastIndex(addr, ":")
	return strings.Trim(addr[:i], "[]"), addr[i+1:]
}

// trustedByUs logs in to the server as if it had this address.
func trustedByUs(t *testing.T, server *sftptest.Server, addr, policy, file string) (bool, string) {
	t.Helper()
	cfg := keyLogin(server.Endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := connect(ctx, cfg.WithDefaults(), []netip.Addr{netip.MustParseAddr(server.Host)})
	if err != nil {
		t.Fatal(err)
	}
	host, port := splitHost(t, addr)
	cfg.Host, cfg.HostKey, cfg.KnownHosts = host, policy, KnownHostsFile(filepath.Join(t.TempDir(), "known_hosts"))
	fmt.Sscan(port, &cfg.Port)
	cfg = cfg.WithDefaults()
	cfg.Timeouts.Handshake = time.Minute
	writeFile(t, cfg.KnownHosts.String(), file)
	client, err := handshake(ctx, stream, cfg, newHostKeyCheck(cfg), nil)
	if err == nil {
		client.Close()
		return true, ""
	}
	if !strings.Contains(err.Error(), "check the host key of") {
		t.Fatal(err)
	}
	return false, err.Error()
}

// trustedByOpenSSH does the same with the program ssh, which then has no way to log in.
func trustedByOpenSSH(t *testing.T, server *sftptest.Server, addr, checking, file string) bool {
	t.Helper()
	host, port := splitHost(t, addr)
	known := filepath.Join(t.TempDir(), "known_hosts")
	writeFile(t, known, file)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	through := fmt.Sprintf("bash -c 'exec 3<>/dev/tcp/%s/%d; cat <&3 2>/dev/null & trap \"kill $!\" EXIT HUP; cat >&3'", server.Host, server.Port)
	cmd := exec.CommandContext(ctx, "ssh", "-F", "/dev/null", "-o", "ProxyCommand="+through, "-p", port,
		"-o", "StrictHostKeyChecking="+checking, "-o", "UserKnownHostsFile="+known, "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "BatchMode=yes", "-o", "PreferredAuthentications=none", "-o", "KexAlgorithms=curve25519-sha256", "-l", server.User, host)
	said, err := os.Create(known + ".said") // a pipe would be waited for until the proxy ends
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	cmd.Stderr = said
	cmd.Run()
	out := []byte(readText(t, said.Name()))
	refused, accepted := bytes.Contains(out, []byte("Host key verification failed.")), bytes.Contains(out, []byte("Permission denied"))
	if refused == accepted {
		t.Fatalf("ssh says %s", out)
	}
	return accepted
}
