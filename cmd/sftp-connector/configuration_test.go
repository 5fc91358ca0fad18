package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sftpconnector/interapp"
	"sftpconnector/store/sftp/sftptest"
)

// editing is a daemon whose configuration file is changed over its API.
type editing struct {
	*site
	d      *running
	client *interapp.Client
	told   []string // all that it answered
}

func edited(t *testing.T, text string) *editing {
	t.Helper()
	e := &editing{site: &site{t, t.TempDir()}}
	e.writeAsIs(text)
	e.d = e.daemon()
	e.client = e.operator()
	t.Cleanup(e.client.Close)
	return e
}

// writeAsIs writes the configuration without any change.
func (e *editing) writeAsIs(text string) {
	e.t.Helper()
	if err := os.WriteFile(e.path("config.yaml"), []byte(text), 0o640); err != nil {
		e.t.Fatal(err)
	}
}

func (e *editing) text() string {
	e.t.Helper()
	text, err := os.ReadFile(e.path("config.yaml"))
	if err != nil {
		e.t.Fatal(err)
	}
	return string(text)
}

func (e *editing) version() string {
	e.t.Helper()
	c, err := e.client.Configuration(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	e.tell(c)
	return c.Version
}

func (e *editing) tell(answer any) {
	e.t.Helper()
	text, err := json.Marshal(answer)
	if err != nil {
		e.t.Fatal(err)
	}
	e.told = append(e.told, string(text))
}

// put changes a connector, from the file as it stands unless the change names another one.
func (e *editing) put(name string, change interapp.ConnectorChange) (interapp.ConnectorChanged, error) {
	e.t.Helper()
	return e.send(name, change, e.client.ChangeConnector)
}

func (e *editing) send(name string, change interapp.ConnectorChange, how sending) (interapp.ConnectorChanged, error) {
	e.t.Helper()
	if change.Version == "" {
		change.Version = e.version()
	}
	out, err := how(e.t.Context(), name, change)
	e.tell(out)
	if err != nil {
		e.told = append(e.told, err.Error())
	}
	return out, err
}

type sending = func(ctx context.Context, name string, change interapp.ConnectorChange) (interapp.ConnectorChanged, error)

// set makes the change of some keys.
func set(pairs ...string) interapp.ConnectorChange {
	c := interapp.ConnectorChange{Set: map[string]*string{}}
	for i := 0; i < len(pairs); i += 2 {
		c.Set[pairs[i]] = &pairs[i+1]
	}
	return c
}

func yamlText(text string) interapp.ConnectorChange { return interapp.ConnectorChange{YAML: &text} }

// refused checks that an error is a problem with the code, whose detail has the texts.
func refused(t *testing.T, err error, code int, texts ...string) {
	t.Helper()
	p, ok := errors.AsType[*interapp.Problem](err)
	if !ok || p.Status != code {
		t.Errorf("got %v, want a problem %d with %q", err, code, texts)
		return
	}
	for _, text := range texts {
		if !strings.Contains(p.Detail, text) {
			t.Errorf("the detail lacks %q: %s", text, p.Detail)
		}
	}
}

const (
	canary      = "canary-pa55word"
	shareCanary = "canary-of-the-share"
	jumpCanary  = "canary-of-the-jump"
	noteCanary  = "canary-in-a-comment"
	newCanary   = "canary-that-is-n€w$x"
)

// noted is a configuration with comments and everything that may be lost.
const noted = `# of the site
server:
  listen: 127.0.0.1:0   # any port

connectors:
  # the first one
  results:              # of the lab
    sftp:
      host: 127.0.0.1
      port: 1           # closed
      username: collector
      password: ` + canary + ` # do not tell
      # password: ` + noteCanary + `
      proxy_jump: jump@127.0.0.1:1
      proxy_jump_password: '` + jumpCanary + `'
    files: {source_directory_path: /results, destination_directory_path: "smb://127.0.0.1/share", system_username: u, system_password: "` + shareCanary + `"}
    retention: 30d      # a month

  # the second one
  other:
    sftp: {host: 127.0.0.1, port: 1, username: "${HOME}", password: ` + canary + `}
    files: {source_directory_path: /, destination_directory_path: ./other}
`

// A change is one line of the file, and the daemon goes over to it.
func TestChangeIsOneLine(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"LF": noted, "CRLF": strings.ReplaceAll(noted, "\n", "\r\n")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := edited(t, text)
			out, err := e.put("results", set("retention", "60d"))
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(text, "retention: 30d ", "retention: 60d ", 1); e.text() != want {
				t.Errorf("the file is\n%s", e.text())
			}
			line := strings.Count(text[:strings.Index(text, "retention")], "\n") + 1
			if !slices.Equal(out.Changes, []interapp.DiffLine{
				{Line: line, Op: "-", Text: "    retention: 30d      # a month"}, {Line: line, Op: "+", Text: "    retention: 60d      # a month"},
			}) || !slices.Equal(out.Settings, []interapp.SettingNow{{Key: "retention", Before: "30d", After: "60d"}}) {
				t.Errorf("%+v", out)
			}
			if !out.Saved || out.Reload == nil || !slices.Equal(out.Reload.Changed, []string{"results"}) || out.Reload.Error != "" {
				t.Errorf("%+v", out)
			}
			if info, err := os.Stat(e.path("config.yaml")); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%v, %v", info, err)
			}
			backup, err := os.ReadFile(out.Backup)
			if err != nil || string(backup) != text || filepath.Dir(out.Backup) != e.dir {
				t.Errorf("the backup: %v", err)
			}
			c, err := e.client.Configuration(t.Context())
			if err != nil || c.Version != out.Version || c.Loaded != c.Version || c.Newer || c.LastReload == nil || c.ReadOnly != "" || len(c.Mistakes) != 0 {
				t.Errorf("%+v, %v", c, err)
			}
			e.d.stop().gives(0)
		})
	}
}

