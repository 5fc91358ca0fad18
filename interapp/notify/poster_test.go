package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/interapp"
)

const secret = "sixteen-chars-ok"

// poster posts to what the items allow, with one token, "driver".
func poster(t testing.TB, items ...string) *Poster {
	t.Helper()
	p := NewPoster(Settings{
		Allow:  allow(t, items...),
		Secret: func(token string) (string, bool) { return secret, token == "driver" },
	})
	t.Cleanup(p.Close)
	return p
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// reply is a message to the URL; the query is nobody else's business.
func reply(url string) Message {
	return Message{URL: url + "/replies?key=hunter2", Event: interapp.EventReply, Key: "request:42", Token: "driver", Body: []byte(`{"id":"42"}`)}
}

// hang waits until the sender hangs up, which net/http sees behind the body.
func hang(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// transport is for tests that change how connections are made.
func (p *Poster) transport() *http.Transport { return p.client.Transport.(*http.Transport) }

// wantError checks an error for a part of its text, and that it shows neither
// the query nor the secret.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), secret) {
		t.Errorf("%s shows what it should not: %v", what, err)
	}
}

func TestPostReachesAReceiver(t *testing.T) {
	var got []string
	h := &interapp.Receiver{Secret: secret, OnReply: func(_ context.Context, r interapp.Reply) error {
		got = append(got, r.ID)
		return nil
	}}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Idempotency-Key") != "request:42" || r.URL.RawQuery != "key=hunter2" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
		h.ServeHTTP(w, r)
	})
	p := poster(t, "http://127.0.0.1:*")
	for range 2 { // the second is known by its key
		if err := p.Post(t.Context(), reply(url)); err != nil {
			t.Error(err)
		}
	}
	if len(got) != 1 || got[0] != "42" {
		t.Errorf("the receiver has %q", got)
	}
}

func TestPostWithoutTokenIsNotSigned(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if s := r.Header.Values(interapp.SignatureHeader); len(s) > 0 {
			t.Errorf("signed: %s", s)
		}
	})
	m := reply(url)
	m.Token = ""
	if err := poster(t, "http://127.0.0.1:*").Post(t.Context(), m); err != nil {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	p := poster(t, "http://127.0.0.1:*")
	for code, want := range map[int]string{
		200: "", 201: "", 202: "", 204: "", 299: "",
		300: "redirects are not followed", 301: "redirects are not followed", 302: "redirects are not followed", 307: "redirects are not followed", 308: "redirects are not followed",
		400: "answers 400 Bad Request", 401: "answers 401", 404: "answers 404", 409: "answers 409", 429: "answers 429", 500: "answers 500", 503: "answers 503", 599: "answers 599",
		410: "answers 410 Gone",
	} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other+"/?"+r.URL.RawQuery)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, r.URL.RawQuery)
		})
		err := p.Post(t.Context(), reply(url))
		if want == "" {
			if err != nil {
				t.Errorf("%d: %v", code, err)
			}
			continue
		}
		wantError(t, url, err, "post to "+url+": answers ")
		wantError(t, url, err, want)
		if errors.Is(err, ErrGone) != (code == 410) {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// An answer without an end takes neither time nor memory.
func TestHugeAnswers(t *testing.T) {
	var sent atomic.Int64
	ended := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for part := make([]byte, 32<<10); ; {
			n, err := w.Write(part)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	if err := poster(t, "http://127.0.0.1:*").Post(t.Context(), reply(url)); err != nil {
		t.Error(err)
	}
	<-ended
	if most := int64(64 << 20); sent.Load() > most { // what buffers of the system may take
		t.Errorf("%d bytes were taken", sent.Load())
	}
	url = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 2*maxAnswer))
	})
	wantError(t, "a huge header", poster(t, "http://127.0.0.1:*").Post(t.Context(), reply(url)), "no answer in HTTP")
}

// What an error shows comes from here, even where the far side is an echo.
func TestNoAnswer(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			got := make([]byte, 1000)
			n, _ := c.Read(got)
			_, _ = c.Write(got[:n])
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	echo := "http://" + l.Addr().String()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(secure.Close)
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})

	p := poster(t, "http://127.0.0.1:*", "https://127.0.0.1:*")
	for url, want := range map[string]string{
		closed.URL: "refused",
		echo:       "no answer in HTTP",
		secure.URL: "certificate",
		strings.Replace(plain, "http", "https", 1): "no answer in HTTP",
		"http://127.0.0.1:0":                       "server.reply_to_allow",
		"http://127.1":                             "server.reply_to_allow",
		"ftp://127.0.0.1":                          "server.reply_to_allow",
		"http://u:hunter2@127.0.0.1":               "server.reply_to_allow",
	} {
		wantError(t, url, p.Post(t.Context(), reply(url)), want)
	}
}

func TestTLSIsVerified(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(s.Close)
	p := poster(t, "https://127.0.0.1:*", "https://localhost:*")
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	p.transport().TLSClientConfig = &tls.Config{RootCAs: roots}
	if err := p.Post(t.Context(), reply(s.URL)); err != nil {
		t.Error(err)
	}
	// The certificate is for 127.0.0.1 and example.com.
	wantError(t, "another name", p.Post(t.Context(), reply(strings.Replace(s.URL, "127.0.0.1", "localhost", 1))), "certificate is valid for")
}

