package local

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
)

// maxIdle is how many directories are kept open that nobody uses at the moment.
const maxIdle = 64

// directory is an open directory of the destination. Working relative to it
// saves the walk from the root for every file.
type directory struct {
	name   string
	root   *os.Root
	handle *os.File // for fsync, renameat2 and syncfs
	at     int      // its descriptor, on POSIX
	device uint64
	users  int
	fresh  atomic.Pointer[attributes] // that new files get; nil: nobody has asked
}

// directories keeps directories open while they are of use.
type directories struct {
	root *os.Root

	mu   sync.Mutex
	open map[string]*directory
	idle []*directory // the longest unused first; those in use again are passed over
	// lasting are directories whose own names are durable, for all that is known:
	// one that stands may have been made just before a kill.
	lasting map[string]bool
}

func newDirectories(root *os.Root) (*directories, error) {
	t := &directories{root: root, open: map[string]*directory{}, lasting: map[string]bool{}}
	// The root stays open: it has a user for good.
	if _, err := t.acquire(".", false); err != nil {
		return nil, err
	}
	return t, nil
}

// acquire opens a directory, and makes it and those above it if make is set.
// It has to be released.
func (t *directories) acquire(name string, make bool) (*directory, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.open[name]; d != nil {
		if d.users > 0 || t.stands(d) {
			d.users++
			return d, nil
		}
		t.drop(d)
	}
	root, err := t.root.OpenRoot(name)
	if make && errors.Is(err, fs.ErrNotExist) {
		if err = t.makeAll(name); err == nil {
			root, err = t.root.OpenRoot(name)
		}
	}
	if err != nil {
		return nil, err
	}
	handle, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	d := &directory{name: name, root: root, handle: handle, at: int(handle.Fd()), device: device(handle), users: 1}
	t.open[name] = d
	return d, nil
}

// makeAll makes a directory and those above it. The caller holds t.mu.
func (t *directories) makeAll(name string) error {
	for end := range len(name) + 1 {
		if end < len(name) && name[end] != '/' {
			continue
		}
		err := t.root.Mkdir(name[:end], 0o777)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err == nil {
			delete(t.lasting, name[:end])
		}
	}
	return nil
}

// stands reports whether a directory is still the one under its name: somebody
// may have removed it, or moved it with its files to another place.
func (t *directories) stands(d *directory) bool {
	there, err := t.root.Stat(d.name)
	if err != nil {
		return false
	}
	open, err := d.handle.Stat()
	return err == nil && os.SameFile(there, open)
}

// drop forgets a directory that no longer stands. The caller holds t.mu.
func (t *directories) drop(d *directory) {
	if t.open[d.name] == d {
		delete(t.open, d.name)
	}
	if d.users == 0 {
		d.close()
	}
}

// still checks that a directory in use stands, and forgets it if not.
func (t *directories) still(d *directory) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stands(d) {
		return nil
	}
	t.drop(d)
	return errMoved
}

var errMoved = errors.New("its directory was moved or removed meanwhile")

func (d *directory) close() {
	d.handle.Close()
	d.root.Close()
}

// release gives a directory back; nil is none.
func (t *directories) release(d *directory) {
	if d == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.users--; d.users > 0 {
		return
	}
	if t.open[d.name] != d {
		d.close()
		return
	}
	t.idle = append(t.idle, d)
	for len(t.idle) > maxIdle {
		last := t.idle[0]
		t.idle = t.idle[1:]
		if last.users == 0 && t.open[last.name] == last {
			t.drop(last)
		}
	}
}

// maxLasting bounds how many directories are known to last. Of those that are
// forgotten it is made sure again.
const maxLasting = 100_000

// freshAbove gives those of the directories, and of those above them, of which
// it is not known that their names are durable.
func (t *directories) freshAbove(dirs []*directory) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	seen := map[string]bool{}
	for _, d := range dirs {
		for name := d.name; name != "." && !seen[name]; name = path.Dir(name) {
			seen[name] = true
			if !t.lasting[name] {
				names = append(names, name)
			}
		}
	}
	return names
}

// settle notes that the directories are durable.
func (t *directories) settle(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lasting)+len(names) > maxLasting {
		clear(t.lasting)
	}
	for _, name := range names {
		t.lasting[name] = true
	}
}

func (t *directories) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range t.open {
		d.close()
	}
	clear(t.open)
	return t.root.Close()
}
