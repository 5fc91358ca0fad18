package connector_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// pattern is data in which no two blocks are alike.
func pattern(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%015d\n", i)
	}
	return b.Bytes()[:n]
}

// impatient makes a silent server fail soon.
func impatient(r *rig) { r.sftp.Timeouts.Operation = 500 * time.Millisecond }

func TestServerDiesMidFile(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{DieAfterBytes: 300 << 10, Deaths: 2})
	data := pattern(2 << 20)
	put(t, s.Endpoint, "d/big.bin", data, old)
	put(t, s.Endpoint, "small.csv", []byte("small"), old)
	r := newRig(t, s.Endpoint)
	r.want(r.apply(), filesync.Succeeded, "copied=2")
	r.wantFile("d/big.bin", data)
	if n := s.Counts().Connections; n != 3 {
		t.Errorf("%d connections, want 3: two died", n)
	}
}

func TestServerDiesAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{DieAfterBytes: 100 << 10})
	data := pattern(5 << 20)
	put(t, s.Endpoint, "big.bin", data, old)
	r := newRig(t, s.Endpoint)
	p := r.apply()
	r.want(p, filesync.Failed, "")
	if p.Status != status.ConnectionLost || r.connector.Report().Health.Hint == "" {
		t.Errorf("status %q, hint %q", p.Status, r.connector.Report().Health.Hint)
	}
	if !strings.Contains(fmt.Sprint(p.Result.Err), "big.bin") {
		t.Errorf("the error does not say where it happened: %v", p.Result.Err)
	}
	if names := r.standing(); len(names) > 0 {
		t.Errorf("at the destination: %v", names)
	}
	s.Set(func(f *sftptest.Faults) { f.DieAfterBytes = 0 })
	r.want(r.apply(), filesync.Succeeded, "copied=1")
	r.wantFile("big.bin", data)
	if w := r.connector.Report().Health.Status; w != status.ConnectionValid {
		t.Error(w)
	}
}

func TestTruncatedByTheServer(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{EOFAt: 1000})
	put(t, s.Endpoint, "cut.csv", pattern(5000), old)
	put(t, s.Endpoint, "cut.bin", pattern(9<<20), old)
	put(t, s.Endpoint, "whole.csv", pattern(1000), old)
	r := newRig(t, s.Endpoint)
	p := r.apply()
	r.want(p, filesync.Partial, "copied=1 failed=2")
	for _, f := range p.Result.Failures {
		if !strings.Contains(f.Error, "it ends before them") {
			t.Errorf("%s: the failure does not say what is wrong: %s", f.Name, f.Error)
		}
	}
	if names := r.standing(); !slices.Equal(names, []string{"whole.csv"}) {
		t.Errorf("at the destination: %v", names)
	}
}

// What happens to a file between the moment it is opened, or read, and its end.
func TestFileChangesWhileCopied(t *testing.T) {
	was, is := pattern(4000), bytes.ToUpper(pattern(6000))
	appendTo := func(path string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			f.Write([]byte("more"))
			f.Close()
		}
	}
	replace := func(path string) {
		os.WriteFile(path+".new", is, 0o644)
		os.Rename(path+".new", path)
	}
	grown := append(slices.Clone(was), "more"...)
	for name, c := range map[string]struct {
		onOpen, onRead func(path string)
		outcome        filesync.Outcome
		counts         string
		first, then    []byte // what stands at the destination after each pass; nil: nothing
	}{
		"grows":                {onRead: appendTo, outcome: filesync.Succeeded, counts: "waiting=1", then: grown},
		"grows before":         {onOpen: appendTo, outcome: filesync.Succeeded, counts: "waiting=1", then: grown},
		"shrinks":              {onRead: func(p string) { os.Truncate(p, 10) }, outcome: filesync.Succeeded, counts: "waiting=1", then: was[:10]},
		"empties":              {onOpen: func(p string) { os.Truncate(p, 0) }, outcome: filesync.Succeeded, counts: "waiting=1", then: []byte{}},
		"touched":              {onRead: func(p string) { os.Chtimes(p, old, old.Add(time.Hour)) }, outcome: filesync.Succeeded, counts: "waiting=1", then: was},
		"vanishes before":      {onOpen: func(p string) { os.Remove(p) }, outcome: filesync.Partial, counts: "failed=1"},
		"vanishes while open":  {onRead: func(p string) { os.Remove(p) }, outcome: filesync.Succeeded, counts: "copied=1", first: was, then: was},
		"replaced while open":  {onRead: replace, outcome: filesync.Succeeded, counts: "copied=1", first: was, then: is},
		"replaced before open": {onOpen: replace, outcome: filesync.Succeeded, counts: "waiting=1", then: is},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sftptest.StartFaulty(t, sftptest.Faults{})
			put(t, s.Endpoint, "d/x.csv", was, old)
			once := func(do func(string)) func(string) {
				var o sync.Once
				return func(path string) {
					if do != nil {
						o.Do(func() { do(path) })
					}
				}
			}
			open, read := once(c.onOpen), once(c.onRead)
			s.Set(func(f *sftptest.Faults) {
				f.OnOpen = open
				f.OnRead = func(path string, _ int64) { read(path) }
			})
			r := newRig(t, s.Endpoint)
			r.want(r.apply(), c.outcome, c.counts)
			r.wantStanding("d/x.csv", c.first)
			r.apply()
			r.wantStanding("d/x.csv", c.then)
		})
	}
}

