package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sftpconnector/durable"
)

// part ends the name of an object until the index has said that it was received. An
// object of such a name that the index does not know is of no use to anybody. One of
// the plain name was acknowledged: the index must be older than the objects.
const part = ".part"

// lostAndFound is the directory of objects that were acknowledged, and that the
// index does not know.
const lostAndFound = "lost+found"

// objects is a directory of objects. It may be used concurrently.
type objects struct {
	path  string
	root  *os.Root
	names group // makes the names of objects durable
}

func openObjects(dir string) (*objects, error) {
	path := filepath.Join(dir, "objects")
	if err := durable.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	o := &objects{path: path, root: root}
	o.names.do = func() error { return syncDirectory(root) }
	return o, nil
}

func (o *objects) close() error { return o.root.Close() }

func (o *objects) probe() error { return sameDirectory(o.root, o.path) }

// newID gives an id that no object has, had or will have.
func newID() string { return strings.ToLower(rand.Text()) }

// create makes an object that is to be written.
func (o *objects) create(id string) (*os.File, error) {
	return o.root.OpenFile(id+part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// open opens an object, under the name that it has.
func (o *objects) open(id string, flag int) (*os.File, error) {
	f, err := o.root.OpenFile(id, flag, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = o.root.OpenFile(id+part, flag, 0); errors.Is(err, fs.ErrNotExist) {
			f, err = o.root.OpenFile(id, flag, 0) // it was just received
		}
	}
	return f, err
}

// received gives an object the name of one that was acknowledged. It need not last:
// while the index has it, either name will do.
func (o *objects) received(id string) error { return o.root.Rename(id+part, id) }

// remove removes an object, under whatever name; it need not be there.
func (o *objects) remove(id string) error {
	for _, name := range []string{id + part, id} {
		if err := o.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// sync makes the names in the directory durable.
func (o *objects) sync() error { return o.names.join() }

// removeUnknown removes what is left of uploads that the index does not know, and moves
// objects that were acknowledged and that it does not know out of the way: lost
// is how many of these there are; there has those that it knows.
func (o *objects) removeUnknown(known func(id string) bool) (lost int, there map[string]bool, err error) {
	there = map[string]bool{}
	var remove, move []string
	err = eachName(o.root, func(base string) error {
		id, unfinished := strings.CutSuffix(base, part)
		switch {
		case known(id):
			there[id] = true
		case unfinished:
			remove = append(remove, base)
		default:
			move = append(move, base)
		}
		return nil
	})
	for _, base := range remove {
		if rerr := o.root.Remove(base); rerr != nil && err == nil {
			err = rerr
		}
	}
	if err != nil || len(move) == 0 {
		return 0, there, err
	}
	to := filepath.Join(filepath.Dir(o.path), lostAndFound)
	if err := durable.MkdirAll(to, 0o700); err != nil {
		return 0, there, err
	}
	for _, base := range move {
		if err := os.Rename(filepath.Join(o.path, base), filepath.Join(to, base)); err != nil {
			return lost, there, fmt.Errorf("move it out of the way: %w", err)
		}
		lost++
	}
	return lost, there, nil
}

// eachName calls do for each name of a directory.
func eachName(dir *os.Root, do func(base string) error) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		bases, err := f.Readdirnames(256)
		for _, base := range bases {
			if err := do(base); err != nil {
				return err
			}
		}
		if len(bases) == 0 {
			return eofIsNil(err)
		}
	}
}
