package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	filesync "sftpconnector/sync"
)

// The second half of the contract: what outlives a program, and what must stay
// out of reach.

// reopen is what a restart of the program does.
func (d *destination) reopen() {
	d.Helper()
	d.must(d.dst.Close())
	d.dst = d.place.Open(d.T)
}

func (d *destination) resume() {
	data := strings.Repeat("0123456789", 1000)
	e := fileEntry("sub/"+strings.Repeat("n", 240), data)
	p, err := d.dst.Begin(d.Context(), e, nil)
	d.must(err)
	_, err = p.WriteAt([]byte(data[:4000]), 0)
	d.must(err)
	_, err = p.WriteAt([]byte(strings.Repeat("x", 3000)), 7000) // not promised to be there
	d.must(err)
	k, err := p.Checkpoint(d.Context(), 4000)
	d.must(err)
	if k.ID != p.ID() || k.Prefix != 4000 {
		d.Errorf("%+v", k)
	}
	d.must(p.Keep())

	d.reopen()
	d.must(d.dst.Sweep(d.Context(), func(id string) bool { return id == k.ID }))
	p, err = d.dst.Begin(d.Context(), e, &k)
	d.must(err)
	if p.ID() != k.ID {
		d.Errorf("id %s, want %s", p.ID(), k.ID)
	}
	// What lies behind the checkpoint is not there.
	if _, err := p.Finish(d.Context()); err == nil {
		d.Fatal("half a file is taken for a whole one")
	}
	p.Keep()
	p, err = d.dst.Begin(d.Context(), e, &k)
	d.must(err)
	_, err = p.WriteAt([]byte(data[4000:]), 4000)
	d.must(err)
	d.finish(p)
	d.must(d.publish(p, nil))
	d.want(e.Name, data)
	if _, err := d.dst.Begin(d.Context(), e, &k); !errors.Is(err, fs.ErrNotExist) {
		d.Errorf("a published file is pending still: %v", err)
	}
}

func (d *destination) resumeNothing() {
	d.deliver("file", "data")
	for _, name := range []string{"x", "none/x", "file/x", "file/below/x"} {
		k := filesync.Checkpoint{ID: "00000000000000000000", Prefix: 1}
		if _, err := d.dst.Begin(d.Context(), fileEntry(name, "data"), &k); !errors.Is(err, fs.ErrNotExist) {
			d.Errorf("%s: %v", name, err)
		}
	}
	d.wantFiles("file")
	if _, err := os.Stat(d.path("none")); err == nil {
		d.Error("a directory was made")
	}
}

// resumeFromStart is what a pass does with a file of which it does not know
// whether it was published: a crash in a rename may leave it under both names.
func (d *destination) resumeFromStart() {
	const data = "0123456789"
	p := d.write("sub/x", data)
	d.must(p.Keep())
	hidden := d.all()
	if len(hidden) != 1 {
		d.Fatalf("files %q", hidden)
	}
	d.must(os.Link(d.path(hidden[0]), d.path("sub/x")))
	d.reopen()
	from := filesync.Checkpoint{ID: p.ID()}
	p, err := d.dst.Begin(d.Context(), fileEntry("sub/x", data), &from)
	d.must(err)
	d.want("sub/x", data)
	d.must(p.Abort(d.Context()))
	d.want("sub/x", data)
	d.wantFiles("sub/x")

	// What is written over is whole all the same, and one that is longer is not.
	for _, old := range []string{"01234", "0123456789a"} {
		p = d.write("y", old)
		d.must(p.Keep())
		p, err = d.dst.Begin(d.Context(), fileEntry("y", data), &filesync.Checkpoint{ID: p.ID()})
		d.must(err)
		_, err = p.WriteAt([]byte(data), 0)
		d.must(err)
		if _, err = p.Finish(d.Context()); (err == nil) != (len(old) < len(data)) {
			d.Errorf("after %d bytes, %d are finished with %v", len(old), len(data), err)
		}
		d.must(p.Abort(d.Context()))
	}
}

