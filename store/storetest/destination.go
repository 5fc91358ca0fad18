package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// Place is a new, empty directory that destinations open.
type Place struct {
	// Open opens it; each time as the same program, started anew.
	Open func(t *testing.T) filesync.Destination
	// OtherOwner opens it as another program, with pending files of its own.
	OtherOwner func(t *testing.T) filesync.Destination
	// Dir is where it lies on this machine, for tests to look and meddle there.
	Dir string

	// What follows lets a place off a promise that it cannot keep.

	// Refuses reports whether a name cannot stand here; nil: all can. Such a
	// one fails, before anything is made for it.
	Refuses func(name string) bool
	// FoldsCase: names that differ in case only are one file here, for real.
	FoldsCase bool
	// FollowsLinks: what is behind this place follows symbolic links by itself,
	// unseen, but none that leads out of the directory above the place.
	FollowsLinks bool
	// ByPath: pending files are known by their path only. One whose directory
	// was moved stays there until a Sweep.
	ByPath bool
}

// Destination is the contract that every destination keeps. place makes a new
// place for each test; what it opens is closed by the suite. This is what a
// destination promises:
//
//   - A file gets its name when it is whole, with its size and modification
//     time; until then it stands in the same directory under a hidden name,
//     .x.csv.ID.part. What is written may come in pieces of any order, side by
//     side. A file of another size than was announced is not finished.
//   - Nothing of others is overwritten: a standing file is replaced only if it
//     is the version that was expected, a directory or a link never. Of many
//     that want a name at a time, one gets it. Each file of a batch succeeds or
//     fails by itself.
//   - What was published, persisted or made a checkpoint stays, whatever
//     becomes of the program. A copy goes on from its checkpoint, and from
//     nothing behind it; what is published is pending no more. A copy that goes
//     on from its start is left as it is until it is written to: it may have its
//     name already, beside the hidden one.
//   - What is aborted, left by a killed program of ours (Sweep) or tried
//     (Probe) leaves nothing behind; pending files of other programs stay.
//   - Every usual name arrives unchanged, or fails before anything is made for
//     it. Where names that differ in case only are one file, the second does
//     not replace the first.
//   - No name and no link leads out of the directory.
//   - A reader may remove or move files and directories at any time: the files
//     that come later are delivered under their own names.
//   - Every call ends when its context does.
func Destination(t *testing.T, place func(t *testing.T) Place) {
	for name, test := range map[string]func(*destination){
		"delivers":              (*destination).delivers,
		"names":                 (*destination).names,
		"invisible at first":    (*destination).invisible,
		"size is checked":       (*destination).sizeIsChecked,
		"abort":                 (*destination).abort,
		"conflict":              (*destination).conflict,
		"replaces":              (*destination).replaces,
		"what is no file":       (*destination).noFile,
		"one of many wins":      (*destination).oneWins,
		"batch":                 (*destination).batch,
		"resume":                (*destination).resume,
		"resume of nothing":     (*destination).resumeNothing,
		"resume from the start": (*destination).resumeFromStart,
		"sweep":                 (*destination).sweep,
		"probe":                 (*destination).probe,
		"persist":               (*destination).persist,
		"stat":                  (*destination).stat,
		"never leaves":          (*destination).neverLeaves,
		"directory taken away":  (*destination).directoryTakenAway,
		"many directories":      (*destination).manyDirectories,
		"writes after its end":  (*destination).writesAfterEnd,
		"replaced by a reader":  (*destination).readerTookIt,
		"names differ in case":  (*destination).foldsCase,
		"the same again closed": (*destination).closedTwice,
	} {
		t.Run(name, func(t *testing.T) {
			p := place(t)
			d := &destination{T: t, place: p, dst: p.Open(t)}
			defer d.dst.Close()
			test(d)
			d.wantNoPending()
		})
	}
}

// destination is one test of the suite.
type destination struct {
	*testing.T
	place Place
	dst   filesync.Destination
}

var then = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

func fileEntry(name, data string) filesync.Entry {
	return filesync.Entry{Name: name, Size: int64(len(data)), ModTime: then, Mode: 0o644}
}

func (d *destination) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// write writes a whole pending file.
func (d *destination) write(name, data string) filesync.Pending {
	d.Helper()
	p, err := d.dst.Begin(d.Context(), fileEntry(name, data), nil)
	d.must(err)
	_, err = p.WriteAt([]byte(data), 0)
	d.must(err)
	d.finish(p)
	return p
}

