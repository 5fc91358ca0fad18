package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/config"
	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
)

const pathOfKeys = "/v1/auth/sftp-credentials"

// The answer is that of the Flatfile page to the letter, and its password works.
func TestSFTPCredentials(t *testing.T) {
	for name, tokens := range map[string]config.Server{"no tokens": {}, "tokens": eachScope()} {
		t.Run(name, func(t *testing.T) {
			log := &lines{}
			d := newDaemon(t, server.Options{Spaces: openSpaces(t), Server: tokens, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			d.receive()
			_, port, _ := net.SplitHostPort(d.spaces.Addr().String())
			passwords := map[string]bool{}
			for _, header := range []string{"Bearer " + opsKey, "bearer " + opsKey, "Bearer " + anyKey} {
				a := d.ask("GET", pathOfKeys+"?spaceId=us_1", "", "Authorization: "+header, "Host: sftp.example.com")
				var got interapp.SFTPCredentials
				a.want(t, 200, &got)
				want := `{"data":{"username":"us_1","password":"` + got.Data.Password + `","host":"sftp.example.com","port":"` + port + `"}}`
				if strings.TrimSpace(a.body) != want {
					t.Errorf("%s, want %s", a.body, want)
				}
				if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
					t.Errorf("headers %v", a.header)
				}
				passwords[got.Data.Password] = true
			}
			if len(passwords) != 3 {
				t.Errorf("%d different passwords", len(passwords))
			}
			for password := range passwords {
				c, err := d.login("us_1", password)
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				if strings.Contains(log.String(), password) {
					t.Error("the password is in the log")
				}
			}
			if text := log.String(); strings.Contains(text, opsKey) || !strings.Contains(text, "key=ops") {
				t.Errorf("log:\n%s", text)
			}
			d.ask("HEAD", pathOfKeys+"?spaceId=us_1", "", "Authorization: Bearer "+opsKey).want(t, 405, nil)
			if n := len(d.spacesOf("us_1")); n != 3 {
				t.Errorf("%d passwords work", n)
			}
		})
	}
}

func (d *daemon) spacesOf(id string) []string {
	st, err := d.spaces.Status(id)
	if err != nil {
		d.t.Fatal(err)
	}
	var ids []string
	for _, c := range st.Credentials {
		ids = append(ids, c.ID)
	}
	return ids
}

// Whoever has no key for a Space learns nothing of keys and Spaces.
func TestSFTPCredentialsAreRefusedAlike(t *testing.T) {
	log := &lines{}
	d := newDaemon(t, server.Options{Spaces: openSpaces(t), Server: eachScope(), Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ask := func(target, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", target, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		d.api.ServeHTTP(w, r)
		return w
	}
	var first *httptest.ResponseRecorder
	synctest.Test(t, func(t *testing.T) { // in which time costs nothing
		for _, c := range []struct{ query, authorization string }{
			{"?spaceId=us_1", "Bearer sk_wrong_wrong_wrong"},
			{"?spaceId=us_1", "Bearer " + otherKey},
			{"?spaceId=us_3", "Bearer " + opsKey},
			{"?spaceId=us_3", "Bearer " + anyKey},
			{"?spaceId=us_3", "Bearer sk_wrong_wrong_wrong"},
			{"?spaceId=us_1", ""},
			{"?spaceId=us_1", "Bearer"},
			{"?spaceId=us_1", "Bearer "},
			{"?spaceId=us_1", "Basic " + opsKey},
			{"?spaceId=us_1", opsKey},
			{"?spaceId=us_1", "Bearer " + tokenOf(config.ScopeConfigure)},
			{"?spaceId=us_1", "Bearer " + opsKey + "x"},
			{"", "Bearer " + anyKey},
			{"?spaceId=", "Bearer " + anyKey},
			{"?space_id=us_1", "Bearer " + opsKey},
			{"?spaceId=us_1%00", "Bearer " + anyKey},
			{"?spaceId=../us_1", "Bearer " + anyKey},
			{"?spaceId=%zz", "Bearer " + anyKey},
		} {
			w := ask("http://127.0.0.1"+pathOfKeys+c.query, c.authorization)
			answer{w.Code, w.Header(), w.Body.String()}.problem(t, 401, "space_server.secret_keys")
			if first == nil {
				first = w
			}
			if !bytes.Equal(w.Body.Bytes(), first.Body.Bytes()) || !maps.EqualFunc(w.Header(), first.Header(), func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
				t.Errorf("%+v: %v %s\nis told from\n%v %s", c, w.Header(), w.Body, first.Header(), first.Body)
			}
		}
	})
	if n := len(d.spacesOf("us_1")); n != 0 {
		t.Errorf("%d passwords were made", n)
	}
	if text := log.String(); strings.Contains(text, "sk_") || !strings.Contains(text, "credentials refused") {
		t.Errorf("log:\n%s", text)
	}
	// A secret key is no token.
	d.ask("GET", "/api/v1/spaces", "", "Authorization: Bearer "+anyKey).problem(t, 401)
}

// Who sends wrong keys waits longer and longer, up to a bound; others, and a
// right key from the same address, do not wait.
func TestWrongKeysAreSlowed(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	synctest.Test(t, func(t *testing.T) {
		ask := func(from, key string) (code int, took time.Duration) {
			r := httptest.NewRequest("GET", "http://127.0.0.1"+pathOfKeys+"?spaceId=us_1", nil)
			r.RemoteAddr = from
			r.Header.Set("Authorization", "Bearer "+key)
			w := httptest.NewRecorder()
			start := time.Now()
			d.api.ServeHTTP(w, r)
			return w.Code, time.Since(start)
		}
		ms := time.Millisecond
		for i, want := range []time.Duration{0, 0, 0, 250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 4000 * ms} {
			if code, took := ask("192.0.2.1:1000", "wrong"); code != 401 || took != want {
				t.Errorf("try %d: %d after %s, want %s", i, code, took, want)
			}
		}
		if code, took := ask("192.0.2.1:2000", opsKey); code != 200 || took != 0 {
			t.Errorf("a right key: %d after %s", code, took)
		}
		if _, took := ask("192.0.2.2:1000", "wrong"); took != 0 {
			t.Errorf("another address waits %s", took)
		}
		for i := range 5 { // an IPv6 address is its /64
			if _, took := ask(fmt.Sprintf("[2001:db8::%x]:1", i), "wrong"); (took > 0) != (i >= 3) {
				t.Errorf("IPv6 try %d waits %s", i, took)
			}
		}
		time.Sleep(5 * time.Minute)
		if _, took := ask("192.0.2.1:1000", "wrong"); took != 0 {
			t.Errorf("after a while: %s", took)
		}

		// A thousand at a time: few of them are kept, and a right one is not held up.
		var all sync.WaitGroup
		start := time.Now()
		for i := range 1000 {
			all.Go(func() {
				if code, _ := ask(fmt.Sprintf("192.0.2.1:%d", 1000+i), "wrong"); code != 401 {
					t.Errorf("a wrong key: %d", code)
				}
			})
		}
		synctest.Wait()
		if held := server.Held(d.api); held == 0 || held > 64 {
			t.Errorf("%d answers are held back", held)
		}
		if code, took := ask("192.0.2.1:1", opsKey); code != 200 || took != 0 {
			t.Errorf("a right key: %d after %s", code, took)
		}
		all.Wait()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("all took %s", took)
		}
	})
}

// The program's end does not wait for answers that are held back, nor do these
// outlive their clients.
func TestHeldAnswersEnd(t *testing.T) {
	d := newDaemon(t, server.Options{Spaces: openSpaces(t)})
	for range 12 {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "http://127.0.0.1"+pathOfKeys, nil)
		server.End(d.api)
		start := time.Now()
		if d.api.ServeHTTP(w, r); w.Code != http.StatusUnauthorized || time.Since(start) > 2*time.Second {
			t.Errorf("%d after %s", w.Code, time.Since(start))
		}
	}
}

// The message has the fields of the page and no other.
func TestSFTPCredentialsMessage(t *testing.T) {
	text, err := json.Marshal(interapp.SFTPCredentials{Data: interapp.SFTPLogin{Username: "u", Password: "p", Host: "h", Port: "22"}})
	if want := `{"data":{"username":"u","password":"p","host":"h","port":"22"}}`; err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
}
