package inbox

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
)

// place is where a name stands: an open directory, and the base name in it.
// Whoever has one closes it.
type place struct {
	dir  *os.Root
	base string
	own  bool // dir is this place's, not the inbox
}

// place opens the directory that name is in. No symbolic link is followed on
// the way, not even one that stays in the inbox.
func (b *Inbox) place(name string) (place, error) {
	p := place{dir: b.root, base: name}
	for {
		first, rest, more := strings.Cut(p.base, "/")
		if !more {
			return p, nil
		}
		next, err := openDirectory(p.dir, first)
		p.close()
		if err != nil {
			return place{}, err
		}
		p = place{dir: next, base: rest, own: true}
	}
}

// directory is the place of what is in a directory, without a base name.
func (b *Inbox) directory(name string) (place, error) {
	if name == "" {
		return place{dir: b.root}, nil
	}
	p, err := b.place(name + "/")
	if err != nil {
		return place{}, err
	}
	return p, nil
}

func openDirectory(dir *os.Root, base string) (*os.Root, error) {
	info, err := dir.Lstat(base)
	switch {
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, errDenied
	case !info.IsDir():
		return nil, errMissing
	}
	return dir.OpenRoot(base)
}

func (p place) close() {
	if p.own {
		p.dir.Close()
	}
}

// part is the reserved name.
func (p place) part() string { return reserved + p.base }

// sight is what stands under a name: nil for nothing. whole may be a directory.
type sight struct{ whole, part fs.FileInfo }

func (s sight) nothing() bool     { return s.whole == nil && s.part == nil }
func (s sight) isDirectory() bool { return s.whole != nil && s.whole.IsDir() }

// look says what stands there. Links and devices are refused.
func (p place) look() (sight, error) {
	var s sight
	if p.base == "" {
		var err error
		s.whole, err = p.dir.Lstat(".")
		return s, err
	}
	// Twice, as a file may go from one name to the other between two looks.
	for range 2 {
		var err error
		if s.part, err = lstat(p.dir, p.part()); err != nil {
			return sight{}, err
		}
		if s.whole, err = lstat(p.dir, p.base); err != nil {
			return sight{}, err
		}
		if !s.nothing() {
			break
		}
	}
	return s, nil
}

func lstat(dir *os.Root, base string) (fs.FileInfo, error) {
	info, err := dir.Lstat(base)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil, errDenied
	}
	return info, nil
}

// nameStream reads the names of a directory.
type nameStream struct{ f *os.File }

func openNames(dir *os.Root) (*nameStream, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	return &nameStream{f}, nil
}

// next gives some more names; io.EOF when there are none.
func (n *nameStream) next() ([]string, error) { return n.f.Readdirnames(256) }

func (n *nameStream) close() error { return n.f.Close() }

// eachName calls do for each name of a directory.
func eachName(dir *os.Root, do func(base string) error) error {
	n, err := openNames(dir)
	if err != nil {
		return err
	}
	defer n.close()
	for {
		bases, err := n.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, base := range bases {
			if err := do(base); err != nil {
				return err
			}
		}
	}
}