// A connector is changed as text, added and removed, and comments stay.
func TestChangeAsText(t *testing.T) {
	t.Parallel()
	e := edited(t, noted)
	c, err := e.client.ConnectorConfiguration(t.Context(), "results")
	if err != nil || !strings.Contains(c.YAML, "password: \"[redacted]\" # do not tell\n") || !strings.HasPrefix(c.YAML, "sftp:\n") {
		t.Fatalf("%s, %v", c.YAML, err)
	}
	e.tell(c)
	out, err := e.put("results", yamlText(c.YAML))
	if err != nil || e.text() != noted || len(out.Changes) != 0 {
		t.Errorf("sent back as it came: %+v, %v\n%s", out, err, e.text())
	}
	text := strings.Replace(c.YAML, "retention: 30d", "retention: 31d", 1)
	if out, err = e.put("results", yamlText(text)); err != nil || e.text() != strings.Replace(noted, "30d ", "31d ", 1) || len(out.Changes) != 2 {
		t.Errorf("%+v, %v\n%s", out, err, e.text())
	}
	before := e.text()
	out, err = e.send("third", yamlText("# new\nsftp: {host: 127.0.0.1, username: u, password: "+newCanary[:15]+"}\nfiles:\n  source_directory_path: /\n  destination_directory_path: ./third\n"), e.client.CreateConnector)
	if err != nil || !strings.HasPrefix(e.text(), before) || !slices.Equal(out.Reload.Added, []string{"third"}) {
		t.Errorf("%+v, %v\n%s", out, err, e.text())
	}
	if _, err := e.client.Connector(t.Context(), "third"); err != nil {
		t.Error(err)
	}
	_, err = e.send("third", set("sftp.host", "127.0.0.1"), e.client.CreateConnector)
	refused(t, err, 409, "already")
	out, err = e.client.RemoveConnector(t.Context(), "third", e.version(), true)
	if err != nil || out.Saved || len(out.Changes) != 6 || len(out.Settings) != 5 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = e.client.RemoveConnector(t.Context(), "third", e.version(), false)
	if err != nil || e.text() != before || !slices.Equal(out.Reload.Removed, []string{"third"}) {
		t.Errorf("%+v, %v\n%s", out, err, e.text())
	}
	if err := e.configured(
		"configure results: no setting",
		"configure results: retention: 30d → 31d",
		"create third: sftp.host: none → 127.0.0.1, ",
		"create third: ",
		"remove third: sftp.host: 127.0.0.1 → none, ",
	); err != nil {
		t.Error(err)
	}
	_, err = e.client.RemoveConnector(t.Context(), "third", e.version(), false)
	refused(t, err, 404, "third")
	e.notTold()
	e.d.stop().gives(0)
}

// notTold checks that no answer and no log has a secret.
func (e *editing) notTold() {
	e.t.Helper()
	for _, text := range append(e.told, e.d.stderr.String()) {
		for _, secret := range []string{canary, shareCanary, jumpCanary, noteCanary, newCanary, newCanary[:15]} {
			if at := strings.Index(text, secret); at >= 0 {
				e.t.Errorf("a secret is told: …%s…", text[max(0, at-200):min(len(text), at+50)])
			}
		}
	}
}