func TestNoProxy(t *testing.T) {
	if poster(t).transport().Proxy != nil {
		t.Error("a proxy of the environment would be used")
	}
}

// A large body has longer: a second for each 256 KiB.
func TestTryIsBounded(t *testing.T) {
	for size, want := range map[int]time.Duration{1: 30 * time.Second, 256<<10 - 1: 30 * time.Second, 256 << 10: 31 * time.Second, 64 << 20: 286 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := poster(t, "http://receiver.example")
			near, far := net.Pipe()
			p.transport().DialContext = func(context.Context, string, string) (net.Conn, error) { return near, nil }
			go func() { _, _ = io.Copy(io.Discard, far) }()
			m := reply("http://receiver.example")
			m.Body = make([]byte, size)
			start := time.Now()
			wantError(t, "a receiver that hangs", p.Post(t.Context(), m), "no answer within "+want.String())
			if took := time.Since(start); took != want {
				t.Errorf("%d bytes: it took %v", size, took)
			}
			far.Close()
		})
	}
}

func TestContextIsObeyed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { cancel(); hang(r) })
	if err := poster(t, "http://127.0.0.1:*").Post(ctx, reply(url)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConfigure(t *testing.T) {
	var signature string
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { signature = r.Header.Get(interapp.SignatureHeader) })
	p := poster(t, "http://127.0.0.1:*")
	m := reply(url)
	secretIs := func(now string, ok bool) func(string) (string, bool) {
		return func(string) (string, bool) { return now, ok }
	}

	p.Configure(Settings{Allow: allow(t, "http://127.0.0.1:*"), Secret: secretIs("another-secret", true)})
	if err := p.Post(t.Context(), m); err != nil {
		t.Error(err)
	}
	if err := interapp.Verify("another-secret", signature, m.Body, time.Now(), time.Minute); err != nil {
		t.Error(err)
	}
	p.Configure(Settings{Allow: allow(t, "http://127.0.0.1:*"), Secret: secretIs("", false)})
	wantError(t, "a token that is gone", p.Post(t.Context(), m), `"driver"`)
	p.Configure(Settings{Allow: allow(t, "https://127.0.0.1:*"), Secret: secretIs(secret, true)})
	wantError(t, "a list that changed", p.Post(t.Context(), m), "server.reply_to_allow")
	wantError(t, "a list that changed", p.Check(m.URL), "server.reply_to_allow")
}

// Whatever name the list has, and whatever DNS makes of it, it does not lead to
// this machine.
func TestNamesDoNotLeadInside(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("reached") })
	_, port, _ := strings.Cut(strings.TrimPrefix(url, "http://"), ":")
	for _, c := range []struct{ name, address, want string }{
		{"rebind.example", "127.0.0.1", "leads to 127.0.0.1"},
		{"rebind.example", "::ffff:127.0.0.1", "leads to 127.0.0.1"},
		{"rebind.example", "::1", "leads to ::1"},
		{"rebind.example", "0.0.0.0", "leads to 0.0.0.0"},
		{"rebind.example", "169.254.169.254", "leads to 169.254.169.254"},
		{"localhost.example", "127.0.0.1", "leads to 127.0.0.1"},
		{"0x7f000001", "127.0.0.1", "post to"}, // what follows depends on the resolver
		{"127.1", "127.0.0.1", "post to"},
		{"2130706433", "127.0.0.1", "post to"},
	} {
		p := poster(t, "http://"+c.name+":*")
		p.resolver = resolver(t, netip.MustParseAddr(c.address))
		wantError(t, c.name+" at "+c.address, p.Post(t.Context(), reply("http://"+c.name+":"+port)), c.want)
	}
}

func TestLocalhostIsReached(t *testing.T) {
	reached := make(chan string, 1)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { reached <- r.Host })
	url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	if err := poster(t, "http://localhost:*").Post(t.Context(), reply(url)); err != nil {
		t.Error(err)
	}
	if host := <-reached; !strings.HasPrefix(host, "localhost:") {
		t.Errorf("the Host is %s", host)
	}
}

// resolver answers every question with the address, as DNS over TCP does.
func resolver(t testing.TB, address netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		t.Cleanup(func() { far.Close() })
		go func() {
			for {
				var length uint16
				if binary.Read(far, binary.BigEndian, &length) != nil {
					return
				}
				query := make([]byte, length)
				if _, err := io.ReadFull(far, query); err != nil {
					return
				}
				answer := dnsAnswer(query, address)
				if _, err := far.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
					return
				}
			}
		}()
		return near, nil
	}}
}

// dnsAnswer answers a query (RFC 1035): with the address, or with nothing when
// another type was asked for.
func dnsAnswer(query []byte, address netip.Addr) []byte {
	const header = 12
	end := header
	for query[end] != 0 { // labels of the name
		end += 1 + int(query[end])
	}
	question := query[header : end+5]
	kind := uint16(1) // A
	if address.Is6() {
		kind = 28 // AAAA
	}
	count := byte(0)
	var record []byte
	if binary.BigEndian.Uint16(query[end+1:]) == kind {
		count = 1
		record = append([]byte{0xc0, header, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(address.AsSlice()))}, address.AsSlice()...)
	}
	answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0}, question...)
	return append(answer, record...)
}