// wantStanding checks that this file, or none for nil, is all there is.
func (r *rig) wantStanding(name string, data []byte) {
	r.t.Helper()
	if data == nil {
		if names := r.standing(); len(names) > 0 {
			r.t.Errorf("at the destination: %v", names)
		}
		return
	}
	if names := r.standing(); len(names) != 1 {
		r.t.Errorf("at the destination: %v", names)
	}
	r.wantFile(name, data)
}

// A large file is read over several channels, each of which opens it: one that
// is replaced midway must not be put together from two.
func TestLargeFileReplacedWhileCopied(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{Bandwidth: 6 << 20})
	was, is := bytes.Repeat([]byte("a"), 16<<20), bytes.Repeat([]byte("b"), 16<<20)
	put(t, s.Endpoint, "big.bin", was, old)
	next := filepath.Join(t.TempDir(), "next")
	write(t, next, is, old.Add(time.Hour))
	var once sync.Once
	s.Set(func(f *sftptest.Faults) {
		f.OnRead = func(path string, at int64) {
			if at > 512<<10 {
				once.Do(func() { os.Rename(next, path) })
			}
		}
	})
	r := newRig(t, s.Endpoint)
	p := r.apply()
	for _, name := range r.standing() {
		got, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil || !bytes.Equal(got, was) && !bytes.Equal(got, is) {
			t.Errorf("%s is a mixture (%v)", name, err)
		}
	}
	if p.Result.Files.Copied+p.Result.Files.Waiting != 1 {
		t.Errorf("%+v, failures %v", p.Result.Files, p.Result.Failures)
	}
	s.Set(func(f *sftptest.Faults) { *f = sftptest.Faults{} })
	r.want(r.apply(), filesync.Succeeded, "copied=1")
	r.wantFile("big.bin", is)
}

func TestUnreadableOnesDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	for i := range 50 {
		put(t, s.Endpoint, fmt.Sprintf("d%d/x%d.csv", i%5, i), []byte("data"), old)
	}
	s.Set(func(f *sftptest.Faults) { f.Fail = sftptest.Deny(s.Root+"/d1/x1.csv", s.Root+"/d2") })
	r := newRig(t, s.Endpoint)
	p := r.apply()
	r.want(p, filesync.Partial, "copied=39 failed=2")
	var names []string
	for _, f := range p.Result.Failures {
		names = append(names, f.Name)
		if !strings.Contains(strings.ToLower(f.Error), "permission denied") || f.Hint == "" {
			t.Errorf("%s: error %q, hint %q", f.Name, f.Error, f.Hint)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"d1/x1.csv", "d2"}) {
		t.Errorf("failures of %v", names)
	}
	if p.Status != status.ConnectionValid {
		t.Errorf("status %s", p.Status)
	}
	s.Set(func(f *sftptest.Faults) { f.Fail = nil })
	r.want(r.apply(), filesync.Succeeded, "copied=11 present=39")
}

