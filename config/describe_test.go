package config

import (
	"encoding"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// keysOf gives the keys that have a sentence: those of a type, at a path.
func keysOf(t reflect.Type, path string, keys map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map && t != reflect.TypeFor[Answers]() {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		keys[path] = true
		return
	}
	for _, f := range fieldsOf(t) {
		if !f.twin {
			keysOf(t.Field(f.index).Type, joinKey(path, f.key), keys)
		}
	}
}

// Each key has a sentence, and each sentence a key. Spaces are not described.
func TestEachKeyHasASentence(t *testing.T) {
	keys := map[string]bool{}
	keysOf(reflect.TypeFor[Config](), "", keys)
	maps.DeleteFunc(keys, func(key string, _ bool) bool { return strings.HasPrefix(key, "spaces.") })
	for key := range keys {
		switch text := sentences()[key]; {
		case text == "":
			t.Errorf("%s has no sentence", key)
		case !strings.HasSuffix(text, ".") || strings.ToUpper(text[:1]) != text[:1]:
			t.Errorf("%s: not a sentence: %s", key, text)
		}
	}
	for key := range sentences() {
		if !keys[key] {
			t.Errorf("there is no key %s", key)
		}
	}
	if len(keys) < 60 {
		t.Errorf("only %d keys", len(keys))
	}
}

func described(t *testing.T, text string) Description {
	t.Helper()
	d, err := Describe("/etc/sftp/c.yaml", []byte(text), variables)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func settingOf(t *testing.T, settings []Setting, key string) Setting {
	t.Helper()
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		t.Fatalf("no setting %s", key)
	}
	return settings[i]
}

func TestDescribe(t *testing.T) {
	d := described(t, `data_directory: ./d
server:
  tokens: [{name: a, token: "${BILLING_TOKEN}", scopes: [read, apply]}]
connectors:
  a:
    sftp: &s
      host: sftp.example
      username: ${TRUE}
      password: hunter2
      key_pairs_passphrase: ""
      interactive_answers: {Code: hunter2, "Of.day": "${SECRET}"}
    files:
      source_directory_path: /r
      destination_directory_path: to
      maximum_file_size: 1GB
      include: ["*.csv", "${PORT}"]
  b:
    sftp: {<<: *s, port: 2222, password: "${SECRET}"}
    files: {source_directory_path: /r, destination_directory_path: b}
`)
	a, ok := d.Connector("a")
	if !ok || len(d.Mistakes) != 0 {
		t.Fatalf("%+v", d.Mistakes)
	}
	b, _ := d.Connector("b")
	general := d.General()
	for _, c := range []struct {
		of   []Setting
		want Setting
	}{
		{a, Setting{Key: "sftp.host", Value: "sftp.example", Written: "sftp.example", Line: 7, Set: true}},
		{a, Setting{Key: "sftp.port", Value: "22", Default: "22", Bare: true}},
		{a, Setting{Key: "sftp.username", Value: "true", Written: "${TRUE}", Line: 8, Set: true}},
		{a, Setting{Key: "sftp.password", Secret: true, Line: 9, Set: true}},
		{a, Setting{Key: "sftp.key_pairs_passphrase", Secret: true, Line: 10}},
		{a, Setting{Key: "sftp.interactive_answers.Code", Secret: true, Line: 11, Set: true}},
		{a, Setting{Key: "sftp.interactive_answers.Of.day", Secret: true, Line: 11, Set: true, Written: "${SECRET}"}},
		{a, Setting{Key: "sftp.known_hosts_path", Value: "/etc/sftp/d/known_hosts", Default: "/etc/sftp/d/known_hosts"}},
		{a, Setting{Key: "sftp.host_key", Value: "known-hosts", Values: []string{"known-hosts"}, List: true, Default: "known-hosts"}},
		{a, Setting{Key: "sftp.legacy_algorithms", Value: "false", Default: "false", Bare: true, Allowed: []string{"false", "true"}}},
		{a, Setting{Key: "direction", Value: "download", Default: "download", Allowed: []string{"download", "upload"}}},
		{a, Setting{Key: "files.maximum_file_size", Value: "1GB", Written: "1GB", Line: 15, Set: true, Bare: true}},
		{a, Setting{Key: "files.bandwidth_limit", Bare: true}},
		{a, Setting{Key: "files.include", Value: "*.csv, 2222", Values: []string{"*.csv", "2222"}, List: true, Default: "**", Written: "*.csv, ${PORT}", Line: 16, Set: true}},
		{a, Setting{Key: "files.exclude", Values: []string{}, List: true}},
		{a, Setting{Key: "files.after_copy", Value: "leave", Default: "leave", Bare: true}},
		{a, Setting{Key: "automatic_sftp_file_sync", Value: "N/A", Default: "N/A", Bare: true}},
		{a, Setting{Key: "time_zone", Value: "UTC", Default: "UTC", Bare: true}},
		{b, Setting{Key: "sftp.host", Value: "sftp.example", Written: "sftp.example", Line: 7, Set: true}},
		{b, Setting{Key: "sftp.port", Value: "2222", Default: "22", Written: "2222", Line: 18, Set: true, Bare: true}},
		{b, Setting{Key: "sftp.password", Secret: true, Written: "${SECRET}", Line: 18, Set: true}},
		{general, Setting{Key: "data_directory", Value: "/etc/sftp/d", Default: "./data", Written: "./d", Line: 1, Set: true}},
		{general, Setting{Key: "server.listen", Value: "127.0.0.1:8022", Default: "127.0.0.1:8022"}},
		{general, Setting{Key: "server.tokens[0].name", Value: "a", Written: "a", Line: 3, Set: true}},
		{general, Setting{Key: "server.tokens[0].token", Secret: true, Written: "${BILLING_TOKEN}", Line: 3, Set: true}},
		{general, Setting{Key: "server.tokens[0].scopes", Value: "read, apply", Values: []string{"read", "apply"}, List: true, Written: "read, apply", Line: 3, Set: true, Allowed: []string{"read", "request", "apply", "configure"}}},
	} {
		got := settingOf(t, c.of, c.want.Key)
		if got.Doc == "" {
			t.Errorf("%s has no sentence", got.Key)
		}
		if got.Doc = ""; !reflect.DeepEqual(got, c.want) {
			t.Errorf("got  %+v\nwant %+v", got, c.want)
		}
	}
	if _, ok := d.Connector("c"); ok {
		t.Error("there is a connector c")
	}
	if new := NewConnector(); settingOf(t, new, "sftp.port").Value != "22" || settingOf(t, new, "sftp.password").Set {
		t.Error("a new connector is no default")
	}
}

// No secret of the example is in a setting, nor one of a file with mistakes.
func TestDescribeTellsNoSecret(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(text), strings.ReplaceAll(string(text), "port: 22", "port: x"), "a: [", "", "connectors: {a: {sftp: {password: hunter2, hots: x}}}"} {
		d := described(t, text)
		var all []Setting
		all = append(all, d.General()...)
		if d.Config != nil {
			for name := range d.Config.Connectors {
				settings, _ := d.Connector(name)
				all = append(all, settings...)
			}
		}
		for _, s := range all {
			for _, secret := range []string{"from the environment", "0123456789abcdef", "hunter2", "of the share", "sk_"} {
				if strings.Contains(s.Value+s.Written+s.Default+strings.Join(s.Values, ""), secret) {
					t.Errorf("%s tells %q: %+v", s.Key, secret, s)
				}
			}
		}
	}
}

