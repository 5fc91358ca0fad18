package pass_test

import (
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

func TestExcludePrunesDirectories(t *testing.T) {
	dirs := []string{"archive", "archive/sub", "a", "a/archive", "lost+found", "a/lost+found", "tmp", "a/tmp", "node_modules", "a/node_modules", "x.bak", "results.2024", ".hidden", "café"}
	for pattern, want := range map[string]string{
		"archive/**":                "archive archive/sub",
		"/archive/**":               "archive archive/sub",
		"/archive":                  "archive",
		"**/archive":                "archive a/archive",
		"**/lost+found/**":          "lost+found a/lost+found",
		"lost+found":                "lost+found a/lost+found",
		"/tmp":                      "tmp",
		"node_modules":              "node_modules a/node_modules",
		"*_modules":                 "node_modules a/node_modules",
		"{tmp,node_*}":              "tmp a/tmp node_modules a/node_modules",
		".*":                        ".hidden",
		"x.bak":                     "x.bak",
		"a/**/tmp":                  "a/tmp",
		"cafe\u0301":                "café",
		"**":                        strings.Join(dirs, " "),
		`regex:^archive/`:           "archive archive/sub",
		`regex:^(archive|tmp)(/|$)`: "archive archive/sub tmp",
		`regex:/src/archive/`:       "",
		"/src/tmp/**":               "tmp",
		// These are about files.
		"*.bak":           "",
		"*.*":             "",
		"*":               "",
		"archive/*":       "",
		"archive/*.csv":   "",
		"archive/**/*.gz": "",
		"results.*":       "",
		"{*.bak,*.old}":   "",
		"/src/**":         "",
		`regex:^[^/]+$`:   "",
		`regex:\.bak$`:    "",
		`regex:archive$`:  "",
	} {
		f, err := filesync.NewFilter(filesync.FilterOptions{Exclude: []string{pattern}, Root: "/src"})
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool { return f.Prunes(dir) == "" })
		if strings.Join(got, " ") != want {
			t.Errorf("%s keeps out of %q, want %q", pattern, strings.Join(got, " "), want)
		}
	}
}

// listings notes which directories were listed.
type listings struct {
	mu   sync.Mutex
	dirs []string
	deny string // this one cannot be read
}

func (l *listings) on(dir string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dirs = append(l.dirs, dir)
	if dir == l.deny && dir != "" {
		return fs.ErrPermission
	}
	return nil
}

func TestExcludedDirectoryIsNotEntered(t *testing.T) {
	b := newBench(t)
	b.src.Put("archive/2020/a", "1", old)
	b.src.Put("in/archive/a", "1", old)
	b.src.Put("in/a", "1", old)
	b.src.Link("link", "archive")
	l := &listings{deny: "archive"}
	b.src.OnList = l.on
	exclude := func(o *pass.Options) { o.Filter = filter(t, "archive/**", "link") }
	b.want(b.pass(filesync.Automatic, exclude), filesync.Succeeded, "copied=2 excluded=2")
	if slices.Contains(l.dirs, "archive") || slices.Contains(l.dirs, "link") {
		t.Errorf("listed: %q", l.dirs)
	}
	if r, _ := b.run(t.Context(), filesync.Request, selection(t, "archive/2020/*", old.AddDate(-50, 0, 0), old.AddDate(50, 0, 0)), exclude); r.Err != nil || r.Files.Copied != 0 {
		t.Errorf("a request for what is excluded: %+v", r)
	}
	if slices.Contains(l.dirs, "archive/2020") {
		t.Error("a request enters it")
	}
}

