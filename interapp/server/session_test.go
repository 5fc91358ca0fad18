package server_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

// browser keeps cookies, and does not follow redirects by itself.
type browser struct {
	*http.Client
	d *daemon
}

func (d *daemon) newBrowser() *browser {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	c := *d.http.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{&c, d}
}

// get and post give the status, and where the answer leads.
func (b *browser) get(path string) (code int, to string) {
	b.d.t.Helper()
	return b.do(http.MethodGet, path, "", nil)
}

func (b *browser) post(path string, form url.Values) (code int, to string) {
	b.d.t.Helper()
	return b.do(http.MethodPost, path, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
}

func (b *browser) do(method, path, body string, header http.Header) (code int, to string) {
	b.d.t.Helper()
	r, err := http.NewRequestWithContext(b.d.t.Context(), method, b.d.http.URL+path, strings.NewReader(body))
	if err != nil {
		b.d.t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	a, err := b.Do(r)
	if err != nil {
		b.d.t.Fatal(err)
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, a.Body)
	return a.StatusCode, a.Header.Get("Location")
}

func (b *browser) expect(t *testing.T, what string, code int, to string, wantCode int, wantTo string) {
	t.Helper()
	if code != wantCode || to != wantTo {
		t.Errorf("%s: %d %q, want %d %q", what, code, to, wantCode, wantTo)
	}
}

func withPages(s config.Server) server.Options {
	return server.Options{Server: s, Pages: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) })}
}

// A token signs a browser in; what it may do is what the token may, and ends with it.
func TestSessions(t *testing.T) {
	d := newDaemon(t, withPages(eachScope()))
	b := d.newBrowser()
	code, to := b.get("/connectors/a%2Fb?x=1")
	b.expect(t, "without a session", code, to, 303, "../sign-in?next=connectors%2Fa%252Fb%3Fx%3D1")
	code, to = b.get("/sign-in")
	b.expect(t, "the form", code, to, 200, "")
	code, to = b.get("/assets/style.css")
	b.expect(t, "an asset", code, to, 200, "")
	code, to = b.post("/sign-in", url.Values{"token": {"wrong"}, "next": {"requests"}})
	b.expect(t, "wrong token", code, to, 303, "sign-in?failed=1&next=requests")
	code, to = b.post("/sign-in", url.Values{"token": {" " + tokenOf(config.ScopeRead) + "\n"}, "next": {"connectors/a%2Fb?x=1"}})
	b.expect(t, "right token", code, to, 303, "./connectors/a%2Fb?x=1")
	code, to = b.get("/connectors/a%2Fb?x=1")
	b.expect(t, "signed in", code, to, 200, "")
	code, _ = b.get("/api/v1/connectors")
	b.expect(t, "the API", code, "", 200, "")
	code, _ = b.post("/api/v1/connectors/results/apply", nil)
	b.expect(t, "beyond the scope", code, "", 403, "")

	other := eachScope()
	other.Tokens[0].Token = "another-token-of-read"
	d.api.SetServer(other)
	code, _ = b.get("/api/v1/connectors")
	b.expect(t, "the token was replaced", code, "", 401, "")
	d.api.SetServer(eachScope())
	code, _ = b.get("/api/v1/connectors")
	b.expect(t, "the token is back", code, "", 200, "")

	held := b.Jar.Cookies(mustURL(t, d.http.URL))
	if len(held) != 1 || !strings.HasPrefix(held[0].Name, "sftp-connector-") {
		t.Errorf("cookies %v", held)
	}
	code, to = b.post("/sign-out", nil)
	b.expect(t, "sign out", code, to, 303, "sign-in")
	b.Jar.SetCookies(mustURL(t, d.http.URL), held)
	code, _ = b.get("/api/v1/connectors")
	b.expect(t, "a cookie that was copied before", code, "", 401, "")
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A link signs in once.
func TestSignInLink(t *testing.T) {
	d := newDaemon(t, withPages(eachScope()))
	c := interapp.NewClient(d.http.URL, tokenOf(config.ScopeConfigure))
	c.HTTP = d.http.Client()
	link, err := c.SignInLink(t.Context())
	if err != nil || !strings.HasPrefix(link.URL, d.http.URL+"/sign-in?link=") {
		t.Fatalf("%+v %v", link, err)
	}
	path := strings.TrimPrefix(link.URL, d.http.URL)
	b := d.newBrowser()
	if code, _ := b.do(http.MethodHead, path, "", nil); code != 200 {
		t.Errorf("a look at the link: %d", code)
	}
	code, to := b.get(path)
	b.expect(t, "the link", code, to, 303, "./")
	code, _ = b.get("/api/v1/audit")
	b.expect(t, "as the token that made it", code, "", 200, "")
	code, to = b.get(path)
	b.expect(t, "once more, signed in", code, to, 303, "./")
	code, to = d.newBrowser().get(path)
	b.expect(t, "a second time", code, to, 303, "sign-in?failed=link")
}

// A link of a token that was replaced meanwhile signs nobody in.
func TestSignInLinkOfAReplacedToken(t *testing.T) {
	d := newDaemon(t, withPages(eachScope()))
	link, err := d.api.SignInLink("of-configure", d.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	other := eachScope()
	for i := range other.Tokens {
		other.Tokens[i].Token += "-replaced"
	}
	d.api.SetServer(other)
	code, to := d.newBrowser().get(strings.TrimPrefix(link.URL, d.http.URL))
	if code != 303 || to != "sign-in?failed=link" {
		t.Errorf("%d %q", code, to)
	}
}

// A page of another origin cannot use the browser's session.
func TestSessionsAndOtherOrigins(t *testing.T) {
	s := eachScope()
	s.PublicURL = "https://files.example.com/sftp/"
	d := newDaemon(t, withPages(s))
	b := d.newBrowser()
	form := url.Values{"token": {tokenOf(config.ScopeApply)}}.Encode()
	for origin, want := range map[string]int{"https://evil.example": 403, "https://files.example.com": 303, "": 303} {
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		if origin != "" {
			header["Origin"] = []string{origin}
		}
		if code, _ := b.do(http.MethodPost, "/sign-in", form, header); code != want {
			t.Errorf("from %q: %d, want %d", origin, code, want)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.http.URL+"/sign-in", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = "files.example.com"
	a, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	if c := a.Cookies()[0]; !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/sftp/" {
		t.Errorf("cookie %+v", c)
	}
	link, err := d.api.SignInLink("of-read", d.http.URL)
	if err != nil || !strings.HasPrefix(link.URL, "https://files.example.com/sftp/sign-in?link=") {
		t.Errorf("%+v %v", link, err)
	}
}
