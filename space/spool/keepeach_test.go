package spool_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sftpconnector/space/spool"
	filesync "sftpconnector/sync"
)

// keeping are the options of an inbox that keeps each upload.
func keeping() spool.Options {
	return spool.Options{Quiet: time.Nanosecond, Limits: spool.Limits{KeepEach: true}}
}

// importAll imports what is ready until nothing is, and gives what came, in order.
func (b *bench) importAll() (all []string) {
	b.Helper()
	for {
		ready := b.ready()
		if len(ready) == 0 {
			return all
		}
		for _, e := range ready {
			all = append(all, e.Name+"="+b.imports(e))
		}
	}
}

// Where each upload of a name is kept, all are imported, in their order; the
// client sees the last one.
func TestKeepEach(t *testing.T) {
	t.Parallel()
	b := newBench(t, keeping())
	c := b.connect()
	b.must(c.Mkdir("d"))
	b.put(c, "d/x", "one")
	b.put(c, "d/x", "two")
	b.putAt(c, "d/x", "three", then)
	b.put(c, "y", "four")
	b.must(c.PosixRename("y", "d/x"))
	f, err := c.OpenFile("d/x", os.O_WRONLY) // put -a goes on with the last
	b.must(err)
	_, err = f.WriteAt([]byte(" and more"), 4)
	b.must(err)
	b.must(f.Close())
	b.must(c.Chtimes("d/x", then, then))
	sees := func(data string) {
		t.Helper()
		info, err := c.Stat("d/x")
		if err != nil || info.Size() != int64(len(data)) || !info.ModTime().Equal(then) {
			t.Errorf("STAT: %v, %v", info, err)
		}
		infos, err := c.ReadDir("d")
		if err != nil || len(infos) != 1 || infos[0].Name() != "x" || infos[0].Size() != int64(len(data)) {
			t.Errorf("listed: %v, %v", infos, err)
		}
		if got := b.get(c, "d/x"); got != data {
			t.Errorf("read: %q", got)
		}
	}
	sees("four and more")
	b.wantReady("d/x")
	b.wantUsage(3+3+5+4+13, 5)
	if files := b.Files(); len(files) != 5 || files[0].State != spool.Ready || files[4].State != spool.Waiting {
		t.Errorf("%+v", files)
	}
	for what, err := range map[string]error{
		"rename": c.Rename("d/x", "z"), "reserved": c.Rename("d/x", ".later.000.x"), "reserved, too": c.Mkdir(".LATER.x"),
	} {
		if err == nil {
			t.Errorf("%s went through", what)
		}
	}
	b.must(c.Rename("d", "e"))
	b.must(c.Rename("e", "d"))
	if got := b.imports(b.ready()["d/x"]); got != "one" {
		t.Errorf("imported %q first", got)
	}
	sees("four and more")
	c.end()
	b.Close()
	b.open(keeping())
	if got := b.importAll(); !slices.Equal(got, []string{"d/x=two", "d/x=three", "d/x=four", "d/x=four and more"}) {
		t.Errorf("imported %q", got)
	}
	b.wantUsage(0, 0)

	// All of a name go when the client removes it.
	c = b.connect()
	for i := range 3 {
		b.put(c, "x", fmt.Sprint(i))
	}
	b.must(c.Remove("x"))
	b.wantUsage(0, 0)
	b.wantReady()
	// What waits does so in another mode, too.
	b.put(c, "x", "1")
	b.put(c, "x", "2")
	b.SetLimits(spool.Limits{})
	b.put(c, "x", "3")
	b.put(c, "y", "4")
	b.must(c.PosixRename("y", "x"))
	if got := b.importAll(); !slices.Equal(got, []string{"x=1", "x=2", "x=3", "x=4"}) {
		t.Errorf("imported %q", got)
	}
	b.put(c, "x", "5")
	b.put(c, "x", "6")
	if got := b.importAll(); !slices.Equal(got, []string{"x=6"}) {
		t.Errorf("imported %q", got)
	}
}

// One that has waited long enough behind others does not wait again.
func TestKeepEachIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := make(chan struct{}, 10)
		o := keeping()
		o.Quiet, o.OnChange = 2*time.Second, func() { told <- struct{}{} }
		b := newBench(t, o)
		c := b.connect()
		for i := range 5 {
			b.put(c, "x", fmt.Sprint(i))
		}
		<-told
		start := time.Now()
		for i := range 5 {
			if i > 0 {
				<-told
			}
			if got := b.imports(b.ready()["x"]); got != fmt.Sprint(i) {
				t.Errorf("imported %q", got)
			}
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %s", took)
		}
		c.end()
		b.Close()
	})
}