// sweep takes what a killed program of ours left, and nothing else.
func (d *destination) sweep() {
	keep := func(name string) filesync.Pending {
		p := d.write(name, "data")
		d.must(p.Keep())
		return p
	}
	kept := keep("deep/er/kept")
	for i := range 5 {
		keep(fmt.Sprintf("left%d", i))
		keep("deep/" + strings.Repeat("x", 250) + fmt.Sprint(i))
	}
	theirs := []string{
		"theirs.part", ".theirs.part", ".theirs.csv.part", ".theirs.0123456789abcdef0123.part", "deep/.theirs.zzzzzzzzzzzzzzzzzzzz.part", "theirs.csv", ".theirs.",
	}
	for _, name := range theirs {
		d.put(name, "theirs")
	}
	other := d.place.OtherOwner(d.T)
	p, err := other.Begin(d.Context(), fileEntry("theirs too", "data"), nil)
	d.must(err)
	d.must(p.Keep())
	defer other.Close()
	before := len(d.all())

	d.reopen()
	d.must(d.dst.Sweep(d.Context(), func(id string) bool { return id == kept.ID() }))
	if n := before - len(d.all()); n != 10 {
		d.Errorf("%d files were removed, want 10: %q are left", n, d.all())
	}
	for _, name := range theirs {
		d.want(name, "theirs")
	}
	if _, err := other.Begin(d.Context(), fileEntry("theirs too", "data"), &filesync.Checkpoint{ID: p.ID()}); err != nil {
		d.Errorf("the stranger's file: %v", err)
	}
	d.must(d.dst.Sweep(d.Context(), func(string) bool { return false }))
	if _, err := d.dst.Begin(d.Context(), fileEntry("deep/er/kept", "data"), &filesync.Checkpoint{ID: kept.ID()}); !errors.Is(err, fs.ErrNotExist) {
		d.Errorf("what is no longer kept: %v", err)
	}
	ctx, cancel := context.WithCancel(d.Context())
	cancel()
	if err := d.dst.Sweep(ctx, func(string) bool { return false }); !errors.Is(err, context.Canceled) {
		d.Errorf("cancelled: %v", err)
	}
}

func (d *destination) probe() {
	d.must(d.dst.Probe(d.Context()))
	d.wantFiles()
}

func (d *destination) persist() {
	d.put("a/b/x", "theirs")
	errs := d.dst.Persist(d.Context(), []string{"a/b/x", "a/none", "none/x"})
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], fs.ErrNotExist) || !errors.Is(errs[2], fs.ErrNotExist) {
		d.Error(errs)
	}
	if errs := d.dst.Persist(d.Context(), nil); len(errs) != 0 {
		d.Error(errs)
	}
}

func (d *destination) stat() {
	var names []string
	for i := range 300 {
		name := fmt.Sprintf("d%d/x%d", i%7, i)
		names = append(names, name)
		if i%3 == 0 {
			d.put(name, name)
		}
	}
	names = append(names, "none/at/all", "d0/x0/below a file")
	stats, err := d.dst.Stat(d.Context(), names)
	d.must(err)
	for i, k := range stats[:300] {
		if there := i%3 == 0; there && (k.Err != nil || k.Entry.Name != names[i] || !k.Entry.SameVersion(fileEntry(names[i], names[i])) || !k.Entry.Mode.IsRegular()) {
			d.Errorf("%s: %+v", names[i], k)
		} else if !there && !errors.Is(k.Err, fs.ErrNotExist) {
			d.Errorf("%s: %+v", names[i], k)
		}
	}
	if !errors.Is(stats[300].Err, fs.ErrNotExist) || stats[301].Err == nil {
		d.Errorf("%+v", stats[300:])
	}
	if stats, err := d.dst.Stat(d.Context(), nil); err != nil || len(stats) != 0 {
		d.Errorf("of nothing: %+v, %v", stats, err)
	}
	ctx, cancel := context.WithCancel(d.Context())
	cancel()
	if _, err := d.dst.Stat(ctx, names); !errors.Is(err, context.Canceled) {
		d.Errorf("cancelled: %v", err)
	}
}

// neverLeaves: neither a name nor a link leads out of the place.
func (d *destination) neverLeaves() {
	outside := d.TempDir()
	d.must(os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o666))
	d.must(os.Symlink(outside, d.path("out")))
	d.must(os.Symlink("..", d.path("up")))
	names := []string{"../x", "a/../../x", "/x", outside + "/x", "out/x", "out/new/x", "..", "."}
	if !d.place.FollowsLinks {
		names = append(names, "up/x")
	}
	for _, name := range names {
		p, err := d.dst.Begin(d.Context(), fileEntry(name, ""), nil)
		if err == nil {
			d.finish(p)
			if err := d.publish(p, nil); err == nil {
				d.Errorf("%s can be written", name)
			}
			d.must(p.Abort(d.Context()))
		}
	}
	for _, name := range []string{"out/secret", outside + "/secret", "../" + filepath.Base(outside) + "/secret"} {
		if stats, err := d.dst.Stat(d.Context(), []string{name}); err == nil && stats[0].Err == nil {
			d.Errorf("%s can be seen: %+v", name, stats)
		}
		if f, err := d.dst.Open(d.Context(), name); err == nil {
			f.Close()
			d.Errorf("%s can be read", name)
		}
	}
	d.must(d.dst.Sweep(d.Context(), func(string) bool { return false }))
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		d.Errorf("outside: %v", entries)
	}
	if entries, _ := os.ReadDir(filepath.Dir(d.place.Dir)); len(entries) != 1 {
		d.Errorf("beside the place: %v", entries)
	}
}