func TestKindOf(t *testing.T) {
	for key, want := range map[string]struct {
		Kind
		known bool
	}{
		"":                                             {Kind{Bare: true}, true},
		"server.tokens.[3].token":                      {Kind{Secret: true}, true},
		"server.tokens.[3].token_file":                 {Kind{Twin: true}, true},
		"server.tokens.token":                          {Kind{}, false},
		"connectors.a.sftp.host":                       {Kind{}, true},
		"connectors.a.sftp.port":                       {Kind{Bare: true}, true},
		"connectors.a.sftp.password":                   {Kind{Secret: true}, true},
		"connectors.a.sftp.hots":                       {Kind{}, false},
		"connectors.a.files.include":                   {Kind{List: true, Bare: true}, true},
		"connectors.a.sftp.interactive_answers.X":      {Kind{Secret: true}, true},
		"connectors.a.sftp.interactive_answers.X_file": {Kind{Twin: true}, true},
		"connectors.a.sftp.password_file.x":            {Kind{}, false},
	} {
		var path []string
		if key != "" {
			path = strings.Split(key, ".")
		}
		if k, known := KindOf(path...); k != want.Kind || known != want.known {
			t.Errorf("%s: %+v, %t", key, k, known)
		}
	}
	for key, want := range map[string][]string{
		"retention": {"retention"}, "sftp.port": {"sftp", "port"}, "interapp.properties.timeout": {"interapp", "properties", "timeout"},
		"sftp.interactive_answers.a.b c.": {"sftp", "interactive_answers", "a.b c."}, "x.y": {"x", "y"},
	} {
		if got := PathOf(key); !slices.Equal(got, want) {
			t.Errorf("%s: %q", key, got)
		}
	}
}