// finish ends the writing of a pending file.
func (d *destination) finish(p filesync.Pending) filesync.Entry {
	d.Helper()
	e, err := p.Finish(d.Context())
	d.must(err)
	return e
}

// publish gives a pending file its name.
func (d *destination) publish(p filesync.Pending, replaces *filesync.Entry) error {
	d.Helper()
	d.must(d.dst.Sync(d.Context(), []filesync.Pending{p})[0])
	return d.dst.Publish(d.Context(), []filesync.Publication{{Pending: p, Replaces: replaces}})[0]
}

func (d *destination) deliver(name, data string) {
	d.Helper()
	d.must(d.publish(d.write(name, data), nil))
}

func (d *destination) path(name string) string {
	return filepath.Join(d.place.Dir, filepath.FromSlash(name))
}

// put makes a file at the destination that is not ours.
func (d *destination) put(name, data string) filesync.Entry {
	d.Helper()
	d.must(os.MkdirAll(filepath.Dir(d.path(name)), 0o777))
	d.must(os.WriteFile(d.path(name), []byte(data), 0o666))
	d.must(os.Chtimes(d.path(name), then, then))
	return fileEntry(name, data)
}

func (d *destination) want(name, data string) {
	d.Helper()
	got, err := os.ReadFile(d.path(name))
	if err != nil || string(got) != data {
		d.Errorf("%s: %.40q (%d bytes), want %.40q (%v)", name, got, len(got), data, err)
		return
	}
	if info, err := os.Stat(d.path(name)); err != nil || info.ModTime().Unix() != then.Unix() {
		d.Errorf("%s: modified %v, want %v", name, info.ModTime(), then)
	}
}

// all gives the files below the place, hidden ones included.
func (d *destination) all() []string {
	d.Helper()
	var names []string
	d.must(filepath.WalkDir(d.place.Dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(d.place.Dir, p)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}))
	return names
}

func (d *destination) wantFiles(want ...string) {
	d.Helper()
	got := d.all()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		d.Errorf("files %q, want %q", got, want)
	}
}

func (d *destination) wantNoPending() {
	d.Helper()
	for _, name := range d.all() {
		if strings.HasSuffix(name, ".part") && !strings.Contains(name, "theirs") {
			d.Errorf("a pending file is left: %s", name)
		}
	}
}

func (d *destination) wantConflict(err error) {
	d.Helper()
	if !errors.Is(err, filesync.ErrConflict) {
		d.Errorf("%v, want a conflict", err)
	}
}

// delivers writes in pieces, in any order and side by side.
func (d *destination) delivers() {
	data := strings.Repeat("0123456789abcdef", 20_000)
	p, err := d.dst.Begin(d.Context(), fileEntry("a/b/c.bin", data), nil)
	d.must(err)
	const piece = 1000
	var writers sync.WaitGroup
	for off := (len(data) - 1) / piece * piece; off >= 0; off -= piece {
		writers.Go(func() {
			if n, err := p.WriteAt([]byte(data[off:min(off+piece, len(data))]), int64(off)); err != nil || n == 0 {
				d.Errorf("WriteAt: %d, %v", n, err)
			}
		})
	}
	writers.Wait()
	d.finish(p)
	d.must(d.publish(p, nil))
	d.want("a/b/c.bin", data)
	d.wantFiles("a/b/c.bin")

	f, err := d.dst.Open(d.Context(), "a/b/c.bin")
	d.must(err)
	got := make([]byte, 16)
	if _, err := f.ReadAt(got, 32); err != nil || !bytes.Equal(got, []byte(data[:16])) {
		d.Errorf("ReadAt: %q, %v", got, err)
	}
	d.must(f.Close())
	if _, err := d.dst.Open(d.Context(), "a/none"); !errors.Is(err, fs.ErrNotExist) {
		d.Errorf("Open of nothing: %v", err)
	}
}

