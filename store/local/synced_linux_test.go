package local_test

import (
	"bufio"
	"context"
	"errors"
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

// These name the directory that this program delivers a file to, or writes one to and
// removes it again, in place of tests.
const (
	deliverTo = "SFTP_CONNECTOR_TEST_DELIVER_TO"
	removeIn  = "SFTP_CONNECTOR_TEST_REMOVE_IN"
)

func TestMain(m *testing.M) {
	for name, do := range map[string]func(context.Context, string) error{deliverTo: deliverOne, removeIn: removeAll} {
		if dir := os.Getenv(name); dir != "" {
			if err := do(context.Background(), dir); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	goleak.VerifyTestMain(m)
}

// deliverOne delivers new/x below dir.
func deliverOne(ctx context.Context, dir string) error {
	d, err := local.Open(dir, "0123abcd")
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

// removeAll aborts one pending file in dir, probes dir, and sweeps what an earlier program
// left there.
func removeAll(ctx context.Context, dir string) error {
	d, err := local.Open(dir, "0123abcd")
	if err != nil {
		return err
	}
	defer d.Close()
	p, err := d.Begin(ctx, filesync.Entry{Name: "aborted", Size: 4, ModTime: time.Unix(1e9, 0)}, nil)
	if err != nil {
		return err
	}
	return errors.Join(p.Abort(ctx), d.Probe(ctx), d.Sweep(ctx, func(string) bool { return false }))
}

// The contents are on the disk before the file has its name, and then the name is, and
// that of the new directory: what the system was told shows it, as nothing is left to
// be seen of it afterwards.
func TestOrderOfSyncs(t *testing.T) {
	t.Parallel()
	wantInOrder(t, deliverTo, filepath.Join(t.TempDir(), "to"), "write new/.x.*.part", "sync new/.x.*.part", "rename new", "sync new", "sync ")
}

// A pending file that is removed does not come back with a power cut, as nobody would
// look for it once the pass has ended well.
func TestRemovalsAreDurable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "below"), 0o755),
		os.WriteFile(filepath.Join(dir, "below", pending.Name("left", pending.NewID("0123abcd"))), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	wantInOrder(t, removeIn, dir, "unlink *", "sync ", "unlink *", "sync ", "unlink below", "sync below")
}

// wantInOrder checks that the program, asked for something in dir, makes these calls in
// this order, among others.
func wantInOrder(t *testing.T, what, dir string, want ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	c := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-qq", "-e", "trace=pwrite64,fsync,fdatasync,syncfs,renameat2,renameat,rename,unlinkat", "-o", log, os.Args[0])
	c.Env = append(os.Environ(), what+"="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	steps := calls(t, log, dir)
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
	call := regexp.MustCompile(`(pwrite64|fsync|fdatasync|syncfs|rename\w*|unlinkat)\(\d+<` + regexp.QuoteMeta(dir) + `/?([^>]*)>`)
	words := strings.NewReplacer("pwrite64", "write", "fdatasync", "sync", "fsync", "sync", "syncfs", "sync", "renameat2", "rename", "renameat", "rename", "unlinkat", "unlink")
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if m := call.FindStringSubmatch(lines.Text()); m != nil {
			steps = append(steps, words.Replace(m[1])+" "+m[2])
		}
	}
	return steps
}
