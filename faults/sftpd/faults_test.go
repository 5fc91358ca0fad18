package sftpd_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sftpconnector/faults/sftpd"
)

const content = "0123456789"

// files serves /in/a, /in/b and /c, each with content.
func files(t *testing.T) (*sftpd.Server, string) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"in/a", "in/b", "c"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return start(t, sftpd.Options{Root: root}), root
}

func here(root, name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

// faultCase is a fault and what a client sees of it, once.
type faultCase struct {
	fault sftpd.Fault
	check func(t *testing.T, r *raw, root string)
}

// read opens /in/a and asks for its first n bytes.
func read(r *raw, n uint32) (handle string, id uint32) {
	handle = r.open("/in/a", 1)
	return handle, r.ask(pktRead, handle, uint64(0), n)
}

// answerFaults are faults of single answers.
func answerFaults() map[string]faultCase {
	return map[string]faultCase{
		"fail": {sftpd.Fault{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 3, Text: "no", Times: 1}, func(t *testing.T, r *raw, root string) {
			p := r.answer(pktStatus, pktRemove, "/in/a")
			if p.number() != 3 || string(p.rest[8:10]) != "no" || !here(root, "in/a") {
				t.Errorf("status %q, file there: %v", p.rest, here(root, "in/a"))
			}
			if r.status(pktRemove, "/in/a") != 0 {
				t.Error("the fault came twice")
			}
		}},
		"fail, done": {sftpd.Fault{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Remove}, Status: 4, Done: true}, func(t *testing.T, r *raw, root string) {
			if got := r.status(pktRemove, "/in/a"); got != 4 || here(root, "in/a") {
				t.Errorf("status %d, file there: %v", got, here(root, "in/a"))
			}
		}},
		"hang": {sftpd.Fault{Kind: sftpd.Hang, Ops: []sftpd.Op{sftpd.Stat}}, func(t *testing.T, r *raw, _ string) {
			r.ask(pktStat, "/c")
			r.nothing()
		}},
		"delay": {sftpd.Fault{Kind: sftpd.Delay, Ops: []sftpd.Op{sftpd.Stat}, Delay: 100 * time.Millisecond}, func(t *testing.T, r *raw, _ string) {
			began := time.Now()
			r.answer(pktAttrs, pktStat, "/c")
			if took := time.Since(began); took < 100*time.Millisecond {
				t.Errorf("answered after %v", took)
			}
		}},
		"wrong id": {sftpd.Fault{Kind: sftpd.WrongID, Ops: []sftpd.Op{sftpd.Read}}, func(t *testing.T, r *raw, _ string) {
			_, id := read(r, 10)
			if p := r.next(); p.kind != pktData || p.id == id || p.string() != content {
				t.Errorf("answer %v to %d", p, id)
			}
		}},
		"wrong type": {sftpd.Fault{Kind: sftpd.WrongType, Ops: []sftpd.Op{sftpd.Read}}, func(t *testing.T, r *raw, _ string) {
			_, id := read(r, 10)
			if p := r.next(); p.kind != pktName || p.id != id {
				t.Errorf("answer %v", p)
			}
		}},
		"double": {sftpd.Fault{Kind: sftpd.Double, Ops: []sftpd.Op{sftpd.Read}}, func(t *testing.T, r *raw, _ string) {
			_, id := read(r, 10)
			for range 2 {
				if p := r.next(); p.id != id || p.string() != content {
					t.Errorf("answer %v", p)
				}
			}
		}},
		"out of order": {sftpd.Fault{Kind: sftpd.OutOfOrder, Ops: []sftpd.Op{sftpd.Stat}, Times: 1}, func(t *testing.T, r *raw, _ string) {
			first, second, third := r.ask(pktStat, "/c"), r.ask(pktStat, "/in"), r.ask(pktStat, "/in/a")
			if a, b, c := r.next().id, r.next().id, r.next().id; a != third && a != second || c != first && b != first {
				t.Errorf("answers %d, %d, %d", a, b, c)
			}
		}},
	}
}

