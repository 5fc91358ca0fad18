package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
)

const (
	nginxToken   = "a-token-for-those-behind-nginx"
	secretCanary = "canary-in-each-secret" // which no page may show
)

// behindNginx is a daemon as a browser sees it through nginx.
type behindNginx struct {
	t      *testing.T
	base   *url.URL // https://127.0.0.1:PORT/sftp/
	client *http.Client
}

// startNginx starts nginx at a port, with the configuration of the documents, before the
// daemon at to.
func startNginx(t *testing.T, port int, to string) behindNginx {
	t.Helper()
	text, err := os.ReadFile("../../docs/examples/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate := selfSigned(t, dir)
	conf := string(text)
	for _, change := range [][2]string{
		{"listen 443 ssl", fmt.Sprintf("listen 127.0.0.1:%d ssl", port)},
		{"/etc/ssl/files.example.com.pem", filepath.Join(dir, "cert.pem")},
		{"/etc/ssl/files.example.com.key", filepath.Join(dir, "key.pem")},
		{"http://127.0.0.1:8022", to},
	} {
		if !strings.Contains(conf, change[0]) {
			t.Fatalf("nginx.conf of the documents has no %q", change[0])
		}
		conf = strings.ReplaceAll(conf, change[0], change[1])
	}
	whole := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
	%[2]s
}
`, dir, conf)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	var log stream
	cmd := exec.Command("/usr/sbin/nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("nginx: %v (scripts/install-test-tools installs it)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		late.Stop()
		if t.Failed() {
			t.Logf("nginx said:\n%s", log.end())
		}
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: certificate}}
	t.Cleanup(transport.CloseIdleConnections)
	b := behindNginx{t, &url.URL{Scheme: "https", Host: fmt.Sprintf("127.0.0.1:%d", port), Path: "/sftp/"}, &http.Client{
		Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	waits := time.NewTicker(20 * time.Millisecond)
	defer waits.Stop()
	for late := time.After(10 * time.Second); ; {
		c, err := net.Dial("tcp", b.base.Host)
		if err == nil {
			c.Close()
			return b
		}
		select {
		case <-waits.C:
		case <-late:
			t.Fatalf("nginx does not listen: %v\n%s", err, log.end())
		}
	}
}

// selfSigned writes a certificate for 127.0.0.1, and who trusts it.
func selfSigned(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for name, text := range map[string][]byte{"cert.pem": certificate, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	return pool
}

// do sends a request as a browser does from the origin, or from none for "".
func (b behindNginx) do(method, at, origin string, form url.Values) (*http.Response, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, at, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+nginxToken)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	answer, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	var body strings.Builder
	if _, err := io.Copy(&body, io.LimitReader(answer.Body, 4<<20)); err != nil {
		b.t.Fatal(err)
	}
	if text := body.String(); strings.Contains(text, secretCanary) || strings.Contains(text, nginxToken) {
		b.t.Errorf("%s %s tells a secret", method, at)
	}
	return answer, body.String()
}

// origin is what a browser says that a page of the daemon is from.
func (b behindNginx) origin() string { return b.base.Scheme + "://" + b.base.Host }

var linkInPage = regexp.MustCompile(`\b(href|src|action|formaction)="([^"]*)"`)

// walk follows every link of every page, and fails where one leads out of the path, or
// nowhere. It gives the pages, and where forms are sent.
func (b behindNginx) walk() (pages, forms []string) {
	b.t.Helper()
	for todo := []string{b.base.String()}; len(todo) > 0 && len(pages) < 100; todo = todo[1:] {
		at, err := url.Parse(todo[0])
		if err != nil {
			b.t.Fatal(err)
		}
		if at.Fragment = ""; slices.Contains(pages, at.String()) {
			continue
		}
		pages = append(pages, at.String())
		answer, body := b.do("GET", at.String(), "", nil)
		if answer.StatusCode != http.StatusOK {
			b.t.Errorf("%s: %s", at, answer.Status)
		}
		if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, m := range linkInPage.FindAllStringSubmatch(body, -1) {
			to, err := at.Parse(m[2])
			switch {
			case err != nil, to.Host != b.base.Host, !strings.HasPrefix(to.Path, b.base.Path):
				b.t.Errorf("%s: %s leads out of %s: %v", at, m[0], b.base.Path, err)
			case m[1] == "href" || m[1] == "src":
				todo = append(todo, to.String())
			default:
				forms = append(forms, to.String())
			}
		}
	}
	return pages, forms
}

