package edit

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func maskedText(t *testing.T, text string) string {
	t.Helper()
	shown, err := parse(t, text).Masked()
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return shown
}

// Secrets are hidden in whatever form they are written; all the rest stays as it is.
func TestMasked(t *testing.T) {
	t.Parallel()
	sftp := func(text string) string {
		return "connectors:\n  a:\n    sftp:\n" + strings.ReplaceAll("      "+text, "\n", "\n      ") + "\n    retention: 90d # kept\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"plain":             {"password: s3cret # c", `password: "[redacted]" # c`},
		"a number":          {"password: 53237", `password: "[redacted]"`},
		"single quotes":     {"password: 's3''cret'", `password: "[redacted]"`},
		"double quotes":     {`password: "s3\"cret"`, `password: "[redacted]"`},
		"in braces":         {"{password: s3cret, port: 22}", `{password: "[redacted]", port: 22}`},
		"a literal":         {"password: |\n  s3cret\n  s3cret\nport: 22", "password: \"[redacted]\"\nport: 22"},
		"folded":            {"password: >-\n  s3cret\nport: 22", "password: \"[redacted]\"\nport: 22"},
		"plain of lines":    {"password: s3cret\n  s3cret\nport: 22", "password: \"[redacted]\"\nport: 22"},
		"quoted lines":      {"password: \"s3cret\n  s3cret\"\nport: 22", "password: \"[redacted]\"\nport: 22"},
		"an anchor":         {"password: &x s3cret\nproxy_jump_password: *x", "password: &x \"[redacted]\"\nproxy_jump_password: *x"},
		"an alias":          {"username: &x s3cret\npassword: *x", "username: &x \"[redacted]\"\npassword: *x"},
		"a tag":             {"password: !!str s3cret", `password: !!str "[redacted]"`},
		"a variable":        {`password: "${NAME}"`, `password: "${NAME}"`},
		"more than it":      {`password: "${NAME}s3cret"`, `password: "[redacted]"`},
		"a file":            {"password_file: ./name", "password_file: ./name"},
		"empty":             {`password: ""`, `password: ""`},
		"nothing":           {"password: # none", "password: # none"},
		"answers":           {"interactive_answers: {Code: s3cret, Pin_file: ./name}", `interactive_answers: {Code: "[redacted]", Pin_file: ./name}`},
		"an API":            {"credentials_api: {url: https://x, secret_key: s3cret}", `credentials_api: {url: https://x, secret_key: "[redacted]"}`},
		"an unknown key":    {"pasword: s3cret", `pasword: "[redacted]"`},
		"below one":         {"old: {password: [s3cret]}", `old: {password: ["[redacted]"]}`},
		"a comment":         {"# password: s3cret\nport: 22", "# password: [redacted]\nport: 22"},
		"a longer name":     {"# system_password: s3cret\nport: 22", "# system_password: [redacted]\nport: 22"},
		"a comment behind":  {"port: 22 # \"password\": 's3cret'", "port: 22 # \"password\": [redacted]"},
		"no secret comment": {"port: 22 # password: ${NAME}", "port: 22 # password: ${NAME}"},
	} {
		for _, ends := range []string{"\n", "\r\n"} {
			text, want := strings.ReplaceAll(sftp(c.text), "\n", ends), strings.ReplaceAll(sftp(c.want), "\n", ends)
			if strings.HasPrefix(c.text, "{") { // it is the value itself
				text, want = strings.Replace(text, "sftp:"+ends+"      ", "sftp: ", 1), strings.Replace(want, "sftp:"+ends+"      ", "sftp: ", 1)
			}
			got := maskedText(t, text)
			if got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
			}
			if strings.Contains(got, "s3cret") {
				t.Errorf("%s: the secret is shown:\n%s", name, got)
			}
			if again := maskedText(t, got); again != got {
				t.Errorf("%s: masked twice it is\n%s", name, again)
			}
		}
	}
	if got := maskedText(t, "server: {tokens: [{name: a, token: s3cret}]}\nspace_server: {secret_keys: [{name: a, key: s3cret}]}\n"); strings.Contains(got, "s3cret") || !strings.Contains(got, "name: a") {
		t.Error(got)
	}
	text := string(example(t).Text())
	if got := maskedText(t, text); strings.Count(got, "\n") != strings.Count(text, "\n") || strings.Contains(got, Redacted) {
		t.Errorf("the example has no secret:\n%s", got)
	}
}