func (d *destination) names() {
	long := strings.Repeat("n", 251) + ".csv"
	wide := strings.Repeat("é", 127)
	want := []string{
		"empty", "with space.csv", " lead and trail", "-dash", "--", ".hidden", "..dots", "...", "caf\u00e9", "\u65e5\u672c\u8a9e.csv",
		"\U0001f4c8", "[glob]*?{a,b}", "quote'\"$HOME;&|", "tab\tand\nline", long, wide, "deep/" + long, "x.part", "CON.txt",
		"aux", "com1.log/x", "a:b", "trailing dot.", "trailing space ", "sub./x", "angle<>", "bar|",
		path.Join(strings.Split(strings.Repeat("d", 40), "")...) + "/leaf",
	}
	if d.place.Refuses != nil {
		want = slices.DeleteFunc(want, func(name string) bool {
			refused := d.place.Refuses(name)
			if refused {
				d.refuses(name)
			}
			return refused
		})
		d.wantFiles()
	}
	for _, name := range want {
		data := name
		if name == "empty" {
			data = ""
		}
		d.deliver(name, data)
		d.want(name, data)
	}
	os.Remove(d.path("x.part"))
	want = slices.DeleteFunc(want, func(n string) bool { return n == "x.part" })
	d.wantFiles(want...)
}

// refuses: a name that cannot stand here is an error of that file.
func (d *destination) refuses(name string) {
	d.Helper()
	file := func(err error) bool { return err != nil && !status.Is(err, status.DestinationUnavailable) }
	p, err := d.dst.Begin(d.Context(), fileEntry(name, "data"), nil)
	if !file(err) {
		d.Errorf("Begin of %q: %v", name, err)
	}
	if err == nil {
		d.must(p.Abort(d.Context()))
	}
	stats, err := d.dst.Stat(d.Context(), []string{name})
	if d.must(err); !file(stats[0].Err) || errors.Is(stats[0].Err, fs.ErrNotExist) {
		d.Errorf("Stat of %q: %+v", name, stats[0])
	}
}

// invisible: under its name there is nothing until it is published.
func (d *destination) invisible() {
	p := d.write("sub/x.csv", "data")
	stats, err := d.dst.Stat(d.Context(), []string{"sub/x.csv"})
	if d.must(err); !errors.Is(stats[0].Err, fs.ErrNotExist) {
		d.Errorf("%+v", stats[0])
	}
	all := d.all()
	if len(all) != 1 || path.Dir(all[0]) != "sub" || !strings.HasPrefix(path.Base(all[0]), ".x.csv.") || !strings.HasSuffix(all[0], p.ID()+".part") {
		d.Errorf("pending as %q, its id is %s", all, p.ID())
	}
	d.must(d.publish(p, nil))
	d.want("sub/x.csv", "data")
}

func (d *destination) sizeIsChecked() {
	for _, data := range []string{"", "12345", "1234567"} {
		e := fileEntry("x", "123456")
		p, err := d.dst.Begin(d.Context(), e, nil)
		d.must(err)
		if _, err := p.WriteAt([]byte(data), 0); err != nil {
			d.Error(err)
		}
		if _, err := p.Finish(d.Context()); err == nil {
			d.Errorf("%d bytes of %d are taken for a whole file", len(data), e.Size)
		}
		d.must(p.Abort(d.Context()))
	}
	d.wantFiles()
}

func (d *destination) abort() {
	d.deliver("stays", "s")
	p := d.write("goes", "g")
	d.must(p.Abort(d.Context()))
	half, err := d.dst.Begin(d.Context(), fileEntry("half", "0123456789"), nil)
	d.must(err)
	half.WriteAt([]byte("0"), 0)
	d.must(half.Abort(d.Context()))
	// Where somebody else has taken it away or published it, nothing is removed.
	p = d.write("taken", "t")
	for _, name := range d.all() {
		if strings.HasSuffix(name, p.ID()+".part") {
			d.must(os.Remove(d.path(name)))
		}
	}
	if err := p.Abort(d.Context()); !errors.Is(err, fs.ErrNotExist) {
		d.Errorf("a pending file that had gone was removed: %v", err)
	}
	// After it is published, there is nothing to be removed.
	p = d.write("published", "p")
	d.must(d.publish(p, nil))
	d.abandon(p)
	d.wantFiles("stays", "published")
}

// abandon removes a pending file that may have gone.
func (d *destination) abandon(p filesync.Pending) {
	d.Helper()
	if err := p.Abort(d.Context()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.Error(err)
	}
}

func (d *destination) conflict() {
	d.put("x", "theirs")
	p := d.write("x", "ours")
	d.wantConflict(d.publish(p, nil))
	d.want("x", "theirs")
	d.must(p.Abort(d.Context()))

	for _, other := range []filesync.Entry{{Name: "x", Size: 5, ModTime: then}, {Name: "x", Size: 6, ModTime: then.Add(time.Second)}} {
		p = d.write("x", "ours")
		d.wantConflict(d.publish(p, &other))
		d.want("x", "theirs")
		d.must(p.Abort(d.Context()))
	}
}