// directoryTakenAway: a reader that removes a directory with its files, or moves
// it, does not keep later files from being delivered under their own names.
func (d *destination) directoryTakenAway() {
	d.deliver("d/sub/one", "1")
	d.must(os.RemoveAll(d.path("d")))
	stats, err := d.dst.Stat(d.Context(), []string{"d/sub/one"})
	if d.must(err); !errors.Is(stats[0].Err, fs.ErrNotExist) {
		d.Errorf("%+v", stats[0])
	}
	d.deliver("d/sub/two", "2")
	d.want("d/sub/two", "2")

	d.must(os.Rename(d.path("d"), d.path("read")))
	d.deliver("d/sub/three", "3")
	d.wantFiles("d/sub/three", "read/sub/two")

	// It goes while a file is on its way there: that one fails, others do not.
	p := d.write("d/sub/four", "4")
	d.must(os.Rename(d.path("d"), d.path("read too")))
	five := d.write("d/sub/five", "5")
	if err := d.dst.Publish(d.Context(), []filesync.Publication{{Pending: p}})[0]; err == nil {
		d.Error("a file was published in a directory of another name")
	}
	d.abandon(p)
	if d.place.ByPath {
		d.must(d.dst.Sweep(d.Context(), func(id string) bool { return id == five.ID() }))
	}
	if err := d.publish(five, nil); err != nil {
		d.abandon(five)
	}
	d.deliver("d/sub/six", "6")
	d.want("d/sub/six", "6")
	if _, err := os.Stat(d.path("read too/sub/four")); err == nil {
		d.Error("the file stands where the directory was moved to")
	}

	seven := d.write("d/sub/seven", "7")
	d.must(os.RemoveAll(d.path("d")))
	d.deliver("d/sub/eight", "8")
	d.want("d/sub/eight", "8")
	d.abandon(seven)
}

func (d *destination) manyDirectories() {
	const n = 300
	for i := range n {
		d.deliver(fmt.Sprintf("d%d/e/x", i), fmt.Sprint(i))
	}
	for i := range n {
		d.want(fmt.Sprintf("d%d/e/x", i), fmt.Sprint(i))
	}
	if runtime.GOOS != "linux" {
		return
	}
	open, err := os.ReadDir("/proc/self/fd")
	if d.must(err); len(open) > n {
		d.Errorf("%d files are open after %d directories", len(open), 2*n)
	}
}

func (d *destination) writesAfterEnd() {
	p := d.write("x", "data")
	if _, err := p.WriteAt([]byte("late"), 0); err == nil {
		d.Error("a finished file was written to")
	}
	if _, err := p.Checkpoint(d.Context(), 1); err == nil {
		d.Error("a finished file has a checkpoint")
	}
	d.must(d.publish(p, nil))
	d.want("x", "data")
}

// foldsCase: what the destination says of itself is so.
func (d *destination) foldsCase() {
	if d.dst.FoldsCase(true) {
		if d.place.FoldsCase {
			d.folds()
			d.foldsAlike()
		}
		return // it may say so where it is not, to be careful
	}
	d.deliver("name", "lower")
	d.deliver("NAME", "upper")
	d.want("name", "lower")
	d.want("NAME", "upper")
}

// folds: the second of two names that are one does not replace the first.
func (d *destination) folds() {
	d.deliver("sub/\u00c4pfel.csv", "first")
	same := []string{"SUB/\u00c4PFEL.CSV", "sub/\u00e4pfel.csv", "sub/\u00c4PFEL.csv", "sub/\u00c4pfel.CSV", "sub/\u00e4PFEL.CSV"}
	stats, err := d.dst.Stat(d.Context(), same)
	d.must(err)
	for i, name := range same {
		if stats[i].Err != nil || stats[i].Entry.Size != int64(len("first")) {
			d.Errorf("%s: %+v", name, stats[i])
		}
		p := d.write(name, "second")
		d.wantConflict(d.publish(p, nil))
		d.must(p.Abort(d.Context()))
	}
	var rivals []filesync.Publication
	for _, name := range []string{"new", "New", "nEw", "NEW"} {
		p := d.write(name, name)
		d.must(d.dst.Sync(d.Context(), []filesync.Pending{p})[0])
		rivals = append(rivals, filesync.Publication{Pending: p})
	}
	wins := 0
	for i, err := range d.dst.Publish(d.Context(), rivals) {
		if err == nil {
			wins++
			continue
		}
		d.wantConflict(err)
		d.must(rivals[i].Pending.Abort(d.Context()))
	}
	if all := d.all(); wins != 1 || len(all) != 2 {
		d.Errorf("%d names that are one were published; the files are %q", wins, all)
	}
	d.want("sub/\u00c4pfel.csv", "first")
}

func (d *destination) closedTwice() {
	d.deliver("x", "data")
	d.reopen()
	stats, err := d.dst.Stat(d.Context(), []string{"x"})
	if d.must(err); stats[0].Err != nil || stats[0].Entry.Size != 4 {
		d.Errorf("%+v", stats[0])
	}
}
