package spool_test

import (
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sftpconnector/space/spool"
)

// model is what an inbox should hold.
type model struct {
	whole, part map[string]string // received, and cut
	dirs        map[string]bool
}

func (m *model) exists(name string) bool {
	_, whole := m.whole[name]
	_, part := m.part[name]
	return whole || part || m.dirs[name]
}

func (m *model) under(dir string) bool {
	for _, files := range []map[string]string{m.whole, m.part} {
		for name := range files {
			if strings.HasPrefix(name, dir+"/") {
				return true
			}
		}
	}
	for d := range m.dirs {
		if strings.HasPrefix(d, dir+"/") {
			return true
		}
	}
	return false
}

func moved[V any](m map[string]V, from, to string) {
	for name, v := range maps.Clone(m) {
		if name == from || strings.HasPrefix(name, from+"/") {
			delete(m, name)
			m[to+name[len(from):]] = v
		}
	}
}

// What a client does at random, and what is imported, against the model.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t, spool.Options{})
		defer b.Close()
		c := b.connect()
		defer func() { c.end() }()
		m := &model{map[string]string{}, map[string]string{}, map[string]bool{".": true}}
		name := rapid.SampledFrom([]string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a"})
		agree := func(what string, err error, want bool) {
			if (err == nil) != want {
				rt.Fatalf("%s: %v, want it to go through: %v\n%+v", what, err, want, m)
			}
		}
		write := func(n string, flags int, data string, at int64, cut bool) bool {
			f, err := c.OpenFile(n, flags)
			if err != nil {
				return false
			}
			_, err = f.WriteAt([]byte(data), at)
			b.must(err)
			if cut {
				c.end()
				c = b.connect()
			} else {
				b.must(f.Close())
			}
			return true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"upload": func(rt *rapid.T) {
				n, data, cut := name.Draw(rt, "name"), rapid.StringN(0, 20, 20).Draw(rt, "data"), rapid.Bool().Draw(rt, "cut")
				can := m.dirs[path.Dir(n)] && !m.dirs[n]
				if did := write(n, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, data, 0, cut); did != can {
					rt.Fatalf("upload of %s: %v\n%+v", n, did, m)
				}
				if can && cut {
					m.part[n] = data
				} else if can {
					delete(m.part, n)
					m.whole[n] = data
				}
			},
			"append": func(rt *rapid.T) {
				n, cut := name.Draw(rt, "name"), rapid.Bool().Draw(rt, "cut")
				old, part := m.part[n]
				if !part {
					old = m.whole[n]
				}
				can := m.exists(n) && !m.dirs[n]
				if did := write(n, os.O_WRONLY, "+", int64(len(old)), cut); did != can {
					rt.Fatalf("append to %s: %v\n%+v", n, did, m)
				}
				if can {
					delete(m.part, n)
					if cut {
						m.part[n] = old + "+"
					} else {
						m.whole[n] = old + "+"
					}
				}
			},
			"mkdir": func(rt *rapid.T) {
				n := name.Draw(rt, "name")
				can := m.dirs[path.Dir(n)] && !m.exists(n)
				agree("mkdir "+n, c.Mkdir(n), can)
				if can {
					m.dirs[n] = true
				}
			},
			"rmdir": func(rt *rapid.T) {
				n := name.Draw(rt, "name")
				can := m.dirs[n] && !m.under(n)
				agree("rmdir "+n, c.RemoveDirectory(n), can)
				if can {
					delete(m.dirs, n)
				}
			},
			"remove": func(rt *rapid.T) {
				n := name.Draw(rt, "name")
				if m.dirs[n] {
					return // the client would try RMDIR
				}
				agree("remove "+n, c.Remove(n), m.exists(n))
				delete(m.whole, n)
				delete(m.part, n)
			},
			"rename": func(rt *rapid.T) {
				from, to, replace := name.Draw(rt, "from"), name.Draw(rt, "to"), rapid.Bool().Draw(rt, "replace")
				_, part := m.part[from]
				can := m.exists(from) && m.dirs[path.Dir(to)] && !strings.HasPrefix(to, from+"/")
				switch {
				case from == to:
					can = can && replace
				case m.exists(to) && (!replace || m.dirs[from] != m.dirs[to] || part || m.under(to)):
					can = false
				}
				rename := c.Rename
				if replace {
					rename = c.PosixRename
				}
				agree("rename "+from+" to "+to, rename(from, to), can)
				if can && from != to {
					delete(m.part, to)
					moved(m.whole, from, to)
					moved(m.part, from, to)
					moved(m.dirs, from, to)
				}
			},
			"import": func(rt *rapid.T) {
				for n, e := range b.ready() {
					if got := b.imports(e); got != m.whole[n] {
						rt.Fatalf("%s is imported as %q\n%+v", n, got, m)
					}
				}
				clear(m.whole)
			},
			"restart": func(rt *rapid.T) {
				c.end()
				b.again()
				c = b.connect()
			},
			"kill": func(rt *rapid.T) {
				c.end()
				after := b.killed()
				b.Close()
				b.dir, b.index = after.dir, after.index
				b.open(spool.Options{Quiet: time.Nanosecond})
				c = b.connect()
			},
			"": func(rt *rapid.T) {
				names := slices.Sorted(maps.Keys(m.whole))
				if got := slices.Sorted(maps.Keys(b.ready())); !slices.Equal(got, names) {
					rt.Fatalf("ready: %q, want %q", got, names)
				}
				var bytes int64
				for _, data := range m.part {
					bytes += int64(len(data))
				}
				all := maps.Clone(m.whole)
				for n, data := range m.whole {
					bytes += int64(len(data))
					if e := b.ready()[n]; e.Size != int64(len(data)) { // not by Fetch, which is the beginning of an import
						rt.Fatalf("%s would be imported as %+v, want %q", n, e, data)
					}
				}
				maps.Copy(all, m.part)
				for n, data := range all {
					if got := b.get(c, n); got != data {
						rt.Fatalf("the client sees %s as %q, want %q", n, got, data)
					}
				}
				b.wantUsage(bytes, len(all))
				listed := 0
				for dir := range m.dirs {
					infos, err := c.ReadDir(dir)
					b.must(err)
					listed += len(infos)
				}
				if listed != len(all)+len(m.dirs)-1 {
					rt.Fatalf("%d are listed, of %+v", listed, m)
				}
			},
		})
	})
}