func filter(t *testing.T, exclude ...string) *filesync.Filter {
	f, err := filesync.NewFilter(filesync.FilterOptions{Exclude: exclude})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What was listed completely may have gone; what lies where nobody looked may not.
func TestGoneBySubtree(t *testing.T) {
	for name, way := range map[string]struct {
		adjust func(*pass.Options)
		deny   string
		want   filesync.Outcome
		files  string
	}{
		"unreadable": {deny: "dark", want: filesync.Partial, files: "copied=1 failed=1"},
		"excluded":   {adjust: func(o *pass.Options) { o.Filter = filter(t, "dark/**") }, want: filesync.Succeeded, files: "copied=1 excluded=1"},
		"skipped":    {adjust: func(o *pass.Options) { o.Skip = "dark" }, want: filesync.Succeeded, files: "copied=1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			l := &listings{}
			b.src.OnList = l.on
			b.src.Put("light/a", "one", old)
			b.src.Put("dark/b", "one", old)
			b.src.Put("dark/deep/c", "one", old)
			b.src.Put("darker/d", "one", old)
			adjust := []func(*pass.Options){flat}
			b.want(b.pass(filesync.Automatic, adjust...), filesync.Succeeded, "copied=4")
			for _, name := range []string{"light/a", "dark/b", "dark/deep/c", "darker/d"} {
				b.src.Delete(name)
			}
			b.src.Put("dark/new", "new", old)
			l.deny = way.deny
			if way.adjust != nil {
				adjust = append(adjust, way.adjust)
			}
			b.pass(filesync.Automatic, adjust...)
			for name, want := range map[string]bool{"light/a": true, "dark/b": false, "dark/deep/c": false, "darker/d": true} {
				if gone := b.record(name).Gone; gone != want {
					t.Errorf("%s is gone: %v", name, gone)
				}
			}
			// A name of the flat layout is free again.
			b.src.Put("other/a", "two", old)
			b.want(b.pass(filesync.Automatic, adjust...), way.want, way.files)
			b.wantFile("a", "two", old)
		})
	}
}

func (b *bench) record(name string) filesync.Record {
	b.t.Helper()
	recs, err := b.memory.Find(b.t.Context(), []string{name})
	if err != nil {
		b.t.Fatal(err)
	}
	return recs[0]
}

// A directory that the server lists, and says it does not have, is not known to be empty.
func TestListedDirectoryThatCannotBeFound(t *testing.T) {
	b := newBench(t)
	b.src.Put("d/a", "one", old)
	b.pass(filesync.Automatic)
	b.src.OnList = func(dir string) error {
		if dir == "d" {
			return fs.ErrNotExist
		}
		return nil
	}
	b.src.Put("d", "", old) // what a look at the directory finds
	b.src.Delete("d/a")
	b.src.Inject("", filesync.Entry{Name: "d", Mode: fs.ModeDir | 0o755})
	b.pass(filesync.Automatic)
	if b.record("d/a").Gone {
		t.Error("what lies in it counts as gone")
	}
}

// An entry of which the server does not say what it is may be the file that it was.
func TestEntryWithoutATypeHasNotGone(t *testing.T) {
	b := newBench(t)
	b.src.Put("a", "one", old)
	b.pass(filesync.Automatic)
	b.src.Delete("a")
	b.src.Inject("", filesync.Entry{Name: "a", Size: 3, ModTime: old, Mode: fs.ModeIrregular})
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "excluded=1")
	if b.record("a").Gone {
		t.Error("it counts as gone")
	}
}

// What is kept of an interrupted copy stays while nobody can look for its file.
func TestInterruptedCopyInAnUnreadableDirectory(t *testing.T) {
	data := bulk(12 << 20)
	b := interrupted(t, data)
	l := &listings{deny: "d"}
	b.src.OnList = l.on
	b.src.Put("x", "1", old)
	b.passKeeping(t.Context())
	if kept, err := b.memory.Checkpoints(t.Context()); err != nil || len(kept) != 1 {
		t.Error("kept:", kept, err)
	}
	l.deny = ""
	b.want(b.pass(filesync.Automatic), filesync.Succeeded, "copied=1 present=1")
	b.wantFile("d/big", data, old)
}

// What no system could hold is not looked into.
func TestTooLongPath(t *testing.T) {
	b := newBench(t)
	part := strings.Repeat("x", 250)
	b.src.Put("a", "1", old)
	b.src.Put(strings.Repeat(part+"/", 17)+"b", "1", old)
	r := b.pass(filesync.Automatic)
	b.want(r, filesync.Partial, "copied=1 unsafe=1")
	if f := r.Failures[0]; !strings.Contains(f.Error, "longer than 4096 bytes") || !f.Unlisted || len(f.Name) > 600 {
		t.Errorf("%+v", f)
	}
}