// contentFaults are faults of files that are open.
func contentFaults() map[string]faultCase {
	return map[string]faultCase{
		"short read": {sftpd.Fault{Kind: sftpd.ShortRead}, func(t *testing.T, r *raw, _ string) {
			read(r, 10)
			if p := r.next(); p.kind != pktData || p.number() == 0 || p.number() >= 10 || p.string() != content[:p.number()] {
				t.Errorf("answer %v", p)
			}
		}},
		"long read": {sftpd.Fault{Kind: sftpd.LongRead}, func(t *testing.T, r *raw, _ string) {
			read(r, 4)
			if p := r.next(); p.kind != pktData || p.number() <= 4 || p.string()[:4] != content[:4] {
				t.Errorf("answer %v", p)
			}
		}},
		"empty read": {sftpd.Fault{Kind: sftpd.EmptyRead}, func(t *testing.T, r *raw, _ string) {
			h, _ := read(r, 10)
			if p := r.next(); p.kind != pktData || p.number() != 0 {
				t.Errorf("answer %v", p)
			}
			if r.status(pktRead, h, uint64(10), uint32(5)) != 1 {
				t.Error("no end of the file")
			}
		}},
		"same handle": {sftpd.Fault{Kind: sftpd.SameHandle}, func(t *testing.T, r *raw, _ string) {
			a, b := r.open("/in/a", 1), r.open("/in/b", 1)
			if a != b {
				t.Errorf("handles %q and %q", a, b)
			}
			if r.status(pktClose, a) != 0 || r.status(pktClose, b) != 4 {
				t.Error("the handle is open twice")
			}
		}},
		"drop write": {sftpd.Fault{Kind: sftpd.DropWrite}, func(t *testing.T, r *raw, root string) {
			h := r.open("/new", 2|8)
			if r.status(pktWrite, h, uint64(0), "text") != 0 {
				t.Error("WRITE failed")
			}
			if r.status(pktClose, h) != 4 {
				t.Error("CLOSE succeeded")
			}
			if data, err := os.ReadFile(filepath.Join(root, "new")); err != nil || len(data) != 0 {
				t.Errorf("the file has %q, %v", data, err)
			}
		}},
	}
}

// endingFaults are faults that a channel or connection does not survive.
func endingFaults() map[string]faultCase {
	return map[string]faultCase{
		"garbage": {sftpd.Fault{Kind: sftpd.Garbage, Ops: []sftpd.Op{sftpd.Stat}}, func(t *testing.T, r *raw, _ string) {
			id := r.ask(pktStat, "/c")
			if p := r.next(); p.length > 64 || p.kind == pktAttrs && p.id == id {
				t.Errorf("answer %v", p)
			}
		}},
		"huge length": {sftpd.Fault{Kind: sftpd.HugeLength, Ops: []sftpd.Op{sftpd.Stat}}, func(t *testing.T, r *raw, _ string) {
			r.ask(pktStat, "/c")
			if p := r.next(); p.length != 0xffffffff {
				t.Errorf("length %d", p.length)
			}
		}},
		"close channel": {sftpd.Fault{Kind: sftpd.CloseChannel, Ops: []sftpd.Op{sftpd.Remove}}, func(t *testing.T, r *raw, root string) {
			r.ask(pktRemove, "/c")
			r.ended()
			if _, err := r.conn.NewSession(); err != nil || here(root, "c") {
				t.Errorf("the connection: %v; file there: %v", err, here(root, "c"))
			}
		}},
		"close connection": {sftpd.Fault{Kind: sftpd.CloseConnection, Ops: []sftpd.Op{sftpd.Remove}}, func(t *testing.T, r *raw, _ string) {
			r.ask(pktRemove, "/c")
			r.ended()
			if _, err := r.conn.NewSession(); err == nil {
				t.Error("the connection goes on")
			}
		}},
	}
}

func TestEachFaultIsInThePackets(t *testing.T) {
	t.Parallel()
	all := map[string]faultCase{}
	for _, some := range []map[string]faultCase{answerFaults(), contentFaults(), endingFaults()} {
		maps.Copy(all, some)
	}
	for name, tc := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, root := files(t)
			r := rawClient(t, s)
			s.Inject(tc.fault)
			tc.check(t, r, root)
			want := map[sftpd.Kind]int{tc.fault.Kind: 1}
			if got := s.Injected(); !maps.Equal(got, want) {
				t.Errorf("injected %v, want %v", got, want)
			}
			s.Inject()
			again := rawClient(t, s)
			if h := again.open("/in/b", 1); again.answer(pktData, pktRead, h, uint64(0), uint32(10)).string() != content {
				t.Error("without faults the server is not well")
			}
		})
	}
}

