package pass_test

import (
	"maps"
	"os"
	"testing"
	"time"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// newFoldingBench is a bench whose destination takes names that differ only in
// case for one.
func newFoldingBench(t *testing.T) (*bench, *storetest.Folding) {
	b, d := newBench(t), storetest.NewFolding()
	b.to = d
	return b, d
}

func wantFolding(t *testing.T, d *storetest.Folding, want map[string]string) {
	t.Helper()
	if got := d.Files(); !maps.Equal(got, want) {
		t.Errorf("at the destination: %q, want %q", got, want)
	}
}

func overwriting(o *pass.Options) { o.Overwrite = true }

func flat(o *pass.Options) { o.Flat = true }

// What stands at the destination is all there is of a file whose original we
// removed: no file of another spelling takes its place.
func TestLastCopyStaysWhateverItsCase(t *testing.T) {
	for name, layout := range map[string]func(*pass.Options){"tree": func(*pass.Options) {}, "flat": flat} {
		t.Run(name, func(t *testing.T) {
			b, d := newFoldingBench(t)
			b.src.Put("A.csv", "first", old)
			b.want(b.pass(filesync.Automatic, overwriting, removing, layout), filesync.Succeeded, "copied=1")
			if b.src.Len() != 0 {
				t.Fatal("the original is left")
			}
			b.src.Put("a.csv", "second", old.Add(time.Hour))
			for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Apply} {
				b.want(b.pass(mode, overwriting, removing, layout), filesync.Partial, "failed=1")
				wantFolding(t, d, map[string]string{"A.csv": "first"})
			}
			if !b.src.Has("a.csv") {
				t.Error("the second original is gone")
			}
			b.src.Put("A.csv", "third", old.Add(2*time.Hour)) // its own next version may come
			b.want(b.pass(filesync.Automatic, overwriting, removing, layout), filesync.Partial, "copied=1 failed=1")
			wantFolding(t, d, map[string]string{"A.csv": "third"})
		})
	}
}

// What stands under a name stays when its file is gone from the source and another
// one comes that is spelled in another case: nobody meant the one to follow the
// other, unless on_conflict: overwrite says so. It is free when the copy is gone.
func TestCopyStaysWhateverItsCase(t *testing.T) {
	b, d := newFoldingBench(t)
	b.src.Put("A.csv", "first", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.src.Delete("A.csv")
	b.src.Put("a.csv", "other", old) // of the same size and time
	for range 3 {
		b.want(b.pass(filesync.Apply), filesync.Partial, "failed=1")
		wantFolding(t, d, map[string]string{"A.csv": "first"})
	}
	d.Remove("A.csv")
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "copied=1")
	wantFolding(t, d, map[string]string{"a.csv": "other"})

	b, d = newFoldingBench(t)
	b.src.Put("A.csv", "first", old)
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1")
	b.src.Delete("A.csv")
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "")
	b.src.Put("a.csv", "other", old)
	b.want(b.pass(filesync.Automatic, overwriting), filesync.Succeeded, "copied=1")
	wantFolding(t, d, map[string]string{"A.csv": "other"})
}

// A survey makes no file at the destination, to see whether names fold or else.
func TestSurveyWritesNothing(t *testing.T) {
	b, dir := newBench(t), t.TempDir()
	d, err := local.Open(dir, pending.NewOwner("0badcafe", "c", 0)) // the pass closes it
	if err != nil {
		t.Fatal(err)
	}
	b.to = d
	b.src.Put("a.csv", "first", old)
	if err := os.Chtimes(dir, old, old); err != nil {
		t.Fatal(err)
	}
	b.pass(filesync.Survey)
	if info, err := os.Stat(dir); err != nil || !info.ModTime().Equal(old) {
		t.Errorf("the destination was written to: %v", err)
	}
}

func TestFoldName(t *testing.T) {
	for _, same := range [][]string{
		{"a/B.csv", "A/b.CSV"}, {"Äpfel", "äPFEL"}, {"ΟΔΟΣ", "οδος", "οδοσ"}, {"10µm", "10μm", "10ΜM"}, {"ſ", "s", "S"},
		{"\u212a", "k", "K"}, {"\u212b", "Å", "å"}, {"ϑ", "θ", "Θ"}, {"ǅ", "ǆ", "Ǆ"}, {"ẞ", "ß"}, {"Ș", "ș"},
	} {
		for _, name := range same {
			if filesync.FoldName(name) != filesync.FoldName(same[0]) {
				t.Errorf("%q and %q are two names", same[0], name)
			}
		}
	}
	for _, names := range [][2]string{{"a", "b"}, {"s", "ß"}, {"e", "é"}, {"a b", "ab"}} {
		if filesync.FoldName(names[0]) == filesync.FoldName(names[1]) {
			t.Errorf("%q and %q are one name", names[0], names[1])
		}
	}
}
