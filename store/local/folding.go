package local

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync"

	"sftpconnector/store/pending"
)

// Foldings remembers of directories whether names that differ only in case are one
// there, so that it is tried once in the life of a program. The zero value knows of
// none.
type Foldings struct {
	mu    sync.Mutex
	known map[place]bool
}

// place is a directory: another file system may be mounted on a path.
type place struct {
	device uint64
	path   string
}

func (f *Foldings) of(p place) (folds, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	folds, known = f.known[p]
	return folds, known
}

func (f *Foldings) remember(p place, folds bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		f.known = make(map[place]bool)
	}
	f.known[p] = folds
}

// folding is what a destination knows of it.
type folding struct {
	at     place
	mu     sync.Mutex
	looked bool // without writing anything
	known  bool
	folds  bool
}

// FoldsCase implements sync.Destination. It is a matter of the file system, not of
// the operating system: FAT, NTFS, shares that are mounted, and ext4 with casefold
// do on Linux, too. So it is looked at, or else tried with a file. Where neither can
// be done, the usual file system of the operating system is assumed: where that folds
// and this one does not, the rule is only stricter than it had to be.
func (d *Destination) FoldsCase(mayWrite bool) bool {
	f := &d.folding
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.looked {
		f.looked, f.folds = true, runtime.GOOS == "windows" || runtime.GOOS == "darwin"
		d.learn(d.seeCase)
	}
	if !f.known && mayWrite {
		d.learn(d.tryCase)
		f.known = true // as far as it can be
	}
	return f.folds
}

// learn takes what is remembered, or what ask finds.
func (d *Destination) learn(ask func() (folds, known bool)) {
	folds, known := d.foldings.of(d.folding.at)
	if !known {
		if folds, known = ask(); !known {
			return
		}
		d.foldings.remember(d.folding.at, folds)
	}
	d.folding.folds, d.folding.known = folds, true
}

// maxSeen is how many names of the directory are looked at.
const maxSeen = 256

// seeCase looks for names that are there under another case.
func (d *Destination) seeCase() (folds, known bool) {
	dir, err := d.dirs.root.Open(".")
	if err != nil {
		return false, false
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxSeen) // what came before an error is good
	listed := make(map[string]bool, len(names))
	for _, name := range names {
		listed[name] = true
	}
	for _, name := range names {
		other := otherCase(name)
		if other == name || listed[other] {
			continue
		}
		if folds, known = d.sameFile(name, other); known {
			return folds, true
		}
	}
	return false, false
}

// sameFile reports whether a name that was listed is there under another one, too.
// It is not known when the name has gone.
func (d *Destination) sameFile(name, other string) (same, known bool) {
	otherInfo, oerr := d.dirs.root.Lstat(other)
	info, err := d.dirs.root.Lstat(name)
	switch {
	case err != nil:
		return false, false
	case oerr == nil:
		return true, os.SameFile(info, otherInfo)
	}
	return false, errors.Is(oerr, fs.ErrNotExist)
}

// otherCase is a name in capitals, or in small letters where it has no other ones.
// All file systems that fold take the letters of ASCII for the same.
func otherCase(name string) string {
	upper := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, name)
	if upper != name {
		return upper
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r - 'A' + 'a'
		}
		return r
	}, name)
}

// tryCase makes a hidden file and looks for it in capitals.
func (d *Destination) tryCase() (folds, known bool) {
	name := pending.Name("case", d.owner.NewID())
	f, err := d.dirs.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return false, false
	}
	_ = f.Close()
	defer d.removeTrial(name)
	return d.sameFile(name, otherCase(name))
}
