//go:build linux || darwin

package spool_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sftpconnector/space/spool"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// version3 gives a data directory of ledger version 3, as a kill of that program left
// it: with a Space that keeps each upload, and what an operator had put into its inbox.
func version3(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open("testdata/data-version3.tar.gz")
	must(err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(err)
	times := map[string]time.Time{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		must(err)
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			must(os.Mkdir(name, 0o700))
		case tar.TypeSymlink:
			must(os.Symlink(h.Linkname, name))
			continue
		default:
			data, err := io.ReadAll(archive)
			must(err)
			must(os.WriteFile(name, data, 0o600))
		}
		for key, value := range h.PAXRecords {
			if note, ok := strings.CutPrefix(key, "SFTPCONNECTOR.xattr."); ok {
				must(unix.Setxattr(name, note, []byte(value), 0))
			}
		}
		times[name] = h.ModTime
	}
	for name, mod := range times { // directories after what is in them
		must(os.Chtimes(name, mod, mod))
	}
	return dir
}

// openVersion3 opens the spool that it becomes.
func openVersion3(t *testing.T, dir string) (*bench, *ledger.Ledger) {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	index, err := l.Spool(t.Context(), "spaces/us_sp_123")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, dir: filepath.Join(dir, "spool", "us_sp_123"), inbox: filepath.Join(dir, "spaces", "us_sp_123")}
	b.open(spool.Options{Quiet: time.Nanosecond, Index: index, Limits: spool.Limits{KeepEach: true}})
	return b, l
}

// An inbox of an earlier version is taken over with all that clients see of it, and
// what was under way goes on.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	dir := version3(t)
	for round := range 2 { // what was taken over stays, as it is
		b, l := openVersion3(t, dir)
		var got []string
		for _, f := range b.Files() {
			got = append(got, fmt.Sprintf("%s %s %d", f.Name, f.State, f.Size))
		}
		want := []string{
			".hidden ready 6", "both.csv ready 5", "both.csv interrupted 0", "cut.bin interrupted 3000", "d/byhand.csv ready 7", "d/e/deep.csv ready 4",
			"d/large.bin interrupted 16777216", "delivered.csv ready 25", "each.csv ready 5", "each.csv waiting 6", "each.csv waiting 5", "small.bin interrupted 0",
			`un\safe.csv unsafe 6`, "waiting.part temporary 16", "whole.csv ready 14",
		}
		if round == 0 {
			var large int64
			for _, f := range b.Files() {
				if f.Name == "d/large.bin" {
					large = f.Size
				}
			}
			if large < 16<<20 || large > 20<<20 {
				t.Errorf("%d bytes are durable of the large one", large)
			}
		}
		for i := range got {
			if strings.HasPrefix(got[i], "d/large.bin interrupted") {
				got[i] = "d/large.bin interrupted 16777216"
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("round %d: %q\nwant %q", round, got, want)
		}
		c := b.connect()
		for _, name := range []string{"d/e", "empty", "whole.csv", "each.csv"} {
			if info, err := c.Stat(name); err != nil || !info.ModTime().Equal(then) {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		if got := b.get(c, "each.csv"); got != "third" {
			t.Errorf("clients see %q", got)
		}
		if got := b.get(c, "d/large.bin"); len(got) < 16<<20 || strings.Trim(got[:16<<20], "0123456789abcdef") != "" {
			t.Errorf("the large one has %d bytes, or other contents", len(got))
		}
		left, err := os.ReadDir(b.inbox)
		if err != nil || len(left) != 1 || left[0].Name() != "link" {
			t.Errorf("left in the inbox: %v, %v", left, err)
		}
		if round == 1 {
			b.wantAfterUpgrade(l)
		}
		c.end()
		b.must(b.Close())
		b.must(l.Close())
	}
}

// wantAfterUpgrade checks what the ledger knows of uploads of an earlier version.
func (b *bench) wantAfterUpgrade(l *ledger.Ledger) {
	b.Helper()
	m, err := l.Connector(b.Context(), "spaces/us_sp_123")
	b.must(err)
	recs, err := m.Find(b.Context(), []string{"delivered.csv", ".hidden", "imported.csv"})
	b.must(err)
	ready := b.ready()
	if !recs[0].Delivered(ready["delivered.csv"]) || !recs[1].Failure.Source.SameVersion(ready[".hidden"]) || recs[2].After != filesync.AfterDone {
		b.Errorf("%+v", recs)
	}
	// Its removal was under way, by size and time.
	e := recs[0].Delivery.Source
	stats, err := b.src.Relist(b.Context(), []filesync.Entry{e})
	if err != nil || stats[0].Err != nil || !stats[0].Entry.SameVersion(e) {
		b.Errorf("%+v, %v", stats, err)
	}
	b.must(b.src.RemoveIf(b.Context(), e))
	if got := b.importAll(); !slices.Contains(got, "each.csv=first") || slices.Index(got, "each.csv=third") < slices.Index(got, "each.csv=second") || len(got) != 9 {
		b.Errorf("imported %q", got)
	}
	// What comes under that name later is another file, whatever its size and time.
	c := b.connect()
	b.putAt(c, "delivered.csv", strings.Repeat("x", 25), e.ModTime)
	if err := b.src.RemoveIf(b.Context(), e); !errors.Is(err, filesync.ErrChanged) {
		b.Errorf("removed: %v", err)
	}
}
