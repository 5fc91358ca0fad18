package inbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"

	"sftpconnector/space/inbox"
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

// local is a directory with files to upload.
func local(t *testing.T) string {
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

// after looks into an inbox that a client's server has served.
func after(t *testing.T, dir string) *bench {
	t.Helper()
	b := &bench{T: t, dir: dir}
	b.open(inbox.Options{Quiet: time.Nanosecond})
	t.Cleanup(func() { b.Close() })
	return b
}

func TestOpenSSHSftp(t *testing.T) {
	t.Parallel()
	dir, from := filepath.Join(t.TempDir(), "in"), local(t)
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
	b.must(os.WriteFile(filepath.Join(dir, ".uploading.large2"), bytes.Repeat([]byte("0123456789"), 1_700_000), 0o600))
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
	dir, from := filepath.Join(t.TempDir(), "in"), local(t)
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
	dir, from := filepath.Join(t.TempDir(), "in"), local(t)
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
	b.must(os.WriteFile(filepath.Join(dir, ".uploading.large2"), bytes.Repeat([]byte("0123456789"), 1_700_000), 0o600))
	b.must(os.WriteFile(filepath.Join(from, "large2"), bytes.Repeat([]byte("0123456789"), 700_000), 0o600))
	out = lftp("put -c large2")
	b = after(t, dir)
	b.ready()
	if e := b.ready()["large2"]; e.Size != 7_000_000 {
		t.Errorf("put -c: %+v\n%s", e, out)
	}
}

// The server is killed at random moments: what was closed is there whole, and
// nothing else is taken for uploaded.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "in")
	for round := range 12 {
		cmd := exec.CommandContext(t.Context(), program(t, dir))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		c, err := sftp.NewClientPipe(out, in)
		if err != nil {
			t.Fatal(err)
		}
		// A kill after so many operations, while the next ones are under way.
		left := rand.IntN(40)
		closed := map[string]string{}
		var last string
		for i := range 100 {
			if left == 0 {
				time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
			left--
			last = fmt.Sprintf("%d", i%7)
			data := strings.Repeat(fmt.Sprintf("%d/%d ", round, i), 1+rand.IntN(30_000))
			if upload(c, last, data) != nil {
				break
			}
			closed[last] = data
		}
		cmd.Process.Kill()
		cmd.Wait()
		c.Close()
		b := after(t, dir)
		for name, data := range closed {
			found, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || string(found) != data && name != last {
				t.Errorf("%s was closed with %d bytes; there are %d, %v", name, len(data), len(found), err)
			}
		}
		b.ready()
		for name, e := range b.ready() {
			data := b.fetch(e)
			if data != closed[name] && name != last {
				t.Errorf("%s was never closed, and is imported with %d bytes", name, len(data))
			}
			if word, _, _ := strings.Cut(data, " "); strings.Repeat(word+" ", len(data)/(len(word)+1)) != data {
				t.Errorf("%s is imported with a mixture", name)
			}
			b.must(b.src.RemoveIf(t.Context(), e))
		}
		b.Close()
	}
}

func upload(c *sftp.Client, name, data string) error {
	f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.ReadFrom(bytes.NewReader([]byte(data)))
	return errors.Join(err, f.Close())
}
