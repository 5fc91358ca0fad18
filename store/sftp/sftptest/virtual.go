package sftptest

import (
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"
	"time"
)

// What a Faulty server shows that is not on its disk.

func (i Injected) info() info {
	n := info{size: int64(len(i.Content)), mode: 0o644, mtime: i.ModTime}
	if i.Size > 0 {
		n.size = i.Size
	}
	if i.Dir {
		n.mode = fs.ModeDir | 0o755
	}
	if n.mtime.IsZero() {
		n.mtime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return n
}

// virtual finds what a path means besides the disk.
func (f *Faults) virtual(p string) (Injected, bool) {
	for dir, children := range f.Inject {
		for _, i := range children {
			if i.meantBy(p, dir) {
				return i, true
			}
		}
	}
	clean := path.Clean(p)
	if f.EndlessListing != "" && path.Dir(clean) == f.EndlessListing && strings.HasPrefix(path.Base(clean), "endless-") {
		return Injected{Name: path.Base(clean), Content: []byte("x")}, true
	}
	if below, ok := strings.CutPrefix(clean, f.EndlessTree+"/"); ok && f.EndlessTree != "" {
		parts := strings.Split(below, "/")
		for i, name := range parts {
			if name == "leaf.csv" && i == len(parts)-1 {
				return leaf(), true
			}
			if name != "deeper" {
				return Injected{}, false
			}
		}
		return Injected{Name: "deeper", Dir: true}, true
	}
	return Injected{}, false
}

func leaf() Injected { return Injected{Name: "leaf.csv", Content: []byte("leaf")} }

// meantBy reports whether a client that saw the name in dir may mean it by p.
func (i Injected) meantBy(p, dir string) bool {
	if p == dir+"/"+i.Name && i.Name != "" {
		return true
	}
	switch path.Base(i.Name) {
	case ".", "..", "/":
		return false // p is then a directory that stands there in earnest
	}
	clean := path.Clean(p)
	return clean == path.Clean(dir+"/"+i.Name) || path.Dir(clean) == dir && path.Base(clean) == path.Base(i.Name)
}

// children are the names that are added to a directory's listing; there may be
// no end to them.
func (f *Faults) children(dir string) iter.Seq[Injected] {
	return func(yield func(Injected) bool) {
		for _, i := range f.Inject[dir] {
			if !yield(i) {
				return
			}
		}
		if v, ok := f.virtual(dir); f.EndlessTree != "" && (dir == f.EndlessTree || ok && v.Name == "deeper") {
			if !yield(leaf()) || !yield(Injected{Name: "deeper", Dir: true}) {
				return
			}
		}
		for n := 0; f.EndlessListing != "" && dir == f.EndlessListing; n++ {
			if !yield(Injected{Name: fmt.Sprintf("endless-%09d.csv", n), Content: []byte("x")}) {
				return
			}
		}
	}
}