func TestServerFallsSilent(t *testing.T) {
	for name, fault := range map[string]func(f *sftptest.Faults){
		"SFTP":       func(f *sftptest.Faults) { f.SilentAtRequest = 12 },
		"connection": func(f *sftptest.Faults) { f.FreezeAtRequest = 12 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sftptest.StartFaulty(t, sftptest.Faults{})
			for i := range 100 {
				put(t, s.Endpoint, fmt.Sprintf("x%d.csv", i), []byte("data"), old)
			}
			s.Set(fault)
			r := newRig(t, s.Endpoint, impatient)
			p := r.apply()
			if n := s.Counts().Connections; n < 4 || n > 21 {
				t.Errorf("%d connections, want the first and 3 to 20 more", n)
			}
			if p.Result.Outcome != filesync.Failed || p.Status != status.ConnectionLost && p.Status != status.ConnectionTimedOut {
				t.Errorf("%s, status %s, error %v", p.Result.Outcome, p.Status, p.Result.Err)
			}
			s.Set(func(f *sftptest.Faults) { *f = sftptest.Faults{} })
			p = r.apply()
			if f := p.Result.Files; p.Result.Outcome != filesync.Succeeded || f.Copied+f.Present != 100 {
				t.Errorf("%s %+v", p.Result.Outcome, f)
			}
		})
	}
}

func TestHostileNamesWriteNothingOutside(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, s.Endpoint, "good.csv", []byte("good"), old)
	put(t, s.Endpoint, "sub/good.csv", []byte("good too"), old)
	for link, target := range map[string]string{"passwd.csv": "/etc/passwd", "etc": "/etc", "up": "../..", "self": "self"} {
		if err := os.Symlink(target, filepath.Join(s.Root, link)); err != nil {
			t.Fatal(err)
		}
	}
	hostile := sftptest.InjectNames(sftptest.HostileNames()...)
	var dirs []sftptest.Injected
	for _, i := range hostile {
		dirs = append(dirs, sftptest.Injected{Name: i.Name + "/", Dir: true})
	}
	s.Set(func(f *sftptest.Faults) {
		f.Inject = map[string][]sftptest.Injected{s.Root: hostile, s.Root + "/sub": append(dirs, hostile...)}
	})
	r := newRig(t, s.Endpoint)
	parent := filepath.Dir(r.dir)
	r.apply()
	got := snapshot(t, parent)
	want := []string{".", "to", "to/good.csv", "to/sub", "to/sub/good.csv"}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	p := r.apply()
	f := p.Result.Files
	// The store leaves out "." and ".."; the link to itself is unreadable.
	if f.Copied != 0 || f.Present != 2 || f.Unsafe < 2*int64(len(hostile)-2) || p.Result.Outcome != filesync.Partial {
		t.Errorf("%+v %s %v", f, p.Result.Outcome, p.Result.Failures)
	}
	for _, name := range []string{"passwd.csv", "etc", "up"} {
		if !slices.ContainsFunc(p.Result.Failures, func(f filesync.FileFailure) bool {
			return f.Name == name && strings.Contains(f.Error, filesync.ErrOutside.Error())
		}) {
			t.Errorf("the link %s is not reported", name)
		}
	}
}

// snapshot gives all paths below dir, sorted.
func snapshot(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		all = append(all, filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func TestEndlessTreeEnds(t *testing.T) {
	t.Parallel()
	s := sftptest.StartFaulty(t, sftptest.Faults{})
	put(t, s.Endpoint, "good.csv", []byte("good"), old)
	if err := os.Mkdir(filepath.Join(s.Root, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Set(func(f *sftptest.Faults) { f.EndlessTree = s.Root + "/deep" })
	r := newRig(t, s.Endpoint)
	p := r.apply()
	r.want(p, filesync.Partial, "copied=129 failed=1")
	if len(p.Result.Failures) != 1 || !strings.Contains(p.Result.Failures[0].Error, filesync.ErrLimit.Error()) {
		t.Errorf("failures: %v", p.Result.Failures)
	}
}
