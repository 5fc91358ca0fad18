package local_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// deliverTo names the directory that this program delivers a file to, in place of tests.
const deliverTo = "SFTP_CONNECTOR_TEST_DELIVER_TO"

func TestMain(m *testing.M) {
	if dir := os.Getenv(deliverTo); dir != "" {
		if err := deliverOne(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// deliverOne delivers new/x below dir.
func deliverOne(ctx context.Context, dir string) error {
	d, err := local.Open(dir, pending.NewOwner("0123abcd", "c", 0))
	if err != nil {
		return err
	}
	defer d.Close()
	p, err := d.Begin(ctx, filesync.Entry{Name: "new/x", Size: 4, ModTime: time.Unix(1e9, 0)}, nil)
	if err != nil {
		return err
	}
	if _, err := p.WriteAt([]byte("data"), 0); err != nil {
		return err
	}
	if _, err := p.Finish(ctx); err != nil {
		return err
	}
	if err := d.Sync(ctx, []filesync.Pending{p})[0]; err != nil {
		return err
	}
	return d.Publish(ctx, []filesync.Publication{{Pending: p}})[0]
}

// The contents are on the disk before the file has its name, and then the name is, and
// that of the new directory: what the system was told shows it, as nothing is left to
// be seen of it afterwards.
func TestOrderOfSyncs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "to")
	log := filepath.Join(t.TempDir(), "calls")
	c := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-qq", "-e", "trace=pwrite64,fsync,syncfs,fdatasync,renameat2,renameat,rename", "-o", log, os.Args[0])
	c.Env = append(os.Environ(), deliverTo+"="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	steps := calls(t, log, dir)
	want := []string{"write new/.x.*.part", "sync new/.x.*.part", "rename new", "sync new", "sync "}
	at := 0
	for _, step := range steps {
		if at < len(want) && regexp.MustCompile("^"+strings.NewReplacer(".", `\.`, "*", ".*").Replace(want[at])+"$").MatchString(step) {
			at++
		}
	}
	if at < len(want) {
		t.Errorf("%q does not come in its turn in:\n%s", want[at], strings.Join(steps, "\n"))
	}
}

// calls reads what strace saw of files below dir: what was done, and to which path.
func calls(t *testing.T, log, dir string) (steps []string) {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	call := regexp.MustCompile(`(pwrite64|fsync|fdatasync|syncfs|rename\w*)\(\d+<` + regexp.QuoteMeta(dir) + `/?([^>]*)>`)
	words := strings.NewReplacer("pwrite64", "write", "fdatasync", "sync", "fsync", "sync", "syncfs", "sync", "renameat2", "rename", "renameat", "rename")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m := call.FindStringSubmatch(lines.Text()); m != nil {
			steps = append(steps, words.Replace(m[1])+" "+m[2])
		}
	}
	return steps
}