func (d *destination) replaces() {
	standing := d.put("d/x", "theirs")
	d.must(d.publish(d.write("d/x", "ours"), &standing))
	d.want("d/x", "ours")
	d.wantFiles("d/x")
}

func (d *destination) readerTookIt() {
	standing := d.put("x", "theirs")
	p := d.write("x", "ours")
	d.must(os.Remove(d.path("x")))
	d.must(d.publish(p, &standing))
	d.want("x", "ours")
}

// noFile: a directory or a link at the name is neither followed nor replaced.
func (d *destination) noFile() {
	outside := filepath.Join(d.TempDir(), "outside")
	d.must(os.WriteFile(outside, []byte("outside"), 0o666))
	d.must(os.Mkdir(d.path("dir"), 0o777))
	d.must(os.Symlink(outside, d.path("link")))
	d.must(os.Symlink(outside+"-missing", d.path("dangling")))
	stats, err := d.dst.Stat(d.Context(), []string{"dir", "link", "dangling"})
	d.must(err)
	hidden := d.place.FollowsLinks
	if !stats[0].Entry.Mode.IsDir() || !hidden && (stats[1].Entry.Mode&fs.ModeSymlink == 0 || stats[2].Entry.Mode&fs.ModeSymlink == 0) {
		d.Errorf("%+v", stats)
	}
	for _, name := range []string{"dir", "link", "dangling"} {
		p := d.write(name, "ours")
		err := d.publish(p, nil)
		if hidden && name != "dir" && err != nil {
			err = filesync.ErrConflict // it knows no more than that it cannot be done
		}
		d.wantConflict(err)
		d.must(p.Abort(d.Context()))
	}
	for _, name := range []string{"link", "dangling"} {
		if info, err := os.Lstat(d.path(name)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			d.Errorf("%s is no link any more: %v, %v", name, info, err)
		}
	}
	p := d.write("dir", "ours")
	d.wantConflict(d.publish(p, &stats[0].Entry))
	d.must(p.Abort(d.Context()))
	if got, _ := os.ReadFile(outside); string(got) != "outside" {
		d.Errorf("the link was followed: %q", got)
	}
	if _, err := os.Lstat(outside + "-missing"); err == nil {
		d.Error("the dangling link was followed")
	}
}

func (d *destination) oneWins() {
	const rivals = 12
	var wins, conflicts int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range rivals {
		p := d.write("x", fmt.Sprintf("version %02d", i))
		all.Go(func() {
			d.dst.Sync(d.Context(), []filesync.Pending{p})
			err := d.dst.Publish(d.Context(), []filesync.Publication{{Pending: p}})[0]
			if err != nil {
				p.Abort(context.WithoutCancel(d.Context()))
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				wins++
			case errors.Is(err, filesync.ErrConflict):
				conflicts++
			default:
				d.Error(err)
			}
		})
	}
	all.Wait()
	if wins != 1 || conflicts != rivals-1 {
		d.Errorf("%d were published, %d conflict", wins, conflicts)
	}
	d.wantFiles("x")
}

// batch: each file of a batch succeeds or fails by itself.
func (d *destination) batch() {
	d.put("5/x", "theirs")
	var pendings []filesync.Pending
	var batch []filesync.Publication
	for i := range 40 {
		p := d.write(fmt.Sprintf("%d/x", i), "ours")
		pendings = append(pendings, p)
		batch = append(batch, filesync.Publication{Pending: p})
	}
	errs := d.dst.Sync(d.Context(), pendings)
	if len(errs) != len(pendings) {
		d.Fatalf("%d answers", len(errs))
	}
	for _, err := range errs {
		d.must(err)
	}
	errs = d.dst.Publish(d.Context(), batch)
	if len(errs) != len(batch) {
		d.Fatalf("%d answers", len(errs))
	}
	for i, err := range errs {
		if i == 5 {
			d.wantConflict(err)
			d.want("5/x", "theirs")
			d.must(pendings[i].Abort(d.Context()))
			continue
		}
		d.must(err)
		d.want(fmt.Sprintf("%d/x", i), "ours")
	}
	if errs := d.dst.Sync(d.Context(), nil); len(errs) != 0 {
		d.Error(errs)
	}
	if errs := d.dst.Publish(d.Context(), nil); len(errs) != 0 {
		d.Error(errs)
	}
}
