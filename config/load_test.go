package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

// variables is the environment of the tests.
func variables(name string) (string, bool) {
	value, ok := map[string]string{
		"SFTP_PASSWORD": "from the environment",
		"BILLING_TOKEN": "0123456789abcdef",
		"SECRET":        "hunter2",
		"INJECTION":     "22\npassword: x",
		"EMPTY":         "",

		"SHARE_PASSWORD":    "of the share",
		"UPLOAD_SECRET_KEY": "sk_upload",
		"SPACE_SECRET_KEY":  "sk_0123456789abcdef",
		"PORT":              "2222",
		"TRUE":              "true",
	}[name]
	return value, ok
}

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("testdata/good/config.yaml", []byte(text), variables)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return c
}

// parseOne parses a configuration of one connector "a", with more lines for its
// sftp and files and itself, and gives that.
func parseOne(t *testing.T, sftp, files, connector string) *Connector {
	t.Helper()
	return parse(t, oneConnector(sftp, files, connector)).Connectors["a"]
}

func oneConnector(sftp, files, connector string) string {
	return `connectors:
  a:
    sftp:
      host: sftp.example
      username: collector
      password: pw
      ` + sftp + `
    files:
      source_directory_path: /results
      destination_directory_path: results
      ` + files + `
    ` + connector + "\n"
}

// TestBad holds every bad file of testdata/bad to the exact messages beside it.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("only %d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".want")
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(file, text, variables)
			if err == nil || c != nil {
				t.Fatalf("got %v, %v; want an error and no configuration", c, err)
			}
			if mistakes := (Errors)(nil); !errors.As(err, &mistakes) {
				t.Errorf("the error is a %T", err)
			}
			got := strings.ReplaceAll(err.Error(), file+":", filepath.Base(file)+":") + "\n"
			if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("the message has a secret in it")
			}
		})
	}
}

