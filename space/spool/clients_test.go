package spool_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// run runs a real client, and gives all that it prints.
func run(t *testing.T, dir, input, command string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// samples is a directory with files to upload.
func samples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range map[string]int{"a.csv": 100_000, "large": 9_000_000, "empty": 0} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("0123456789"), size/10), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, "a.csv"), then, then); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOpenSSHSftp(t *testing.T) {
	t.Parallel()
	dir, from := filepath.Join(t.TempDir(), "in"), samples(t)
	batch := func(lines ...string) string {
		return run(t, from, strings.Join(lines, "\n")+"\n", "sftp", "-D", program(t, dir), "-b", "-", "nobody")
	}
	out := batch("put -p a.csv", "mkdir d", "put empty d/e", "rename d/e d/f", "ls -l", "df", "get a.csv back", "-rename a.csv d", "-symlink a.csv link", "-ln a.csv hard",
		"-cd ..", "-put large", "put a.csv gone", "rm gone", "mkdir no", "rmdir no", "pwd", "ls")
	for _, want := range []string{"-rw-r--r--", "100000", "Permission denied", "Failure", "Remote working directory: /"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	b := after(t, dir)
	b.ready()
	b.wantReady("a.csv", "d/f")
	if e := b.ready()["a.csv"]; e.Size != 100_000 || !e.ModTime.Equal(then) {
		t.Errorf("%+v", e)
	}
	if sent, _ := os.ReadFile(filepath.Join(from, "back")); len(sent) != 100_000 {
		t.Errorf("got %d bytes back", len(sent))
	}
	b.Close()
	// The rest of a file.
	b.must(os.MkdirAll(b.inbox, 0o700))
	b.must(os.WriteFile(filepath.Join(b.inbox, ".uploading.large2"), bytes.Repeat([]byte("0123456789"), 1_700_000), 0o600))
	b.must(os.WriteFile(filepath.Join(from, "large2"), bytes.Repeat([]byte("0123456789"), 700_000), 0o600))
	out = batch("put -a large2")
	b = after(t, dir)
	b.ready()
	if e := b.ready()["large2"]; e.Size != 7_000_000 {
		t.Errorf("put -a: %+v\n%s", e, out)
	}
	if got := b.fetch(b.ready()["large2"]); got != strings.Repeat("0123456789", 700_000) {
		t.Error("put -a: other contents")
	}
}

func TestOpenSSHScp(t *testing.T) {
	t.Parallel()
	dir, from := filepath.Join(t.TempDir(), "in"), samples(t)
	out := run(t, from, "", "scp", "-s", "-p", "-D", program(t, dir), "a.csv", "empty", "nobody:/")
	b := after(t, dir)
	b.ready()
	b.wantReady("a.csv", "empty")
	if e := b.ready()["a.csv"]; !e.ModTime.Equal(then) {
		t.Errorf("%+v\n%s", e, out)
	}
}

func TestLftp(t *testing.T) {
	t.Parallel()
	dir, from := filepath.Join(t.TempDir(), "in"), samples(t)
	lftp := func(script string) string {
		return run(t, from, "", "lftp", "-c", fmt.Sprintf("set sftp:connect-program '%s'; set net:max-retries 1; set net:timeout 10; open sftp://u:p@localhost; %s", program(t, dir), script))
	}
	out := lftp("put a.csv; mkdir d; put empty -o d/e; mv d/e d/f; ls; cat a.csv > back")
	out += lftp("put large")
	if !strings.Contains(out, "larger than the 8.0 MB") {
		t.Errorf("the limit is not in:\n%s", out)
	}
	// mirror -R sets times and permissions after each file.
	out += lftp("mirror -R --include-glob a.csv . /m")
	b := after(t, dir)
	b.ready()
	b.wantReady("a.csv", "d/f", "m/a.csv")
	if e := b.ready()["m/a.csv"]; e.Size != 100_000 || !e.ModTime.Equal(then) {
		t.Errorf("%+v\n%s", e, out)
	}
	b.Close()
	b.must(os.MkdirAll(b.inbox, 0o700))
	b.must(os.WriteFile(filepath.Join(b.inbox, ".uploading.large2"), bytes.Repeat([]byte("0123456789"), 1_700_000), 0o600))
	b.must(os.WriteFile(filepath.Join(from, "large2"), bytes.Repeat([]byte("0123456789"), 700_000), 0o600))
	out = lftp("put -c large2")
	b = after(t, dir)
	b.ready()
	if e := b.ready()["large2"]; e.Size != 7_000_000 {
		t.Errorf("put -c: %+v\n%s", e, out)
	}
}
