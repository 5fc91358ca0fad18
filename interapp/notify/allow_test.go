package notify

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func allow(t testing.TB, items ...string) Allow {
	t.Helper()
	a, err := NewAllow(items)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		item    string
		allowed []string
		refused []string
	}{
		{"http://127.0.0.1:*",
			[]string{"http://127.0.0.1", "http://127.0.0.1:80/", "http://127.0.0.1:1/a/b?c=d&e", "HTTP://127.0.0.1:65535"},
			[]string{"https://127.0.0.1", "http://127.0.0.2", "http://127.1", "http://2130706433", "http://0x7f.1", "http://0177.0.0.1", "http://127.0.0.1.", "http://localhost", "http://[::1]",
				"http://127.0.0.1:0", "http://127.0.0.1:65536", "http://127.0.0.1:-1", "http://127.0.0.1:a", "http://127.0.0.1.evil.example", "http://evil.example/127.0.0.1"}},
		{"https://Receiver.example",
			[]string{"https://receiver.example/replies", "https://RECEIVER.example:443"},
			[]string{"https://receiver.example:8443", "http://receiver.example", "http://receiver.example:443", "https://a.receiver.example", "https://receiver.example.",
				"https://receiver.example@evil.example", "https://evil.example#receiver.example", "https://evil.example?receiver.example", `https://evil.example\@receiver.example`}},
		{"http://receiver.example:8000/",
			[]string{"http://receiver.example:8000", "http://receiver.example:8000?x"},
			[]string{"http://receiver.example", "http://receiver.example:80", "http://receiver.example:08000", "http://receiver.example:8000:8000"}},
		{"http://[0:0:0:0:0:0:0:1]:*",
			[]string{"http://[::1]:9000"},
			[]string{"http://[::]", "http://[::ffff:127.0.0.1]", "http://127.0.0.1", "http://::1"}},
	} {
		a := allow(t, c.item)
		for _, u := range c.allowed {
			if err := a.Check(u); err != nil {
				t.Errorf("%s refuses %s: %v", c.item, u, err)
			}
		}
		for _, u := range c.refused {
			if err := a.Check(u); err == nil || !strings.Contains(err.Error(), "server.reply_to_allow") {
				t.Errorf("%s, %s: %v", c.item, u, err)
			}
			if allow(t).Check(u) == nil {
				t.Errorf("nothing allows %s", u)
			}
		}
	}
}

// The sentence says what is wrong, and repeats nothing that could be a secret.
func TestCheckSays(t *testing.T) {
	a := allow(t, "http://127.0.0.1:*")
	for u, want := range map[string]string{
		"":                                  "not a URL",
		"hunter2":                           "not a URL",
		"http:127.0.0.1/hunter2":            "not a URL",
		"http://127.0.0.1/%zzhunter2":       "not a URL",
		"http://127.0.0.1\n/hunter2":        "not a URL",
		"http:///hunter2":                   "not a URL",
		"//127.0.0.1/hunter2":               "http:// or https://",
		"ftp://127.0.0.1/hunter2":           "http:// or https://",
		"gopher://127.0.0.1:70/hunter2":     "http:// or https://",
		"http://u:hunter2@127.0.0.1":        "user name or password",
		"http://@127.0.0.1/hunter2":         "user name or password",
		"http://127.0.0.1#hunter2":          "fragment",
		"http://127.0.0.1/#":                "fragment",
		"http://127.0.0.1:99999/hunter2":    "port",
		"https://127.0.0.1/hunter2?hunter2": `"https://127.0.0.1:443"`,
		"http://[fe80::1%25eth0]/hunter2":   `"http://[fe80::1%eth0]:80"`,
	} {
		err := a.Check(u)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "server.reply_to_allow") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", u, err, want)
		}
	}
}

// What config refuses is not taken for something wider.
func TestNewAllowRefuses(t *testing.T) {
	for _, item := range []string{"", "*", "http://*", "http://*.example.com", "127.0.0.1:80", "http://a:80:*", "http://a/path", "http://a/path:*", "http://a?b", "http://a#", "http://u@a", "ftp://a", "http://a:0", "http://:80", "http://:*"} {
		if a, err := NewAllow([]string{"http://b", item}); err == nil || a.Check("http://b") == nil {
			t.Errorf("%q: %+v, %v", item, a, err)
		}
	}
}

// The address that is connected to decides, whatever the name was.
func TestControl(t *testing.T) {
	inside := []string{"127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80"}
	never := []string{"169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fe80::1]:80", "[fe80::1%eth0]:80", "[febf::1]:80", "0.0.0.0:80", "[::]:80", "[::ffff:0.0.0.0]:80",
		"224.0.0.1:80", "239.1.2.3:80", "[ff02::1]:80", "[ff0e::1]:80", "[::ffff:224.0.0.1]:80"}
	fine := []string{"10.0.0.1:80", "192.168.1.1:80", "192.0.2.1:80", "[2001:db8::1]:80", "[fd00::1]:80", "[::ffff:192.0.2.1]:80"}
	for _, c := range []struct {
		hosts     []string
		addresses []string
		ok        bool
	}{
		{[]string{"receiver.example", "localhost.example", "localhost.", "127.1", "2130706433", "0x7f.1", "0177.0.0.1"}, slices.Concat(inside, never), false},
		{[]string{"receiver.example", "127.1", "localhost"}, fine, true},
		{[]string{"localhost", "LocalHost"}, inside, true},
		{[]string{"localhost"}, never, false},
		{[]string{"127.0.0.1"}, inside[:1], true},
		{[]string{"169.254.169.254"}, never[:1], true},
		{[]string{"receiver.example"}, []string{"", "receiver.example:80"}, false},
	} {
		for _, host := range c.hosts {
			for _, address := range c.addresses {
				if err := control(host)(t.Context(), "tcp", address, nil); (err == nil) != c.ok {
					t.Errorf("%s at %s: %v", host, address, err)
				}
			}
		}
	}
}

// What is allowed leads to an item's scheme, host and port, as net/http reads
// the URL too.
func FuzzCheck(f *testing.F) {
	for _, u := range []string{
		"http://127.0.0.1:9000/replies?a=b", "https://receiver.example", "http://receiver.example:8000", "http://[::1]:1/", "http://127.1", "http://u@127.0.0.1", "http://127.0.0.1#",
		`http://127.0.0.1\@receiver.example`, "http://127.0.0.1%2e", "http://127.0.0.1:80:80", "//127.0.0.1", "http:127.0.0.1", "http://\u2488", "http://127\u30020.0.1", "http://[::1%25lo]",
	} {
		f.Add(u)
	}
	a := allow(f, "http://127.0.0.1:*", "https://receiver.example", "http://receiver.example:8000", "http://[::1]:*")
	f.Fuzz(func(t *testing.T, text string) {
		if err := a.Check(text); err != nil {
			if !strings.Contains(err.Error(), "server.reply_to_allow") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		host := strings.ToLower(u.Hostname())
		ip, _ := netip.ParseAddr(host)
		switch at := u.Scheme + " " + host; {
		case u.User != nil, u.Fragment != "", u.Opaque != "":
			t.Errorf("%q is allowed", text)
		case at == "http 127.0.0.1":
		case at == "https receiver.example" && (u.Port() == "" || u.Port() == "443"):
		case at == "http receiver.example" && u.Port() == "8000":
		case u.Scheme == "http" && ip == netip.IPv6Loopback():
		default:
			t.Errorf("%q is allowed", text)
		}
	})
}