// What comes back as it was shown is as it was.
func TestUnmasked(t *testing.T) {
	t.Parallel()
	const text = "connectors:\n  a: # c\n    sftp: {host: h, password: 's3''cret', proxy_jump_password: &x \"other\"} # d\n    # token: s3cret\n    files:\n      system_password: |\n        of lines\n    interapp: {}\n  b:\n    sftp: {password: of-b}\n"
	before := parse(t, text)
	back := func(name, shown string) (string, error) {
		t.Helper()
		typed, err := before.SetConnector(name, before.Uncommented(name, shown))
		if err != nil {
			return "", err
		}
		after, err := typed.Unmasked(before, name)
		if err != nil {
			return "", err
		}
		return string(after.Text()), nil
	}
	shown, err := parse(t, maskedText(t, text)).Connector("a")
	if err != nil || strings.Contains(shown, "s3") || strings.Contains(shown, "of lines") {
		t.Fatalf("%s, %v", shown, err)
	}
	// An anchor is kept to an editor: who has it may be told what others are told.
	if _, err := back("a", shown); err == nil || !strings.Contains(err.Error(), "proxy_jump_password") {
		t.Errorf("with an anchor: %v", err)
	}
	plain := strings.Replace(text, "&x ", "", 1)
	before = parse(t, plain)
	if shown, err = parse(t, maskedText(t, plain)).Connector("a"); err != nil {
		t.Fatal(err)
	}
	got, err := back("a", shown)
	if want := strings.Replace(plain, "system_password: |\n        of lines\n", "system_password: \"of lines\\n\"\n", 1); err != nil || got != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if got, err = back("a", strings.Replace(shown, `password: "[redacted]",`, "password: new, port: 1,", 1)); err != nil || !strings.Contains(got, `{host: h, password: new, port: 1, proxy_jump_password: "other"} # d`) {
		t.Errorf("%v\n%s", err, got)
	}
	for _, wrong := range []string{"sftp: {key_pairs_passphrase: '[redacted]'}", "sftp: {password: 'a[redacted]'}", "files: {system_password: x}\nsftp: {interactive_answers: {X: '[redacted]'}}"} {
		if _, err := back("a", wrong); !errors.As(err, new(*MissingSecret)) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if _, err := back("c", "sftp: {password: '[redacted]'}"); !errors.As(err, new(*MissingSecret)) {
		t.Errorf("of no connector: %v", err)
	}
}

// A secret that becomes another one is told, and shown neither before nor after.
func TestDiffHidesSecrets(t *testing.T) {
	t.Parallel()
	text := func(password, port string) *Document {
		return parse(t, "connectors:\n  a:\n    sftp:\n      password: "+password+"\n      port: "+port+"\n")
	}
	lines := func(a, b *Document) (out []Line) {
		out, err := Diff(a, b)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := lines(text("one", "1"), text("one", "1")); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if got, want := lines(text("one", "1"), text("two", "1")), []Line{
		{4, false, `      password: "[redacted]"`}, {4, true, `      password: "[redacted]"`},
	}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got, want := lines(text("|\n        one\n        two", "1"), text("two", "2")), []Line{
		{4, false, `      password: "[redacted]"`}, {7, false, "      port: 1"}, {4, true, `      password: "[redacted]"`}, {5, true, "      port: 2"},
	}; !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}