// configured checks that the audit has these changes of the configuration, oldest first,
// each by its beginning, and that those that were not saved are told as not done.
func (e *editing) configured(want ...string) error {
	page, err := e.client.Audit(e.t.Context(), "", "", 1000)
	if err != nil {
		return err
	}
	e.tell(page)
	var got []string
	for _, entry := range slices.Backward(page.Entries) {
		if entry.Action != "configure" && entry.Action != "create" && entry.Action != "remove" {
			continue
		}
		line := fmt.Sprintf("%s %s: %s", entry.Action, entry.Connector, entry.Detail)
		if got = append(got, line); entry.OK != (entry.Status < 400 && !strings.Contains(line, "not saved")) {
			return fmt.Errorf("%s: done is %t", line, entry.OK)
		}
	}
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		return fmt.Errorf("the audit has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return nil
}

// The edit of another hand is neither lost nor overwritten.
func TestChangeConflicts(t *testing.T) {
	t.Parallel()
	e := edited(t, noted)
	version := e.version()
	other := strings.Replace(noted, "# of the site", "# of another hand", 1)
	e.writeAsIs(other)
	change := set("retention", "60d")
	change.Version = version
	_, err := e.put("results", change)
	refused(t, err, 409, "another one", "new version")
	if e.text() != other {
		t.Errorf("the file is\n%s", e.text())
	}
	if c, err := e.client.Configuration(t.Context()); err != nil || !c.Newer || c.Loaded != version || c.Version == version {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := e.put("results", set("retention", "60d")); err != nil || e.text() != strings.Replace(other, "30d ", "60d ", 1) {
		t.Errorf("%v\n%s", err, e.text())
	}
	// A file with mistakes is not made worse, and not loaded.
	broken := strings.Replace(noted, "retention: 30d", "retention: soon", 1)
	e.writeAsIs(broken)
	_, err = e.put("results", set("retention", "60d"))
	refused(t, err, 422, "mistakes", "results.retention")
	c, err := e.client.Configuration(t.Context())
	if err != nil || len(c.Mistakes) != 1 || !strings.Contains(c.Mistakes[0], "retention") || !strings.Contains(c.YAML, "retention: soon") {
		t.Errorf("%+v, %v", c, err)
	}
	e.tell(c)
	e.run("reload").gives(1, "refused", "results.retention")
	e.notTold()
	e.d.stop().gives(0)
}

// A stored secret goes nowhere but where it went, whichever way it is asked to.
func TestStoredSecretsStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	e := edited(t, noted)
	c, err := e.client.ConnectorConfiguration(t.Context(), "results")
	if err != nil {
		t.Fatal(err)
	}
	replaced := func(old, now string) interapp.ConnectorChange {
		if !strings.Contains(c.YAML, old) {
			t.Fatalf("%q is not in\n%s", old, c.YAML)
		}
		return yamlText(strings.ReplaceAll(c.YAML, old, now))
	}
	with := func(c interapp.ConnectorChange) interapp.ConnectorChange { c.Check = true; return c }
	for name, test := range map[string]struct {
		change interapp.ConnectorChange
		says   []string
	}{
		"host":              {set("sftp.host", "localhost"), []string{"sftp.password", "enter it again", "sftp.host"}},
		"port":              {set("sftp.port", "2"), []string{"sftp.password", "sftp.port"}},
		"user":              {set("sftp.username", "u"), []string{"sftp.password", "sftp.username"}},
		"host key":          {set("sftp.host_key", "accept-new"), []string{"sftp.password", "sftp.host_key"}},
		"for a check":       {with(set("sftp.host", "localhost")), []string{"sftp.password"}},
		"the jump host":     {set("sftp.proxy_jump", "jump@127.0.0.1:2", "sftp.password", newCanary), []string{"sftp.proxy_jump_password"}},
		"the share":         {set("files.destination_directory_path", "smb://127.0.0.2/share"), []string{"files.system_password"}},
		"user of the share": {set("files.system_username", "v"), []string{"files.system_password"}},
		"as it was shown":   {set("sftp.host", "localhost", "sftp.password", "[redacted]"), []string{"sftp.password"}},
		"host as text":      {replaced("host: 127.0.0.1", "host: localhost"), []string{"sftp.password"}},
		"another key":       {replaced("username: collector", "username: collector\n  key_pairs_passphrase: '[redacted]'"), []string{"key_pairs_passphrase", "no secret to keep"}},
		"a variable":        {set("sftp.username", "${PATH}"), []string{"sftp.username", "environment"}},
		"in a secret":       {replaced(`"[redacted]" # do`, `"${PATH}" # do`), []string{"sftp.password", "environment"}},
		"a file":            {set("sftp.password_file", "/etc/hostname"), []string{"password_file"}},
		"a file as text":    {replaced(`password: "[redacted]" # do`, `password_file: /etc/hostname #`), []string{"sftp.password_file", "files"}},
		"an anchor":         {replaced("username: collector", "username: &x collector\n  known_hosts_path: *x"), []string{"alias"}},
		"no such setting":   {set("sftp.hots", "x"), []string{"sftp.hots"}},
		"a mistake":         {set("sftp.port", "many"), []string{"sftp.port", "whole number"}},
		"not YAML":          {yamlText("sftp: [\n"), []string{"YAML"}},
		"out of its place":  {yamlText("{}}\n  x: {"), nil},
		"both":              {interapp.ConnectorChange{YAML: new(string), Set: set("retention", "1d").Set}, []string{"one of the two"}},
	} {
		_, err := e.put("results", test.change)
		if err == nil {
			t.Errorf("%s: it was taken", name)
			continue
		}
		refused(t, err, 422, test.says...)
	}
	_, err = e.send("thief", yamlText("sftp: {host: 127.0.0.1, username: u, password: '[redacted]'}\nfiles: {source_directory_path: /, destination_directory_path: ./x}\n"), e.client.CreateConnector)
	refused(t, err, 422, "no secret to keep")
	_, err = e.send("thief", yamlText("sftp: {host: 127.0.0.1, username: \"${HOME}\", password: abc}\nfiles: {source_directory_path: /, destination_directory_path: ./x}\n"), e.client.CreateConnector)
	refused(t, err, 422, "environment")
	if e.text() != noted {
		t.Errorf("the file is\n%s", e.text())
	}
	// Entered with the change, they go; and a dollar in one is a dollar.
	out, err := e.put("results", set("sftp.host", "localhost", "sftp.password", newCanary, "sftp.proxy_jump", "jump@127.0.0.1:2", "sftp.proxy_jump_password", newCanary))
	if err != nil || !out.Saved || !strings.Contains(e.text(), "password: "+strings.ReplaceAll(newCanary, "$", "$$")+" # do not tell") {
		t.Errorf("%+v, %v\n%s", out, err, e.text())
	}
	// What goes to the same place stays, with its variable.
	if out, err = e.put("other", set("retention", "3d")); err != nil || !strings.Contains(e.text(), `username: "${HOME}", password: `+canary+"}") {
		t.Errorf("%+v, %v\n%s", out, err, e.text())
	}
	// The old and the new secret look the same, and the lines are told all the same.
	if out, err = e.put("other", set("sftp.password", newCanary)); err != nil || len(out.Changes) != 2 || !strings.Contains(out.Changes[1].Text, "[redacted]") || len(out.Settings) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	e.notTold()
	e.d.stop().gives(0)
}

// From nothing to copied files: the first connector is added, tested and applied.
func TestTheFirstConnector(t *testing.T) {
	t.Parallel()
	server := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, server.Root, "a.csv", "x", old)
	e := edited(t, "# nothing yet\nserver: {listen: 127.0.0.1:0}\n")
	if log := e.d.stderr.String(); !strings.Contains(log, "add a connector on the pages") || !strings.Contains(log, "pages="+e.url()) {
		t.Errorf("the log does not name the pages:\n%s", log)
	}
	for _, verb := range []string{"apply", "status"} {
		e.run(verb).gives(1).says("nothing can be delivered")
	}
	for _, verb := range []string{"check", "config check"} {
		e.run(strings.Fields(verb)...).gives(2).says("nothing can be delivered")
	}
	_, err := e.send("results", interapp.ConnectorChange{}, e.client.CreateConnector)
	refused(t, err, 422, "needs at least sftp.host", "sftp.password", "files.destination_directory_path.")
	change := set("sftp.host", server.Host, "sftp.port", fmt.Sprint(server.Port+1), "sftp.username", server.User, "sftp.authentication", "key-pairs",
		"sftp.key_pairs_path", server.PrivateKeyPath, "sftp.known_hosts_path", server.KnownHosts, "files.settle", "0s",
		"files.source_directory_path", server.Root, "files.destination_directory_path", "./results", "files.include", "*.csv\n*.txt")
	closed := fmt.Sprint(closedPort(t))
	change.Set["sftp.port"], change.Check = &closed, true
	out, err := e.send("results", change, e.client.CreateConnector)
	if err != nil || out.Saved || out.Check == nil || out.Check.ConnectionStatus == "Connection Valid" || out.Reload != nil {
		t.Fatalf("a test that fails: %+v, %v", out, err)
	}
	if strings.Contains(e.text(), "connectors") {
		t.Errorf("it was saved:\n%s", e.text())
	}
	port := fmt.Sprint(server.Port)
	change.Set["sftp.port"], change.DryRun = &port, true
	if out, err = e.send("results", change, e.client.CreateConnector); err != nil || out.Saved || out.Check.ConnectionStatus != "Connection Valid" || len(out.Changes) < 10 {
		t.Fatalf("dry: %+v, %v", out, err)
	}
	change.DryRun = false
	if out, err = e.send("results", change, e.client.CreateConnector); err != nil || !out.Saved || !slices.Equal(out.Reload.Added, []string{"results"}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if !strings.HasPrefix(e.text(), "# nothing yet\nserver: {listen: 127.0.0.1:0}\nconnectors:\n  results:\n    sftp:\n      host: "+server.Host+"\n      port: "+port+"\n") ||
		!strings.Contains(e.text(), `include: ["*.csv", "*.txt"]`) {
		t.Errorf("the file is\n%s", e.text())
	}
	e.run("apply").gives(0, "succeeded")
	sftptest.CompareTrees(t, server.Root, e.path("results"))
	e.run("reload").gives(0, "nothing changed")
	// A test of other settings says nothing of those that run.
	change = set("sftp.port", closed)
	change.Check = true
	if out, err = e.put("results", change); err != nil || out.Saved || out.Check.ConnectionStatus == "Connection Valid" {
		t.Errorf("a test that fails: %+v, %v", out, err)
	}
	if c := connectorOf(t, e.site, "results"); c.ConnectionStatus != "Connection Valid" {
		t.Errorf("the connector is %s", c.ConnectionStatus)
	}
	change.Force = true
	if out, err = e.put("results", change); err != nil || !out.Saved || out.Check.ConnectionStatus == "Connection Valid" {
		t.Errorf("with force: %+v, %v", out, err)
	}
	secret := set("sftp.key_pairs_passphrase", newCanary)
	secret.Force = true
	if out, err = e.put("results", secret); err != nil || !out.Saved {
		t.Errorf("a secret: %+v, %v", out, err)
	}
	if err := e.configured(
		"create results: ", // of nothing
		"create results: not saved: Connection Refused",
		"create results: sftp.host: none → "+server.Host+", ",
		"configure results: not saved: Connection Refused",
		"configure results: sftp.port: "+port+" → "+closed,
		"configure results: sftp.key_pairs_passphrase: none → [redacted]",
	); err != nil {
		t.Error(err)
	}
	// An emptied file takes nothing away.
	e.writeAsIs("")
	e.run("reload").gives(1, "says nothing")
	if _, err := e.client.Connector(t.Context(), "results"); err != nil {
		t.Error(err)
	}
	e.d.stop().gives(0)
}

// The verbs say what is in force, from where, and what a reload changed; new tokens are
// asked for at once.
func TestReloadVerb(t *testing.T) {
	t.Parallel()
	e := edited(t, noted)
	e.run("config", "show", "results").gives(0, "retention", "30d", "config.yaml:17", "default", "[redacted]")
	e.run("config", "show", "results", "--json").gives(0, `"key": "sftp.port"`)
	if err := e.client.SetSchedule(t.Context(), "results", "7h"); err != nil {
		t.Fatal(err)
	}
	e.run("config", "show", "results").gives(0, "7h", "API; the file has N/A")
	e.run("config", "show").gives(0, "server.listen", "connectors", "other, results")
	e.writeAsIs(strings.Replace(strings.Replace(noted, "30d", "31d", 1), "listen: 127.0.0.1:0", "tokens: [{name: all, token: 0123456789abcdef0, scopes: [read, configure]}]\n  listen: 127.0.0.1:1", 1))
	e.run("reload").gives(1, "changed: results, server.tokens", "refused: server.listen takes effect at the next start")
	program := interapp.NewClient(e.url(), "0123456789abcdef0")
	defer program.Close()
	if _, err := program.Configuration(t.Context()); err != nil {
		t.Errorf("the new token: %v", err)
	}
	e.run("reload", "--json").gives(1, `"refused"`)
	e.d.signal(syscall.SIGTERM)
	e.d.wait(15 * time.Second).gives(0)
	e.run("reload").gives(1).says("no daemon runs")
	e.run("config", "show", "results").gives(0, "31d", "[redacted]")
	e.run("config", "show", "nobody").gives(2).says("there is no connector")
	e.run("config", "show", "--json").gives(0, `"yaml"`)
}
