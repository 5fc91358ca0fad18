package credentialsapi

import (
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// with gives an answer with another port or host, as JSON.
func with(field, value string) string {
	fields := map[string]string{"username": `"u"`, "password": `"p"`, "host": `"h"`, "port": "22"}
	fields[field] = value
	var parts []string
	for name, text := range fields {
		if text != "" {
			parts = append(parts, `"`+name+`":`+text)
		}
	}
	return `{"data":{` + strings.Join(parts, ",") + `},"meta":[1]}`
}

func TestPort(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"22": 22, `"22"`: 22, `"2022"`: 2022, "65535": 65535, `"65535"`: 65535, "1": 1,
		"": 22, `""`: 22, "0": 22, `"0"`: 22, "null": 22,
		"65536": 0, `"65536"`: 0, "-1": 0, `"-1"`: 0, `"+22"`: 0, `" 22"`: 0, "22.0": 0, "2e1": 0, `"ssh"`: 0, "true": 0,
		"{}": 0, "[22]": 0, `"22\n"`: 0, "99999999999999999999": 0, `"0x16"`: 0, `"\u0032"`: 0,
	} {
		l, err := parseAnswer([]byte(with("port", text)))
		if l.Port != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %d, %v; want %d", text, l.Port, err, want)
		}
		if err != nil && !errors.Is(err, errPort) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for text, want := range map[string]string{
		"sftp.example.com": "sftp.example.com", "SFTP.example.com.": "SFTP.example.com.", "localhost": "localhost", "a_b-c": "a_b-c",
		"192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1", "[2001:db8::1]": "2001:db8::1", long + ".b": long + ".b",
		"": "", ".": "", "a..b": "", "-oProxyCommand=x": "", "-v": "", "a.-b": "", "a b": "", "a\nb": "", "a/b": "", "user@host": "", "host:22": "", "[::1]:22": "",
		"[192.0.2.1]": "", "[host]": "", "fe80::1%eth0": "", "ä.example": "", "a\x00": "", long + "a": "", strings.Repeat("a.", 127): "",
		"ssh://h": "", "${X}": "", "[": "", "[]": "", "]": "",
	} {
		quoted, _ := json.Marshal(text)
		l, err := parseAnswer([]byte(with("host", string(quoted))))
		if l.Host != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, l.Host, err, want)
		}
	}
}

func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                             "is not JSON",
		"{":                            "is not JSON",
		answer + "{}":                  "is not JSON",
		"null":                         "has no data",
		"{}":                           "has no data",
		`{"data":null}`:                "has no data",
		"[]":                           "is not {",
		`{"data":[]}`:                  "is not {",
		`{"data":{"username":7}}`:      "is not {",
		`{"data":{}}`:                  "no username",
		with("username", ""):           "no username",
		with("username", `"a\u0000b"`): "no username",
		with("username", `"a\nb"`):     "no username",
		with("username", `"a\u202eb"`): "no username",
		with("password", ""):           "no password",
		with("password", `""`):         "no password",
		with("password", "\"\xff\""):   "UTF-8",
		with("host", ""):               "no host",
		with("password", `"`+strings.Repeat("p", maxPassword+1)+`"`): "no password",
		with("username", `"`+strings.Repeat("u", maxUsername+1)+`"`): "no username",
	} {
		if l, err := parseAnswer([]byte(text)); err == nil || l != (Login{}) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60q: %v, %v; want %q", text, l, err, says)
		}
	}
}

// Whatever can be a login arrives as it was sent.
func TestAnswerIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		username := rapid.StringMatching(`[a-zA-Z0-9@._+-]{1,40}`).Draw(t, "username")
		secret := rapid.StringN(1, 60, 200).Draw(t, "password")
		host := rapid.StringMatching(`[a-z0-9]{1,9}(\.[a-z]{1,9}){0,3}`).Draw(t, "host")
		port := rapid.IntRange(1, 65535).Draw(t, "port")
		var sent any = port
		if rapid.Bool().Draw(t, "as text") {
			sent = strconv.Itoa(port)
		}
		body, err := json.Marshal(map[string]any{"data": map[string]any{
			"username": username, "password": secret, "host": host, "port": sent, "expires": "never"}})
		if err != nil {
			t.Fatal(err)
		}
		l, err := parseAnswer(body)
		if err != nil || l.Username != username || l.Password() != strings.ToValidUTF8(secret, "\ufffd") || l.Host != host || l.Port != port {
			t.Fatalf("%s: %v, %v", body, l, err)
		}
	})
}

// FuzzAnswer: no answer makes the parser panic; what it takes can be dialled;
// its errors and problem titles are short lines that repeat nothing they must not.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{answer, with("port", "22"), with("port", `""`), with("host", `"[::1]"`), `{"data":null}`, "[]", "",
		`{"title":"x\u001b"}`, `{"title":"` + strings.Repeat("ä", 100) + `"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if title := problemTitle(body, secretKey); len(title) > 10*maxTitle || strings.ContainsAny(title, "\n\x1b\x00") {
			t.Errorf("title %q", title)
		}
		l, err := parseAnswer(body)
		if err != nil {
			if l != (Login{}) || len(err.Error()) > 100 || !printable(err.Error()) {
				t.Errorf("%v, %v", l, err)
			}
			return
		}
		if !printable(l.Username) || l.Password() == "" || l.Port < 1 || l.Port > 65535 || l.Host == "" || strings.ContainsAny(l.Host, "[]@/ %\n") {
			t.Errorf("took %v", l)
		}
		if _, _, err := net.SplitHostPort(net.JoinHostPort(l.Host, "22")); err != nil {
			t.Errorf("%q: %v", l.Host, err)
		}
	})
}