// TestBadBytes is for texts that an editor or git would not leave alone.
func TestBadBytes(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"utf-16":           {"\xff\xfec\x00", "1: the file is UTF-16; save it as UTF-8"},
		"latin-1":          {"a:\n  b\xe9\n", "2: not UTF-8 text; save the file as UTF-8"},
		"line ends":        {"connectors: {}\r\n\r\nlog: 1\r\n", "3: log: unknown key; allowed: data_directory, server, connectors, space_server, spaces"},
		"control":          {"connectors: {}\na: \x01\n", "2: not valid YAML: control characters are not allowed"},
		"quote on line 1":  {"a: \"b\nc: d\n\n", "1: not valid YAML: found unexpected end of stream"},
		"quote not closed": {"a: b\nc: 'd\ne: f\n", "2: not valid YAML: found unexpected end of stream"},
		"inside of braces": {"a: {b: c,\n  d: @e,\n  f: g}\n", "2: not valid YAML: found character that cannot start any token"},
		"anchor in itself": {"connectors: &c\n  a: *c\n", "2: connectors.a.a: unknown key; allowed: direction, sftp, files, automatic_sftp_file_sync, time_zone, interapp, retention"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(test.text), nil)
			if err == nil || !strings.HasPrefix(err.Error(), "c.yaml:"+test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// A file that says nothing is one without connectors: the first one can be added to it.
func TestEmpty(t *testing.T) {
	for text, blank := range map[string]bool{
		"": true, "\ufeff": true, "# nothing yet\n": true, "---\n": true, "~": true,
		"connectors:\n": false, "connectors: {}\n": false, "connectors: &c\n  <<: *c\n": false, "data_directory: d\n": false, "spaces: {}\n": false,
	} {
		c, err := Parse("c.yaml", []byte(text), nil)
		if err != nil || !c.Empty() || c.Server.Listen == "" {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
		if Blank([]byte(text)) != blank {
			t.Errorf("%q: blank is not %t", text, blank)
		}
	}
	if c := parse(t, oneConnector("", "", "")); c.Empty() || Blank([]byte("a: [")) {
		t.Error("what has something is empty")
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	t.Setenv("SFTP_PASSWORD", "of the process")
	c, err := Load("testdata/good/shortest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Connectors["results"].SFTP.Password.Reveal(); got != "of the process" {
		t.Errorf("the password is %q", got)
	}
}

func TestDefaults(t *testing.T) {
	text, err := os.ReadFile("testdata/good/shortest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := Parse(filepath.Join(dir, "config.yaml"), text, variables)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		DataDirectory: filepath.Join(dir, "data"),
		Server:        Server{Listen: "127.0.0.1:8022", ReplyToAllow: []string{"http://127.0.0.1:*"}},
		Connectors: map[string]*Connector{"results": {
			Name:      "results",
			Direction: Download,
			SFTP: SFTP{
				Host: "sftp.vendor.example", Port: 22, Username: "collector",
				Authentication: Credentials, Password: "from the environment",
				HostKey: HostKey{HostKeyKnownHosts}, KnownHostsPath: filepath.Join(dir, "data", "known_hosts"),
			},
			Files: Files{
				SourceDirectoryPath: "/results", DestinationDirectoryPath: filepath.Join(dir, "results"),
				Include: []string{"**"}, Settle: Duration(5 * time.Second), Symlinks: FollowSymlinks,
				AfterCopy: AfterCopy{Action: Leave}, OnConflict: FailOnConflict, UploadName: UploadPending, Layout: Tree, NameEncoding: UTF8,
			},
			Sync:     Schedule{Text: "N/A"},
			TimeZone: TimeZone{time.UTC},
			InterApp: InterApp{
				RequestClass: "GetFilesRequest", ReplyClass: "GetFilesResponse",
				Properties: InterAppProperties{
					FileNameFilter: "fileNameFilter", FileTimeFrom: "fileTimeFrom", FileTimeTo: "fileTimeTo", Timeout: "timeout",
					Success: "success", Description: "description", FileNames: "fileNames", DestinationDirectoryPath: "destinationDirectoryPath",
				},
			},
			Retention: Duration(90 * 24 * time.Hour),
		}},
		SpaceServer: SpaceServer{
			MaximumFileSize: 100e6, InboxQuota: 10e9,
			Connections: 200, ConnectionsSpace: 20, IdleTimeout: Duration(10 * time.Minute),
		},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\n%+v\nwant\n%+v\n%+v", c, c.Connectors["results"], want, want.Connectors["results"])
	}
}

func loadGood(t *testing.T, name string) *Config {
	t.Helper()
	path := filepath.Join("testdata", "good", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(path, text, variables)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMerged(t *testing.T) {
	c := loadGood(t, "merged.yaml")
	north, south := c.Connectors["north"], c.Connectors["south"]
	for what, values := range map[string][2]any{
		"an own key wins":                {south.SFTP.Host, "south.example"},
		"a merged key counts":            {south.SFTP.Port, 2222},
		"an own secret beats its file":   {south.SFTP.Password.Reveal(), "plain"},
		"an own file beats a secret":     {c.Connectors["west"].SFTP.Password.Reveal(), "from a file"},
		"the anchored mapping as it was": {north.SFTP.Password.Reveal(), "from a file"},
		"the first merged mapping wins":  {strings.Join(south.Files.Include, " "), "*.csv"},
		"the second adds to it":          {strings.Join(south.Files.Exclude, " "), "*.bak"},
		"an alias of a value":            {south.Retention, Duration(365 * day)},
		"own keys before <<":             {filepath.Base(south.Files.DestinationDirectoryPath), "south"},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: got %v, want %v", what, values[0], values[1])
		}
	}
}

func TestSecretsFromFiles(t *testing.T) {
	c := loadGood(t, "secrets.yaml")
	dir, err := filepath.Abs("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	key := c.Connectors["key"]
	for what, values := range map[string][2]string{
		"one line end is cut":           {c.Connectors["credentials"].SFTP.Password.Reveal(), "from a file"},
		"one, with its carriage return": {key.SFTP.KeyPairsPassphrase.Reveal(), "two lines\nwith an end"},
		"without a line end":            {c.Server.Tokens[0].Token.Reveal(), "0123456789abcdef"},
		"certificate":                   {c.Server.TLS.Certificate, filepath.Join(dir, "tls", "server.crt")},
		"TLS key":                       {c.Server.TLS.Key, filepath.Join(dir, "tls", "server.key")},
		"key pair":                      {key.SFTP.KeyPairsPath, filepath.Join(dir, "keys", "id_ed25519")},
		"known_hosts":                   {key.SFTP.KnownHostsPath, filepath.Join(dir, "keys", "known_hosts")},
		"upwards":                       {key.Files.DestinationDirectoryPath, filepath.Join(filepath.Dir(dir), "b")},
		"a remote path is left alone":   {c.Connectors["credentials"].Files.SourceDirectoryPath, "."},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: got %q, want %q", what, values[0], values[1])
		}
	}
}

// TestMarksAndLineEnds reads what Windows editors write.
func TestMarksAndLineEnds(t *testing.T) {
	text := oneConnector("", "", "")
	plain := parse(t, text).Connectors["a"]
	for name, variant := range map[string]string{
		"byte order mark": "\ufeff" + text,
		"CRLF":            strings.ReplaceAll(text, "\n", "\r\n"),
		"both":            "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"),
		"document marks":  "---\n" + text + "...\n",
	} {
		if got := parse(t, variant).Connectors["a"]; !got.Equal(plain) {
			t.Errorf("%s: got %+v, want %+v", name, got, plain)
		}
	}
}

func TestValuesAsWritten(t *testing.T) {
	a := parseOne(t, "port: ${PORT}\n      legacy_algorithms: ${TRUE}\n      key_pairs_passphrase: ${EMPTY}\n      proxy_jump: a$$b@jump.example",
		`exclude: ["regex:\\.(csv|txt)$$", "${SECRET}/*.$$${PORT}", /top/*.csv]`, "time_zone: Europe/Brussels")
	b := parse(t, strings.Replace(oneConnector("", "", ""), "password: pw", "password: 0123", 1)).Connectors["a"]
	for what, values := range map[string][2]any{
		"number from a variable":    {a.SFTP.Port, 2222},
		"bool from a variable":      {a.SFTP.LegacyAlgorithms, true},
		"an empty variable":         {a.SFTP.KeyPairsPassphrase, Secret("")},
		"a dollar":                  {a.SFTP.ProxyJump, "a$b@jump.example"},
		"a dollar at the end":       {a.Files.Exclude[0], `regex:\.(csv|txt)$`},
		"dollars and variables":     {a.Files.Exclude[1], "hunter2/*.$2222"},
		"a pattern from the source": {a.Files.Exclude[2], "/top/*.csv"},
		"zone":                      {a.TimeZone.String(), "Europe/Brussels"},
		"a password of digits":      {b.SFTP.Password.Reveal(), "0123"},
	} {
		if values[0] != values[1] {
			t.Errorf("%s: got %v, want %v", what, values[0], values[1])
		}
	}
}

// TestNullIsAbsent: a key without a value keeps its default.
func TestNullIsAbsent(t *testing.T) {
	plain := parseOne(t, "", "", "")
	got := parseOne(t, "port:\n      host_key: ~\n      connections: null", "include:\n      settle:", "interapp:")
	if !got.Equal(plain) {
		t.Errorf("got %+v, want %+v", got, plain)
	}
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	above := filepath.Dir(dir)
	for path, want := range map[string]string{
		"a":                      filepath.Join(dir, "a"),
		"./a/../b/":              filepath.Join(dir, "b"),
		"../a":                   filepath.Join(above, "a"),
		filepath.Join(above, ""): above,
		"~a":                     filepath.Join(dir, "~a"),
	} {
		if got, err := resolve(dir, path); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", path, got, err, want)
		}
	}
	for _, path := range []string{"~", "~/a", `~\a`, "a\x00b"} {
		if got, err := resolve(dir, path); err == nil {
			t.Errorf("%q gives %s", path, got)
		}
	}
}

func TestListen(t *testing.T) {
	for address, local := range map[string]bool{
		"127.0.0.1:8022": true, "127.8.9.1:0": true, "[::1]:8022": true, "localhost:8022": true, "LOCALHOST:1": true,
		"[::ffff:127.0.0.1]:1": true,
		":8022":                false, "0.0.0.0:8022": false, "[::]:8022": false, "192.0.2.1:8022": false, "host.example:8022": false,
		"localhost.example:1": false,
	} {
		text := "server:\n  listen: \"" + address + "\"\n"
		_, err := Parse("c.yaml", []byte(text+oneConnector("", "", "")), variables)
		if (err == nil) != local {
			t.Errorf("%s without a token: %v", address, err)
		}
		text += "  tokens: [{name: a, token: \"${BILLING_TOKEN}\", scopes: [read]}]\n"
		parse(t, text+oneConnector("", "", ""))
	}
}

func TestReplyToAllow(t *testing.T) {
	for _, text := range []string{"http://127.0.0.1:*", "https://host.example", "https://host.example/", "http://host:8080", "http://[::1]:*", "http://[::1]:80"} {
		if !allowsReplies(text) {
			t.Errorf("%s is refused", text)
		}
	}
	for _, text := range []string{"", "*", "http://", "http://:80", "http://host:", "http://host:0", "http://host:*/x", "http://host?x", "http://host?", "http://host#x", "file:///x", "http://host:*:*"} {
		if allowsReplies(text) {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestJump(t *testing.T) {
	for text, want := range map[string]struct {
		user, host string
		port       int
	}{
		"u@jump.example:2222":       {"u", "jump.example", 2222},
		"jump.example":              {"collector", "jump.example", 22},
		"jump.example:2222":         {"collector", "jump.example", 2222},
		"u@192.0.2.1":               {"u", "192.0.2.1", 22},
		"u@[2001:db8::1]:2222":      {"u", "2001:db8::1", 2222},
		"[2001:db8::1]":             {"collector", "2001:db8::1", 22},
		"u@domain.example@jump:222": {"u@domain.example", "jump", 222},
	} {
		user, host, port, ok := (SFTP{ProxyJump: text, Username: "collector"}).Jump()
		if !ok || user != want.user || host != want.host || port != want.port {
			t.Errorf("%s: got %s, %s, %d, %v", text, user, host, port, ok)
		}
	}
	for _, text := range []string{"", "u@", "@h", "u:pw@h", "h:0", "h:65536", "h:x", "h:", "::1", "u@::1", "a,b", "[h", "h]", "[]", "[::1]:", "a b"} {
		if user, host, port, ok := (SFTP{ProxyJump: text}).Jump(); ok {
			t.Errorf("%q: got %s, %s, %d", text, user, host, port)
		}
	}
}

// TestLoadServer: mistakes elsewhere in the file do not keep a program from the daemon.
func TestLoadServer(t *testing.T) {
	const token = "0123456789abcdef"
	for _, c := range []struct {
		name, text string
		dir        bool // the data directory is known
		token      string
		mistakes   []string
	}{
		{"no mistake", "server: {tokens: [{name: a, token: " + token + ", scopes: [read]}]}\n" + oneConnector("", "", ""), true, token, nil},
		{"a variable of a connector", "server: {tokens: [{name: a, token: " + token + ", scopes: [read]}]}\n" +
			strings.Replace(oneConnector("", "", ""), "password: pw", "password: ${LOAD_SERVER_UNSET}", 1), true, token, []string{"LOAD_SERVER_UNSET"}},
		{"an unknown key", "connectors: {a: {sftp: {hots: x}}}\nserver: {tokens: [{name: a, token: " + token + ", scopes: [read]}]}\n", true, token, []string{"hots", "host"}},
		{"a variable of the token", "server: {tokens: [{name: a, token: '${LOAD_SERVER_UNSET}', scopes: [read]}]}\n" + oneConnector("", "", ""), true, "", []string{"server.tokens[0].token"}},
		{"a variable of the data directory", "data_directory: ${LOAD_SERVER_UNSET}\n" + oneConnector("", "", ""), false, "", []string{"data_directory"}},
		{"no YAML", "a: [", false, "", []string{"c.yaml:1"}},
		{"no mapping", "- a", false, "", []string{"mapping"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.yaml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			dir, server, err := LoadServer(path)
			want := ""
			if c.dir {
				want = filepath.Join(filepath.Dir(path), "data")
			}
			if dir != want {
				t.Errorf("data directory %q, want %q", dir, want)
			}
			if c.dir && (len(server.Tokens) != 1 || server.Tokens[0].Token.Reveal() != c.token) {
				t.Errorf("tokens %+v", server.Tokens)
			}
			if (err == nil) != (len(c.mistakes) == 0) {
				t.Errorf("error %v", err)
			}
			for _, m := range c.mistakes {
				if !strings.Contains(err.Error(), m) {
					t.Errorf("%q is not in %v", m, err)
				}
			}
		})
	}
	if _, _, err := LoadServer(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}
