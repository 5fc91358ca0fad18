package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestEveryWordOffered: each word that an error names as allowed is accepted.
func TestEveryWordOffered(t *testing.T) {
	for key, document := range map[string]func(word string) string{
		"direction":   func(w string) string { return oneConnector("", "", "direction: "+w) },
		"host_key":    func(w string) string { return oneConnector("host_key: "+w, "", "") },
		"symlinks":    func(w string) string { return oneConnector("", "symlinks: "+w, "") },
		"on_conflict": func(w string) string { return oneConnector("", "on_conflict: "+w, "") },
		"upload_name": func(w string) string { return oneConnector("", "upload_name: "+w, "direction: upload") },
		"same_name": func(w string) string {
			return "space_server: {listen: 127.0.0.1:0}\nspaces: {a: {destination_directory_path: a, same_name: " + w + "}}\n"
		},
		"layout":         func(w string) string { return oneConnector("", "layout: "+w, "") },
		"after_copy":     func(w string) string { return oneConnector("", "after_copy: "+w, "") },
		"sync":           func(w string) string { return oneConnector("", "", `automatic_sftp_file_sync: "`+w+`"`) },
		"authentication": func(w string) string { return login(w) },
		"scopes": func(w string) string {
			return "server: {tokens: [{name: a, token: 0123456789abcdef, scopes: [" + w + "]}]}\n" + oneConnector("", "", "")
		},
	} {
		_, err := Parse("c.yaml", []byte(document("none")), variables)
		if key == "sync" {
			_, err = Parse("c.yaml", []byte(document("@none")), variables)
		}
		if err == nil {
			t.Errorf("%s: none is accepted", key)
			continue
		}
		_, list, found := strings.Cut(err.Error(), "allowed: ")
		if !found {
			t.Errorf("%s: nothing is offered by %v", key, err)
		}
		list, _, _ = strings.Cut(strings.TrimSuffix(list, ")"), ", as ")
		words := strings.Split(list, ", ")
		for _, word := range words {
			if strings.HasPrefix(word, "SHA256:") {
				word = "SHA256:" + strings.Repeat("A", 43)
			}
			if _, err := Parse("c.yaml", []byte(document(word)), variables); err != nil {
				t.Errorf("%s: %s is offered: %v", key, word, err)
			}
		}
		t.Logf("%s: %d words", key, len(words))
	}
}

// login is a configuration that has what the authentication takes.
func login(authentication string) string {
	text := oneConnector("authentication: "+authentication, "", "")
	with := map[string]string{string(KeyPairs): "key_pairs_path: id", string(Both): "password: pw\n      key_pairs_path: id", string(Agent): "port: 22"}
	if login, other := with[authentication]; other {
		text = strings.Replace(text, "password: pw", login, 1)
	}
	return text
}

func TestHostKey(t *testing.T) {
	for text, want := range map[string]bool{
		"known-hosts": true, "accept-new": true,
		"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU":   true,
		"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=":  false,
		"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV":   false, // bits behind the last byte
		"SHA256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU":   false,
		"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF\nU": false,
		"sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU":   false,
		"MD5:d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e":  false,
		"": false,
	} {
		if got := validHostKey(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// Several keys of a server are pinned by a list of fingerprints.
func TestHostKeyLists(t *testing.T) {
	const one, two = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"
	for text, want := range map[string]string{
		one:                          one,
		"[" + one + "]":              one,
		"[" + one + ", " + two + "]": one + " " + two,
		"\n        - " + one + "\n        - " + two + " # from Monday on": one + " " + two,
		"accept-new":   "accept-new",
		"[accept-new]": "accept-new",
		"~":            "known-hosts",
	} {
		c, err := Parse("c.yaml", []byte(oneConnector("host_key: "+text, "", "")), variables)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := c.Connectors["a"].SFTP.HostKey.String(); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
	for text, want := range map[string]string{
		"[]":                                    "a list of 0",
		"[" + one + ", accept-new]":             "host_key[1]: \"accept-new\": stands alone",
		"[" + one + ", SHA256:abc]":             "host_key[1]: \"SHA256:abc\": not understood",
		"known":                                 "host_key: \"known\": not understood",
		"{a: b}":                                "must be a list",
		"[" + strings.Repeat(one+",", 17) + "]": "a list of 17",
	} {
		_, err := Parse("c.yaml", []byte(oneConnector("host_key: "+text, "", "")), variables)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestConnectorNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "Trace-Results_2.x": true, strings.Repeat("a", 100): true, "0": true, ".hidden": true,
		strings.Repeat("a", 101): false, "": false, ".": false, "..": false, "...": false, "a b": false, "a/b": false, `a\b`: false, "é": false, "a:b": false,
	} {
		text := strings.Replace(oneConnector("", "", ""), "  a:", fmt.Sprintf("  %q:", name), 1)
		c, err := Parse("c.yaml", []byte(text), variables)
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
		if err == nil && c.Connectors[name].Name != name {
			t.Errorf("%q is called %q", name, c.Connectors[name].Name)
		}
	}
}

// TestEqual changes every field of a connector in turn.
func TestEqual(t *testing.T) {
	base := func() *Connector { return parseOne(t, "", `include: ["*.csv"]`, "time_zone: Europe/Brussels") }
	if a, b := base(), base(); !a.Equal(b) || a.Equal(nil) || !(*Connector)(nil).Equal(nil) {
		t.Error("a connector loaded twice is not equal to itself")
	}
	later := base() // a zone that was loaded at another time
	later.TimeZone = TimeZone{time.FixedZone("Europe/Brussels", 0)}
	if !later.Equal(base()) {
		t.Error("a zone of the same name is taken for another")
	}
	if changed := changeEach(t, base, (*Connector).Equal); changed < 40 {
		t.Errorf("only %d fields were changed", changed)
	}
}

// changeEach holds equal to see a change of any field of what base makes, and
// gives how many there are.
func changeEach[T any](t *testing.T, base func() T, equal func(a, b T) bool) (changed int) {
	t.Helper()
	var change func(path string, pick func(T) reflect.Value)
	change = func(path string, pick func(T) reflect.Value) {
		a, b := base(), base()
		v := pick(b)
		switch {
		case v.Type() == reflect.TypeFor[TimeZone]():
			v.Set(reflect.ValueOf(TimeZone{time.UTC}))
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				change(path+"."+v.Type().Field(i).Name, func(c T) reflect.Value { return pick(c).Field(i) })
			}
			return
		case v.Kind() == reflect.String:
			v.SetString(v.String() + "x")
		case v.Kind() == reflect.Bool:
			v.SetBool(!v.Bool())
		case v.CanInt():
			v.SetInt(v.Int() + 1)
		case v.Kind() == reflect.Slice:
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		case v.Kind() == reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
		case v.Kind() == reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("x"), reflect.Zero(v.Type().Elem()))
		default:
			t.Fatalf("%s is a %s", path, v.Type())
		}
		changed++
		if equal(a, b) || equal(b, a) {
			t.Errorf("a change of %s is not seen", path)
		}
	}
	change("", func(c T) reflect.Value { return reflect.ValueOf(c).Elem() })
	return changed
}

func TestSuggestions(t *testing.T) {
	keys := []string{"host", "port", "username", "password", "password_file", "proxy_jump", "key_pairs_path"}
	for word, want := range map[string]string{
		"hots": "host", "Host": "host", "prot": "port", "pasword": "password", "user": "username", "passwordfile": "password_file",
		"proxy-jump": "proxy_jump", "xyz": "", "po": "", "a": "", "": "", "something_else_entirely": "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