// Pages and API below a path of an HTTPS host, with the nginx.conf of the documents.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	server := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	put(t, server.Root, "a.csv", "alpha", old)
	s := newSite(t, `connectors:
  results:
    sftp: %s
    files: {source_directory_path: %q, destination_directory_path: ./results}
  secrets:
    sftp: {host: 127.0.0.1, port: 1, username: u, authentication: both, password: %[3]s-1, key_pairs_path: ./none, key_pairs_passphrase: %[3]s-2,
      interactive_answers: {Second: %[3]s-3}, proxy_jump: j@127.0.0.1:1, proxy_jump_password: %[3]s-4}
    files: {source_directory_path: /, destination_directory_path: smb://127.0.0.1/s/d, system_username: u, system_password: %[3]s-5}
  fetched:
    sftp: {credentials_api: {url: "http://127.0.0.1:1/", secret_key: %[3]s-6, space_id: us_1}}
    files: {source_directory_path: /, destination_directory_path: ./fetched}
space_server: {listen: 127.0.0.1:0, secret_keys: [{name: ops, key: %[3]s-7, spaces: [us_1]}]}
spaces: {us_1: {destination_directory_path: ./us_1}}
`, login(server.Endpoint), server.Root, secretCanary)
	text, err := os.ReadFile(s.path("config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	s.write("config.yaml", strings.Replace(string(text), "server: {", fmt.Sprintf(`server: {
  public_url: "https://127.0.0.1:%d/sftp", trusted_proxies: [127.0.0.1],
  tokens: [{name: all, token: %s, scopes: [read, request, apply, configure]}], `, port, nginxToken), 1))
	r := s.daemon("--log-level", "info")
	b := startNginx(t, port, s.url())
	at := func(path string) string { return b.base.JoinPath(path).String() }

	pages, forms := b.walk()
	for _, want := range []string{"connectors/results", "connectors/results/files", "configuration", "requests"} {
		if !slices.Contains(pages, at(want)) {
			t.Errorf("no page leads to %s", at(want))
		}
	}
	apply := at("connectors/results/apply")
	if !slices.Contains(forms, apply) {
		t.Fatalf("no form leads to %s", apply)
	}
	if answer, _ := b.do("GET", b.origin()+"/sftp", "", nil); answer.Header.Get("Location") != "/sftp/" {
		t.Errorf("/sftp: %s, Location %q", answer.Status, answer.Header.Get("Location"))
	}
	if answer, body := b.do("GET", at("api/v1/connectors"), "", nil); answer.StatusCode != http.StatusOK || !strings.Contains(body, `"results"`) {
		t.Errorf("the API: %s: %.200s", answer.Status, body)
	}
	b.hearsAtOnce()
	b.signsIn(s)
	b.refusesByTheAddressThatNginxSaw(r)

	b.applies(s, apply)
}

// applies presses Apply as a browser does, which brings the file, and as a program.
func (b behindNginx) applies(s *site, apply string) {
	t := b.t
	t.Helper()
	if answer, _ := b.do("POST", apply, "https://evil.example", url.Values{}); answer.StatusCode != http.StatusForbidden || s.exists("results/a.csv") {
		t.Errorf("from another origin: %s", answer.Status)
	}
	answer, body := b.do("POST", apply, b.origin(), url.Values{})
	to, err := answer.Location()
	if answer.StatusCode != http.StatusSeeOther || err != nil || !strings.HasPrefix(to.String(), b.base.String()) {
		t.Fatalf("Apply: %s, Location %q (%v): %.500s", answer.Status, answer.Header.Get("Location"), err, body)
	}
	if answer, _ := b.do("GET", to.String(), "", nil); answer.StatusCode != http.StatusOK {
		t.Errorf("after Apply %s: %s", to, answer.Status)
	}
	waits := time.NewTicker(20 * time.Millisecond)
	defer waits.Stop()
	for late := time.After(30 * time.Second); !s.exists("results/a.csv"); {
		select {
		case <-waits.C:
		case <-late:
			t.Fatal("the file did not arrive after Apply")
		}
	}
	// The API tells where to look with a path of its own host.
	answer, body = b.do("POST", b.base.JoinPath("api/v1/connectors/results/apply").String(), "", nil)
	if to, err := answer.Location(); err != nil || answer.StatusCode != http.StatusAccepted || !strings.HasPrefix(to.Path, "/sftp/api/v1/") {
		t.Errorf("Apply by the API: %s, Location %v (%v): %.200s", answer.Status, to, err, body)
	}
}

// hearsAtOnce opens the stream of events: nginx holds back nothing of it.
func (b behindNginx) hearsAtOnce() {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.base.JoinPath("api/v1/events").String(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+nginxToken)
	answer, err := (&http.Client{Transport: b.client.Transport, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	if line, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil || line != ": connected\n" {
		b.t.Errorf("the stream of events: %s: %q (%v)", answer.Status, line, err)
	}
}

// signsIn has a browser follow the link of 'open', which leads through nginx; then its
// cookie is enough.
func (b behindNginx) signsIn(s *site) {
	b.t.Helper()
	link := strings.TrimSpace(s.run("open").gives(0).stdout)
	if !strings.HasPrefix(link, b.base.String()) {
		b.t.Fatalf("the link is %s, not below %s", link, b.base)
	}
	cookies, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	browser := &http.Client{Transport: b.client.Transport, Timeout: time.Minute, Jar: cookies}
	for _, at := range []string{link, b.base.JoinPath("connectors/results").String()} {
		answer, err := browser.Get(at)
		if err != nil {
			b.t.Fatal(err)
		}
		answer.Body.Close()
		if end := answer.Request.URL; answer.StatusCode != http.StatusOK || !strings.HasPrefix(end.Path, b.base.Path) || strings.Contains(end.Path, "sign-in") {
			b.t.Errorf("signed in by the link: %s ends at %s", answer.Status, end.Path)
		}
	}
	// Nobody else has it: who is not signed in is led to where that is done, below the path.
	answer, err := (&http.Client{Transport: b.client.Transport, Timeout: time.Minute}).Get(b.base.JoinPath("connectors/results").String())
	if err != nil {
		b.t.Fatal(err)
	}
	answer.Body.Close()
	if end := answer.Request.URL; end.Path != b.base.Path+"sign-in" {
		b.t.Errorf("without a token: %s ends at %s", answer.Status, end.Path)
	}
}

// refusesByTheAddressThatNginxSaw sends a wrong token, with a lie about where it is from.
func (b behindNginx) refusesByTheAddressThatNginxSaw(daemon *running) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.base.JoinPath("api/v1/connectors").String(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer not-the-token")
	r.Header.Set("X-Forwarded-For", "203.0.113.9")
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}} // not nginx's own
	transport := b.client.Transport.(*http.Transport).Clone()
	transport.DialContext = from.DialContext
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	answer.Body.Close()
	daemon.until("it logs the refusal as fail2ban reads it", func() bool {
		return strings.Contains(daemon.stderr.String(), `msg="token refused" address=127.0.0.2`)
	})
	if answer.StatusCode != http.StatusUnauthorized || strings.Contains(daemon.stderr.String(), "address=203.0.113.9") {
		b.t.Errorf("a wrong token: %s", answer.Status)
	}
}
