package spool_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/space/spool"
	"sftpconnector/sync/ledger"
)

// A taking over that is killed between any two of its steps, and again, loses nothing,
// and brings nothing twice.
func TestTakeOverOverKills(t *testing.T) {
	t.Parallel()
	stop := errors.New("killed")
	for steps := range 4 {
		for _, before := range []bool{true, false} {
			b := newBench(t, keeping())
			b.must(b.Close())
			b.must(os.MkdirAll(filepath.Join(b.inbox, "d"), 0o700))
			for name, data := range map[string]string{"x": "1", ".later.000.x": "2", ".later.00z.x": "3", "d/y": "4", ".uploading.z": "5"} {
				b.must(os.WriteFile(filepath.Join(b.inbox, name), []byte(data), 0o600))
			}
			cut := time.Unix(-1, 0)
			b.must(os.Chtimes(filepath.Join(b.inbox, ".uploading.z"), cut, cut))
			for range 3 {
				left := steps
				killed := &index{rows: b.index.now().rows}
				killed.change = func(put []ledger.SpoolRow, drop []int64) error {
					if left--; left < 0 {
						return stop
					}
					return nil
				}
				o := keeping()
				o.Directory, o.Inbox, o.Index = b.dir, b.inbox, killed
				if s, err := spool.Open(t.Context(), o); err == nil {
					_ = s.Close()
				} else if !errors.Is(err, stop) {
					t.Fatal(err)
				}
				b.index = killed.now()
				if before { // of all moves, none has come about on the disk
					b.unmove()
				}
			}
			b.open(keeping())
			if got := b.importAll(); !slices.Equal(sorted(got), []string{"d/y=4", "x=1", "x=2", "x=3"}) || slices.Index(got, "x=3") < slices.Index(got, "x=2") {
				t.Errorf("killed after %d changes: imported %q", steps, got)
			}
			if got := b.get(b.connect(), "z"); got != "5" {
				t.Errorf("killed after %d changes: %q can be gone on with", steps, got)
			}
			b.wantUsage(1, 1)
			if left, _ := filepath.Glob(filepath.Join(b.inbox, "*")); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		}
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// unmove takes back the moves of which the index does not say yet that they came about,
// as a power cut does.
func (b *bench) unmove() {
	b.Helper()
	for _, r := range b.index.rows {
		if r.State != ledger.SpoolMoving {
			continue
		}
		for _, name := range []string{r.Object, r.Object + ".part"} {
			to := filepath.Join(b.inbox, r.Origin)
			b.must(os.MkdirAll(filepath.Dir(to), 0o700))
			err := os.Rename(filepath.Join(b.dir, "objects", name), to)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				b.Fatal(err)
			}
		}
	}
}

// What cannot be taken over stays where it is, and keeps nothing from being opened.
func TestTakeOverOfTheAbsurd(t *testing.T) {
	t.Parallel()
	b := newBench(t, spool.Options{})
	c := b.connect()
	b.put(c, "file", "a file")
	b.must(c.Mkdir("directory"))
	c.end()
	b.must(b.Close())
	root := b.inbox
	b.must(os.MkdirAll(filepath.Join(root, "file"), 0o700))
	b.must(os.WriteFile(filepath.Join(root, "directory"), nil, 0o600))
	b.must(os.WriteFile(filepath.Join(root, "fine"), []byte("fine"), 0o600))
	b.must(os.Symlink("/etc", filepath.Join(root, "link")))
	deep, err := os.OpenRoot(root)
	b.must(err)
	for range 1000 { // far longer than any path may be
		b.must(deep.Mkdir(strings.Repeat("d", 200), 0o700))
		next, err := deep.OpenRoot(strings.Repeat("d", 200))
		b.must(err)
		deep.Close()
		deep = next
	}
	b.must(deep.Close())
	b.open(spool.Options{Quiet: time.Nanosecond})
	b.wantReady("fine", "file")
	for _, name := range []string{"file", "directory", "link"} {
		if _, err := os.Lstat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
}

// What an operator puts into the inbox is taken over with the next import, once it has
// stood still.
func TestOperator(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		b := newBench(t, spool.Options{Quiet: 2 * time.Second})
		b.must(os.MkdirAll(filepath.Join(b.inbox, "d"), 0o700))
		for name, mod := range map[string]time.Time{"d/old": now.Add(-time.Hour), "growing": now} {
			b.must(os.WriteFile(filepath.Join(b.inbox, name), []byte("by hand"), 0o600))
			b.must(os.Chtimes(filepath.Join(b.inbox, name), mod, mod))
		}
		b.wantReady()
		synctest.Wait()
		if names := b.Files(); len(names) != 1 || names[0].Name != "d/old" {
			t.Errorf("at once: %+v", names)
		}
		time.Sleep(5 * time.Second)
		if got := b.importAll(); !slices.Equal(sorted(got), []string{"d/old=by hand", "growing=by hand"}) {
			t.Errorf("imported %q", got)
		}
		b.Close()
	})
}