// Nothing that was closed is lost, at whatever instant the program ends, and the
// order stays.
func TestKeepEachOverCrashes(t *testing.T) {
	t.Parallel()
	b := newBench(t, keeping())
	c := b.connect()
	want := []string{}
	check := func(instant string, imported int) {
		t.Helper()
		after := b.killed()
		after.open(keeping())
		defer after.Close()
		if got := after.importAll(); !slices.Equal(got, want[imported:]) {
			t.Errorf("%s: imported %q, want %q", instant, got, want[imported:])
		}
	}
	for i := range 4 {
		b.put(c, "x", fmt.Sprint(i))
		want = append(want, fmt.Sprintf("x=%d", i))
		check("closed", 0)
	}
	f, err := c.OpenFile("x", os.O_WRONLY|os.O_TRUNC)
	b.must(err)
	_, err = f.Write([]byte("not closed"))
	b.must(err)
	check("being uploaded", 0)
	b.imports(b.ready()["x"])
	check("the first is imported", 1)
}

// Any order of uploads, imports and restarts.
func TestKeepEachModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, keeping())
		defer func() { b.Close() }()
		c := b.connect()
		defer func() { c.end() }()
		want := map[string][]string{}
		n := 0
		name := rapid.SampledFrom([]string{"a", "b"})
		rt.Repeat(map[string]func(*rapid.T){
			"upload": func(rt *rapid.T) {
				at, as := name.Draw(rt, "name"), rapid.SampledFrom([]string{"put", "rename", "append"}).Draw(rt, "as")
				n++
				data := fmt.Sprintf("%04d", n) // of equal size
				switch {
				case as == "put":
					b.putAt(c, at, data, then)
				case as == "rename":
					b.putAt(c, "t.tmp", data, then)
					b.must(c.PosixRename("t.tmp", at))
				case len(want[at]) > 0:
					last := want[at][len(want[at])-1]
					f, err := c.OpenFile(at, os.O_WRONLY)
					b.must(err)
					_, err = f.WriteAt([]byte(data), int64(len(last)))
					b.must(err)
					b.must(f.Close())
					data = last + data
				default:
					return
				}
				want[at] = append(want[at], data)
			},
			"import": func(rt *rapid.T) {
				for at, e := range b.ready() {
					if len(want[at]) == 0 || b.imports(e) != want[at][0] {
						rt.Fatalf("%s was imported, want %q", at, want[at])
					}
					want[at] = want[at][1:]
				}
			},
			"remove": func(rt *rapid.T) {
				at := name.Draw(rt, "name")
				if err := c.Remove(at); (err == nil) != (len(want[at]) > 0) {
					rt.Fatalf("remove %s: %v", at, err)
				}
				want[at] = nil
			},
			"restart": func(rt *rapid.T) {
				c.end()
				b.Close()
				b.open(keeping())
				c = b.connect()
			},
			"": func(rt *rapid.T) {
				var bytes int64
				files := 0
				for at, all := range want {
					files += len(all)
					for _, data := range all {
						bytes += int64(len(data))
					}
					info, err := c.Lstat(at)
					if len(all) > 0 && (err != nil || info.Size() != int64(len(all[len(all)-1]))) || len(all) == 0 && err == nil {
						rt.Fatalf("the client sees %s as %v, %v, want %q", at, info, err, all)
					}
				}
				b.wantUsage(bytes, files)
			},
		})
	})
}

// A temporary name is never imported, so nothing waits for it: a client that
// uploads to it again and renames it gets what it wants.
func TestKeepEachOfTemporaryNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, keeping())
	c := b.connect()
	b.put(c, "x.part", "half of")
	b.put(c, "x.part", "whole")
	b.must(c.PosixRename("x.part", "x"))
	b.put(c, "x.part", "again")
	b.must(c.PosixRename("x.part", "x"))
	b.wantUsage(10, 2)
	if got := b.importAll(); !slices.Equal(got, []string{"x=whole", "x=again"}) {
		t.Errorf("imported %q", got)
	}
}

// Those that wait for one name are told apart, have the time that the client gave them,
// and are not removed for each other.
func TestKeepEachAreToldApart(t *testing.T) {
	t.Parallel()
	b := newBench(t, keeping())
	c := b.connect()
	for i := range 4 {
		b.putAt(c, "x", fmt.Sprint(i), then)
	}
	b.put(c, "y.tmp", "4")
	b.must(c.Chtimes("y.tmp", then, then))
	b.must(c.PosixRename("y.tmp", "x"))
	var before filesync.Entry
	for i := range 5 {
		e := b.ready()["x"]
		if e.SameVersion(before) || !e.ModTime.Equal(then) {
			t.Errorf("number %d is %+v, the one before it %+v", i, e, before)
		}
		if err := b.src.RemoveIf(t.Context(), before); err == nil {
			t.Error("what came after it was removed unread")
		}
		before = e
		if got := b.imports(e); got != fmt.Sprint(i) {
			t.Errorf("imported %q as number %d", got, i)
		}
	}
	b.wantUsage(0, 0)
}

// Those that wait count as files.
func TestKeepEachIsBounded(t *testing.T) {
	t.Parallel()
	o := keeping()
	o.MaximumEntries = 3
	b := newBench(t, o)
	c := b.connect()
	for range 3 {
		b.put(c, "x", "")
	}
	if _, err, _ := writes(c, "x", 0, 0); err == nil || !strings.Contains(err.Error(), "3 files and directories") {
		t.Errorf("a fourth: %v", err)
	}
}
