package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// maxKnown is how many directories are known to stand; more are asked for again.
const maxKnown = 100_000

// directories knows which directories of a destination stand, and makes others.
// It learns that one has gone when something fails there; that a link was put in
// its place meanwhile, it does not.
type directories struct {
	s *session

	mu       sync.Mutex
	known    map[string]bool
	searches map[search]*searching
	real     string           // the root's path with its links resolved, once it is known
	unseen   error            // why the root could not be looked at; nil: it was
	unmade   map[string]error // why directories that cannot be seen could not be made
}

// search is what several may look for at a time.
type search struct {
	dir    string
	making bool
}

// searching is a search under way.
type searching struct {
	done chan struct{}
	sure bool // that it stands, or that it was tried to make it
	err  error
}

func newDirectories(s *session) *directories {
	return &directories{s: s, known: map[string]bool{}, searches: map[search]*searching{}}
}

// find makes sure that a directory stands below the root, "" for that itself,
// and makes it and those above it if making is set. A missing one is
// fs.ErrNotExist, a file in its place sync.ErrConflict, a link that leads out
// sync.ErrOutside. Of the root, only the last directory is made: if more is
// missing, it is a *status.Error.
func (t *directories) find(ctx context.Context, dir string, making bool) error {
	for {
		t.mu.Lock()
		if t.known[dir] {
			t.mu.Unlock()
			return nil
		}
		what := search{dir, making}
		other := t.searches[what]
		if other == nil {
			mine := &searching{done: make(chan struct{})}
			t.searches[what] = mine
			t.mu.Unlock()
			mine.sure, mine.err = t.look(ctx, dir, making)
			t.finish(what, mine)
			return mine.err
		}
		t.mu.Unlock()
		select {
		case <-other.done:
			if !isContext(other.err) { // else it gave up, and not for us
				return other.err
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (t *directories) finish(what search, s *searching) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.searches, what)
	if s.err == nil && s.sure {
		if len(t.known) >= maxKnown {
			clear(t.known)
		}
		t.known[what.dir] = true
	}
	close(s.done)
}

// forget has a directory and those above it looked for again.
func (t *directories) forget(dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; dir != ""; dir = parentOf(dir) {
		delete(t.known, dir)
	}
	delete(t.known, "")
}

func (t *directories) look(ctx context.Context, dir string, making bool) (sure bool, err error) {
	if dir == "" {
		err := t.lookAtRoot(ctx, making)
		return making || !t.rootUnseen(), err
	}
	if err := t.find(ctx, parentOf(dir), making); err != nil {
		return false, err
	}
	p := t.s.path(dir)
	a, real, err := t.where(ctx, p, false)
	if making && errors.Is(err, fs.ErrNotExist) {
		merr := t.s.makeDir(ctx, p)
		if merr != nil && !isAnswer(merr) {
			return false, merr
		}
		if merr != nil {
			t.noteUnmade(dir, merr)
		}
		if merr != nil && !isUnseen(err) {
			// Somebody else may have made it meanwhile.
			if a, real, err = t.where(ctx, p, false); err != nil {
				return false, hideMissing(fmt.Errorf("make the directory %s: %w", shown(dir), merr))
			}
		} else if merr == nil {
			a, err = attrs{mode: fs.ModeDir, typed: true}, nil
		}
	}
	if err != nil && !isUnseen(err) {
		return false, err
	}
	return making || err == nil, t.judge(ctx, dir, a, real)
}

// noteUnmade remembers why a directory could not be made.
func (t *directories) noteUnmade(dir string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unmade == nil || len(t.unmade) >= maxUnmade {
		t.unmade = map[string]error{}
	}
	t.unmade[dir] = err
}

// maxUnmade bounds the directories of which it is known why they could not be made.
const maxUnmade = 1000

// explain gives an error of a file in dir, or that its directory could not be made.
func (t *directories) explain(dir string, err error) error {
	t.mu.Lock()
	why := t.unmade[dir]
	t.mu.Unlock()
	if why == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("make the directory %s: %w", shown(dir), why)
}

// where looks at a path, with STAT if follow is set and else with LSTAT, and with
// the other one where that is refused. What neither tells is unseen, and may stand.
func (t *directories) where(ctx context.Context, path string, follow bool) (a attrs, real string, err error) {
	a, real, err = t.s.where(ctx, path, follow)
	if !refusedLook(err) {
		return a, real, err
	}
	refused := err
	a, _, err = t.s.where(ctx, path, !follow)
	if follow && a.mode&fs.ModeSymlink != 0 {
		a.mode, a.typed = 0, false
	}
	if refusedLook(err) {
		return attrs{size: -1}, real, &unseen{refused}
	}
	return a, real, err
}

// judge decides whether files may be written to what stands where a directory
// should be. real is where REALPATH says that it lies, "" where it says nothing.
func (t *directories) judge(ctx context.Context, dir string, a attrs, real string) error {
	p := t.s.path(dir)
	link := a.mode&fs.ModeSymlink != 0
	if link {
		target, err := t.s.statAt(ctx, p)
		if err != nil {
			return fmt.Errorf("follow the link %s: %w", shown(dir), hideMissing(err))
		}
		a.typed, a.mode = target.typed, target.mode
	}
	if a.typed && !a.mode.IsDir() {
		return fmt.Errorf("a file stands where %s should be a directory: %w", shown(dir), filesync.ErrConflict)
	}
	t.mu.Lock()
	root := t.real
	t.mu.Unlock()
	_, inside := below(root, real)
	// A REALPATH that only tidies a path up does not tell where a link leads.
	unresolved := link && real == path.Clean(slash(root)+dir)
	if real == "" && !link || root == "" && !link || inside && !unresolved {
		return nil
	}
	return fmt.Errorf("the directory %s: %w", shown(dir), filesync.ErrOutside)
}

// lookAtRoot follows links: where the root lies is the configuration's business.
func (t *directories) lookAtRoot(ctx context.Context, making bool) error {
	p := t.s.path("")
	a, real, err := t.where(ctx, p, true)
	if making && errors.Is(err, fs.ErrNotExist) {
		merr := t.s.makeDir(ctx, p)
		if a, real, err = t.where(ctx, p, true); err != nil && merr != nil && !isUnseen(err) {
			return t.noRoot(merr)
		}
	}
	hidden := err
	if isUnseen(err) { // it may stand
		err = nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && !making:
		return err
	case err == nil && a.typed && !a.mode.IsDir():
		return t.noRoot(errors.New("it is not a directory"))
	case err != nil:
		if isAnswer(err) {
			return t.noRoot(err)
		}
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unseen, t.real = nil, ""
	if isUnseen(hidden) {
		t.unseen = hidden
	}
	if path.IsAbs(real) {
		t.real = path.Clean(real)
	}
	return nil
}

// rootUnseen reports whether the server did not let us look at the root.
func (t *directories) rootUnseen() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unseen != nil
}

// noRoot is the error of a destination directory that cannot be had. With more
// than the last directory missing, something is not mounted, and what stands in
// its place must not be filled.
func (t *directories) noRoot(err error) error {
	e := &status.Error{Word: status.DestinationUnavailable, Op: "open destination directory", Target: shown(t.s.path("")), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Err = errors.New("it does not exist, nor does the directory above it")
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "Have the server's administrator give this user write access to files.destination_directory_path."
	}
	return e
}