func TestWhereAndHowOftenFaultsCome(t *testing.T) {
	t.Parallel()
	stat := []sftpd.Op{sftpd.Stat}
	for name, tc := range map[string]struct {
		fault sftpd.Fault
		want  string // of STAT of /in/a, /in/b, /c, twice: f is failed
	}{
		"any":               {sftpd.Fault{Kind: sftpd.Fail, Ops: stat}, "ffffff"},
		"any operation":     {sftpd.Fault{Kind: sftpd.Fail}, "ffffff"},
		"another operation": {sftpd.Fault{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Lstat}}, "......"},
		"under a directory": {sftpd.Fault{Kind: sftpd.Fail, Under: "/in"}, "ff.ff."},
		"a file":            {sftpd.Fault{Kind: sftpd.Fail, Under: "/in/a"}, "f..f.."},
		"no prefix of it":   {sftpd.Fault{Kind: sftpd.Fail, Under: "/i"}, "......"},
		"a glob":            {sftpd.Fault{Kind: sftpd.Fail, Under: "/in/[b-z]"}, ".f..f."},
		"a base name":       {sftpd.Fault{Kind: sftpd.Fail, Under: "[bc]"}, ".ff.ff"},
		"the top":           {sftpd.Fault{Kind: sftpd.Fail, Under: "/"}, "ffffff"},
		"each second":       {sftpd.Fault{Kind: sftpd.Fail, Every: 2}, ".f.f.f"},
		"twice":             {sftpd.Fault{Kind: sftpd.Fail, Times: 2}, "ff...."},
		"each third, once":  {sftpd.Fault{Kind: sftpd.Fail, Every: 3, Times: 1}, "..f..."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := files(t)
			r := rawClient(t, s)
			tc.fault.Status = sftpd.StatusFailure
			s.Inject(tc.fault)
			seen := ""
			for range 2 {
				for _, name := range []string{"/in/a", "/in/b", "/c"} {
					r.ask(pktStat, name)
					if r.next().kind == pktStatus {
						seen += "f"
					} else {
						seen += "."
					}
				}
			}
			if seen != tc.want {
				t.Errorf("saw %s, want %s", seen, tc.want)
			}
		})
	}
}

// Contents are never falsified: no WRITE is said to be done that was not.
func TestNoWriteIsAnsweredAsDoneThatWasNot(t *testing.T) {
	t.Parallel()
	s, root := files(t)
	r := rawClient(t, s)
	s.Inject(sftpd.Fault{Kind: sftpd.Fail, Ops: []sftpd.Op{sftpd.Write}})
	h := r.open("/in/a", 2)
	if got := r.status(pktWrite, h, uint64(0), "x"); got != 0 {
		t.Errorf("WRITE: %d", got)
	}
	if data, err := os.ReadFile(filepath.Join(root, "in", "a")); err != nil || string(data) != "x"+content[1:] {
		t.Errorf("the file has %q, %v", data, err)
	}
}

// A fault that cannot be done is not counted, and comes later.
func TestAFaultWaitsUntilItCanBeDone(t *testing.T) {
	t.Parallel()
	s, _ := files(t)
	r := rawClient(t, s)
	s.Inject(sftpd.Fault{Kind: sftpd.ShortRead, Times: 1}, sftpd.Fault{Kind: sftpd.SameHandle, Times: 1})
	h := r.open("/in/a", 1) // no other is open
	r.answer(pktStatus, pktRead, h, uint64(10), uint32(10))
	if got := s.Injected(); len(got) != 0 {
		t.Errorf("injected %v", got)
	}
	if got := r.answer(pktData, pktRead, h, uint64(0), uint32(10)).number(); got == 10 {
		t.Error("the read is not short")
	}
	if r.open("/in/b", 1) != h {
		t.Error("the handle is not the same")
	}
}
