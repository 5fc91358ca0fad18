//go:build linux

package world

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"sftpconnector/faults/model"
)

// watcher is a reader of a destination that opens files as they appear under
// final names, and notes the contents that it finds.
type watcher struct {
	dir  string
	poke chan string // slash paths that have changed

	looking sync.Mutex // held while a file is read: sights are in the order in which they were seen

	mu   sync.Mutex
	last map[string]state
	seen []model.Sight
}

// state is what tells that a file may have other contents than at the last look.
type state struct {
	inode          uint64
	size           int64
	changed, wrote int64
}

func newWatcher(dir string) *watcher {
	return &watcher{dir: dir, poke: make(chan string, 4096), last: map[string]state{}}
}

// run looks at what it is told of, and at everything each so often, until ctx ends.
func (w *watcher) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-w.poke:
			w.look(name)
		case <-tick.C:
			w.lookAround()
		}
	}
}

// changed tells the watcher of a file that may have changed. It does not wait:
// what is told too fast is found when it looks around.
func (w *watcher) changed(name string) {
	select {
	case w.poke <- name:
	default:
	}
}

func (w *watcher) lookAround() {
	// What cannot be read is no sight: the disk may be away, by the schedule.
	_ = filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if name, err := filepath.Rel(w.dir, path); err == nil {
			w.look(filepath.ToSlash(name))
		}
		return nil
	})
}

// forget has every file read again, as it may be another one than it looks.
func (w *watcher) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.last)
}

// look reads a file, if it is not as it was at the last look.
func (w *watcher) look(name string) {
	if model.Temporary(name) {
		return
	}
	w.looking.Lock()
	defer w.looking.Unlock()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	now, err := stateOf(path)
	if err != nil {
		return
	}
	w.mu.Lock()
	same := w.last[name] == now
	w.mu.Unlock()
	if same {
		return
	}
	// Whoever is late to look, on a busy machine, still knows when the file came: its
	// status changed last as it got its name.
	at := time.Unix(0, now.changed)
	sum, err := sumOf(path)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last[name] = now
	if n := len(w.seen); n > 0 && w.seen[n-1].Name == name && w.seen[n-1].Sum == sum {
		return
	}
	w.seen = append(w.seen, model.Sight{Name: name, Sum: sum, At: at})
}

func stateOf(path string) (state, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return state{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return state{}, errors.New("no file")
	}
	return state{st.Ino, st.Size, st.Ctim.Nano(), st.Mtim.Nano()}, nil
}

func sumOf(path string) (model.Sum, error) {
	f, err := os.Open(path)
	if err != nil {
		return model.Sum{}, err
	}
	defer f.Close()
	s := model.NewSummer()
	if _, err := io.Copy(s, f); err != nil {
		return model.Sum{}, err
	}
	return s.Sum(), nil
}

// sights is all that was seen, in the order in which it was.
func (w *watcher) sights() []model.Sight {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// tree reads all files below a directory: final names and temporary ones.
func tree(dir string) (final map[string]model.Sum, temporary []string, err error) {
	final = map[string]model.Sum{}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if model.Temporary(name) {
			temporary = append(temporary, name)
			return nil
		}
		final[name], err = sumOf(path)
		return err
	})
	return final, temporary, err
}
