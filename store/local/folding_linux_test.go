package local_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// folding mounts an NTFS that takes names for one that differ in case, from a file
// by FUSE. That takes root and /dev/fuse: without these, it gives "".
func folding(t *testing.T) string {
	t.Helper()
	fuse, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil || os.Geteuid() != 0 {
		return ""
	}
	fuse.Close()
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkntfs", "-F", "-Q", image}, {"lowntfs-3g", "-o", "ignore_case", image, dir}} {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Whether names fold is found by trying, whatever the operating system is.
func TestFoldsCaseIsFoundByTrying(t *testing.T) {
	for name, test := range map[string]struct {
		dir  string
		want bool
	}{"the usual file system": {t.TempDir(), false}, "NTFS": {folding(t), true}} {
		if test.dir == "" {
			t.Log("no file system can be mounted here by FUSE")
			continue
		}
		d, err := local.Open(test.dir, pending.NewOwner("0badcafe", "c", 0))
		if err != nil {
			t.Fatal(err)
		}
		if d.FoldsCase(true) != test.want {
			t.Errorf("%s folds case: %v", name, !test.want)
		}
		if left, err := os.ReadDir(test.dir); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return filepath.Ext(e.Name()) == ".part" }) {
			t.Errorf("%s: left behind: %v %v", name, left, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A name that is there under another case, too, tells that names fold.
func TestFoldingIsSeenByNames(t *testing.T) {
	dir := folding(t)
	if dir == "" {
		t.Log("no file system can be mounted here by FUSE")
		return
	}
	if err := os.WriteFile(filepath.Join(dir, "Report.csv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := openAt(t, new(local.Foldings), dir)
	if !untouched(t, dir, func() {
		if !d.FoldsCase(false) {
			t.Error("names do not fold")
		}
	}) {
		t.Error("it was written to")
	}
}

// Where nothing can be written, it is not tried.
func TestFoldsCaseWithoutTrying(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "to")
	d, err := local.Open(dir, pending.NewOwner("0badcafe", "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if d.FoldsCase(true) {
		t.Error("names fold on Linux")
	}
}

// Two files whose names are one at the destination are not copied over each other.
func TestFilesOfOneFoldedName(t *testing.T) {
	dir := folding(t)
	if dir == "" {
		t.Log("no file system can be mounted here by FUSE")
		return
	}
	src := storetest.NewMemory()
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	src.Put("d/Report.csv", "one", old)
	src.Put("d/REPORT.csv", "two, and longer", old)
	src.Put("d/other.csv", "three", old)
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := local.Open(dir, pending.NewOwner(l.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	shared := pass.NewShared(0)
	// The first to come has the name, for good; the other is a failure that names it.
	for i, want := range []filesync.Counts{{Copied: 2, Failed: 1}, {Present: 2, Failed: 1}} {
		r := pass.New(src, src.Open, d, c, shared, pass.Options{ID: strconv.Itoa(i + 1), Mode: filesync.Automatic, Filter: filter, Overwrite: true}).Run(t.Context())
		if r.Outcome != filesync.Partial || r.Files.Copied+r.Files.Present != want.Copied+want.Present || r.Files.Failed+r.Files.Conflict != 1 {
			t.Errorf("%s %+v %v %v", r.Outcome, r.Files, r.Failures, r.Err)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "d", "report.csv"))
	if err != nil || string(got) != "one" && string(got) != "two, and longer" {
		t.Errorf("%q %v", got, err)
	}
}
