package credentials

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// FuzzParse: no text makes the reader panic, and what it takes it writes the
// same, with nothing in it that could not have come from here.
func FuzzParse(f *testing.F) {
	o := inDir(f.TempDir())
	s, err := Open(o)
	if err != nil {
		f.Fatal(err)
	}
	for _, space := range []string{"a", "b", "a"} {
		c, err := s.Create(f.Context(), space, "")
		if err != nil {
			f.Fatal(err)
		}
		if _, err := s.Check(space, []byte(c.Password())); err != nil {
			f.Fatal(err)
		}
		data, err := os.ReadFile(o.Records.String())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"version":1,"key":"","credentials":[]}`))
	f.Add([]byte(`{"version":1,"key":"","credentials":null}`))
	f.Add([]byte(`{"version":3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parse(data)
		if err != nil {
			return
		}
		again, err := d.encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := parse(again)
		if err != nil || len(second.Credentials) != len(d.Credentials) {
			t.Fatalf("%s is read as %v, %v", again, second, err)
		}
		for _, r := range d.Credentials {
			if checkSpace(r.Space) != nil || !validID(r.ID) || r.Created.IsZero() {
				t.Errorf("took %+v", r.Info)
			}
		}
		if !json.Valid(again) {
			t.Errorf("wrote %s", again)
		}
	})
}

// modelled is a password as the model has it.
type modelled struct {
	Created
	used time.Time
}

// TestModel holds two processes that do anything to the few rules there are.
func TestModel(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		sub, err := os.MkdirTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		o := inDir(sub)
		o.Live = rapid.IntRange(1, 3).Draw(t, "live")
		o.Expiry = time.Duration(rapid.IntRange(0, 8).Draw(t, "expiry")) * time.Hour
		o.Now = func() time.Time { return now }
		var stores [2]*Store
		for i := range stores {
			if stores[i], err = Open(o); err != nil {
				t.Fatal(err)
			}
			defer func() { stores[i].Close() }()
		}
		spaces := []string{"a", "b"}
		live := map[string][]modelled{}
		var dead []Created
		bury := func(space string, gone func(modelled) bool) (buried []Info) {
			live[space] = slices.DeleteFunc(live[space], func(m modelled) bool {
				if gone(m) {
					dead, buried = append(dead, m.Created), append(buried, m.Info)
					return true
				}
				return false
			})
			return buried
		}
		pick := func() (*Store, string) {
			now = now.Add(time.Minute)
			for _, space := range spaces {
				bury(space, func(m modelled) bool { return !m.live(now) })
			}
			return stores[rapid.IntRange(0, 1).Draw(t, "store")], rapid.SampledFrom(spaces).Draw(t, "space")
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				s, space := pick()
				c, err := s.Create(t.Context(), space, "")
				if err != nil {
					t.Fatal(err)
				}
				var want []Info
				if len(live[space]) == o.Live {
					oldest := slices.MinFunc(live[space], func(a, b modelled) int { return a.used.Compare(b.used) })
					want = bury(space, func(m modelled) bool { return m.ID == oldest.ID })
				}
				if ids(c.Dropped) != ids(want) {
					t.Fatalf("dropped %q, want %q", ids(c.Dropped), ids(want))
				}
				live[space] = append(live[space], modelled{c, now})
			},
			"use": func(t *rapid.T) {
				s, space := pick()
				if len(live[space]) == 0 {
					return
				}
				m := &live[space][rapid.IntRange(0, len(live[space])-1).Draw(t, "which")]
				if id, err := s.Check(space, []byte(m.Password())); id != m.ID || err != nil {
					t.Fatalf("%s: %q, %v", m.ID, id, err)
				}
				m.used = now
				if err := s.writeUses(); err != nil { // else the other knows in a minute
					t.Fatal(err)
				}
			},
			"revoke": func(t *rapid.T) {
				s, space := pick()
				id := ""
				if n := len(live[space]); n > 0 && rapid.Bool().Draw(t, "one") {
					id = live[space][rapid.IntRange(0, n-1).Draw(t, "which")].ID
				}
				want := bury(space, func(m modelled) bool { return id == "" || m.ID == id })
				gone, err := s.Revoke(t.Context(), space, id)
				if ids(gone) != ids(want) || (err != nil) != (len(want) == 0) {
					t.Fatalf("revoked %q, %v; want %q", ids(gone), err, ids(want))
				}
			},
			"wait": func(t *rapid.T) {
				pick()
				now = now.Add(time.Duration(rapid.IntRange(1, 5).Draw(t, "hours")) * time.Hour)
			},
			"restart": func(t *rapid.T) {
				i := rapid.IntRange(0, 1).Draw(t, "which")
				if err := stores[i].Close(); err != nil {
					t.Fatal(err)
				}
				if stores[i], err = Open(o); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				s, space := pick()
				list, err := s.List(space)
				var want []Info
				for _, m := range live[space] {
					want = append(want, m.Info)
				}
				if ids(list) != ids(want) || err != nil {
					t.Fatalf("%s has %q, %v; want %q", space, ids(list), err, ids(want))
				}
				for _, c := range dead {
					if id, err := s.Check(c.Space, []byte(c.Password())); !errors.Is(err, ErrRefused) {
						t.Fatalf("%s still works: %q, %v", c.ID, id, err)
					}
				}
			},
		})
	})
}
