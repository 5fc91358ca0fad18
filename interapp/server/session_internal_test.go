package server

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestDecodeSession(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	key := sessionKey("token")
	keyOf := func(name string) []byte { return map[string][]byte{"a.b": key}[name] }
	good := session{token: "a.b", id: "id", expires: now.Add(time.Hour)}
	value := good.encode(key)
	if n, ok := decodeSession(value, keyOf, now); !ok || n.token != "a.b" || n.id != "id" || !n.expires.Equal(good.expires) {
		t.Fatalf("%+v %v", n, ok)
	}
	for name, bad := range map[string]string{
		"other key":     good.encode(sessionKey("other")),
		"other token":   session{token: "c", id: "id", expires: good.expires}.encode(key),
		"expired":       session{token: "a.b", id: "id", expires: now}.encode(key),
		"changed":       strings.Replace(value, ".id.", ".ie.", 1),
		"no MAC":        value[:strings.LastIndexByte(value, '.')+1],
		"nothing":       "",
		"points":        "....",
		"cut":           value[:len(value)-1],
		"not in base64": "!." + value,
	} {
		if _, ok := decodeSession(bad, keyOf, now); ok {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzDecodeSession(f *testing.F) {
	key := sessionKey("token")
	f.Add(session{token: "a", id: "b", expires: time.Unix(2, 0)}.encode(key))
	f.Add("a.b.c.d")
	f.Fuzz(func(t *testing.T, value string) {
		n, ok := decodeSession(value, func(string) []byte { return key }, time.Unix(1, 0))
		if ok && n.encode(key) != value && n.token != "a" {
			t.Errorf("%q is taken for %+v", value, n)
		}
	})
}

func TestRelative(t *testing.T) {
	t.Parallel()
	for next, ok := range map[string]bool{
		"": true, "connectors/a": true, "connectors/a%2Fb?x=1&y=%2F": true, "?status=failing": true,
		"/etc": false, "//evil.example": false, "https://evil.example": false, "\\\\evil": false, "a\\b": false,
		"javascript:alert(1)": false, "../x": false, "a/../../x": false, "a\nb": false, "%zz": false, "a#b": false,
	} {
		if got := relative(next); (got == next) != ok {
			t.Errorf("%q: %q", next, got)
		}
	}
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, tt := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.9", "192.0.2.1"}, // not a proxy of ours
		{"10.1.1.1:5", "198.51.100.9", "198.51.100.9"},
		{"10.1.1.1:5", "203.0.113.5, 198.51.100.9", "198.51.100.9"}, // the left one may be invented
		{"10.1.1.1:5", "198.51.100.9, 10.2.2.2", "198.51.100.9"},
		{"10.1.1.1:5", "", "10.1.1.1"},
		{"10.1.1.1:5", "nonsense", "10.1.1.1"},
		{"[::1]:5", "::ffff:198.51.100.9", "198.51.100.9"},
		{"[fe80::1%eth0]:5", "", "fe80::1"},
		{"pipe", "198.51.100.9", "pipe"},
	} {
		if got := clientAddress(tt.remote, []string{tt.forwarded}, proxies); got != tt.want {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	var l links
	now := time.Now()
	first := l.add(&token{name: "a"}, now)
	for i := range maxLinks {
		l.add(&token{name: fmt.Sprint(i)}, now)
	}
	if _, ok := l.take(first.code, now); ok {
		t.Error("the oldest of too many serves")
	}
	last := l.add(&token{name: "b"}, now)
	if n, ok := l.take(last.code, now.Add(linkTime-1)); !ok || n.token != "b" {
		t.Errorf("%q %v", n.token, ok)
	}
	if _, ok := l.take(last.code, now); ok {
		t.Error("it serves twice")
	}
	if _, ok := l.take(l.add(&token{name: "c"}, now).code, now.Add(linkTime)); ok {
		t.Error("it serves when it is over")
	}
}

func TestEndedSessionsAreBounded(t *testing.T) {
	t.Parallel()
	var e endedSessions
	for i := range maxEnded + 1 {
		e.add(fmt.Sprint(i))
		e.add(fmt.Sprint(i))
	}
	if e.has("0") || !e.has("1") || len(e.order) != maxEnded || len(e.known) != maxEnded {
		t.Errorf("%d %d", len(e.order), len(e.known))
	}
}
