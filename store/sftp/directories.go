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

// maxExisting is how many existing directories are remembered.
const maxExisting = 100_000

// directories knows which directories of a destination exist, and makes others. It
// forgets a directory when something fails there. It does not notice a link that takes
// the place of a directory meanwhile.
type directories struct {
	s *session

	mu         sync.Mutex
	existing   map[string]bool
	searches   map[searchKey]*searchCall
	realRoot   string           // the root's path with its links resolved, once it is known
	rootError  error            // why the server hides the root; nil: it does not
	makeErrors map[string]error // why directories could not be made
}

// searchKey names a search. Callers with the same key share it.
type searchKey struct {
	dir    string
	making bool
}

// searchCall is a search in progress.
type searchCall struct {
	done   chan struct{}
	exists bool // the directory exists, or was made as far as the server lets us see
	err    error
}

func newDirectories(s *session) *directories {
	return &directories{s: s, existing: map[string]bool{}, searches: map[searchKey]*searchCall{}}
}

// ensure checks that a directory exists below the root, "" for the root itself. If
// making is set, it makes the directory and those above it. The error is fs.ErrNotExist
// for a missing directory, sync.ErrConflict for a file in its place, and
// sync.ErrOutside for a link that leads out. Of the root, only the last directory is
// made; if more is missing, the error is a *status.Error.
func (t *directories) ensure(ctx context.Context, dir string, making bool) error {
	for {
		t.mu.Lock()
		if t.existing[dir] {
			t.mu.Unlock()
			return nil
		}
		what := searchKey{dir, making}
		other := t.searches[what]
		if other == nil {
			mine := &searchCall{done: make(chan struct{})}
			t.searches[what] = mine
			t.mu.Unlock()
			mine.exists, mine.err = t.search(ctx, dir, making)
			t.finish(what, mine)
			return mine.err
		}
		t.mu.Unlock()
		select {
		case <-other.done:
			if !isContext(other.err) { // else the other caller gave up
				return other.err
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

func (t *directories) finish(what searchKey, s *searchCall) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.searches, what)
	if s.err == nil && s.exists {
		if len(t.existing) >= maxExisting {
			clear(t.existing)
		}
		t.existing[what.dir] = true
	}
	close(s.done)
}

// forget has a directory and those above it checked again.
func (t *directories) forget(dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ; dir != ""; dir = parentOf(dir) {
		delete(t.existing, dir)
	}
	delete(t.existing, "")
}

func (t *directories) search(ctx context.Context, dir string, making bool) (sure bool, err error) {
	if dir == "" {
		err := t.checkRoot(ctx, making)
		return making || !t.rootHidden(), err
	}
	if err := t.ensure(ctx, parentOf(dir), making); err != nil {
		return false, err
	}
	p := t.s.path(dir)
	a, real, err := t.statAndResolve(ctx, p, false)
	if making && errors.Is(err, fs.ErrNotExist) {
		merr := t.s.makeDir(ctx, p)
		if merr != nil && !isAnswer(merr) {
			return false, merr
		}
		if merr != nil {
			t.noteMakeError(dir, merr)
		}
		if merr != nil && !isHidden(err) {
			// Another program may have made it meanwhile.
			if a, real, err = t.statAndResolve(ctx, p, false); err != nil {
				return false, hideNotExist(fmt.Errorf("make the directory %s: %w", shown(dir), merr))
			}
		} else if merr == nil {
			a, err = attrs{mode: fs.ModeDir, typed: true}, nil
		}
	}
	if err != nil && !isHidden(err) {
		return false, err
	}
	return making || err == nil, t.check(ctx, dir, a, real)
}

// noteMakeError remembers why a directory could not be made.
func (t *directories) noteMakeError(dir string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.makeErrors == nil || len(t.makeErrors) >= maxMakeErrors {
		t.makeErrors = map[string]error{}
	}
	t.makeErrors[dir] = err
}

// maxMakeErrors bounds these errors.
const maxMakeErrors = 1000

// explain gives err, or the reason why the directory of a missing file could not be
// made.
func (t *directories) explain(dir string, err error) error {
	t.mu.Lock()
	why := t.makeErrors[dir]
	t.mu.Unlock()
	if why == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("make the directory %s: %w", shown(dir), why)
}

// statAndResolve asks for the attributes and the real path of a directory: by STAT if
// follow is set and else by LSTAT, and by the other one where that is refused. If both
// are refused, the error is a hiddenError: the directory may exist.
func (t *directories) statAndResolve(ctx context.Context, path string, follow bool) (a attrs, real string, err error) {
	a, real, err = t.s.statAndResolve(ctx, path, follow)
	if !refusedStat(err) {
		return a, real, err
	}
	refused := err
	a, _, err = t.s.statAndResolve(ctx, path, !follow)
	if follow && a.mode&fs.ModeSymlink != 0 {
		a.mode, a.typed = 0, false
	}
	if refusedStat(err) {
		return attrs{size: -1}, real, &hiddenError{refused}
	}
	return a, real, err
}

// check decides whether files may be written to a directory. real is its path as
// REALPATH tells it, "" if it does not.
func (t *directories) check(ctx context.Context, dir string, a attrs, real string) error {
	p := t.s.path(dir)
	link := a.mode&fs.ModeSymlink != 0
	if link {
		target, err := t.s.statAt(ctx, p)
		if err != nil {
			return fmt.Errorf("follow the link %s: %w", shown(dir), hideNotExist(err))
		}
		a.typed, a.mode = target.typed, target.mode
	}
	if a.typed && !a.mode.IsDir() {
		return fmt.Errorf("a file stands where %s should be a directory: %w", shown(dir), filesync.ErrConflict)
	}
	t.mu.Lock()
	root := t.realRoot
	t.mu.Unlock()
	_, inside := below(root, real)
	// A REALPATH that only cleans a path does not tell where a link leads.
	unresolved := link && real == path.Clean(slash(root)+dir)
	if real == "" && !link || root == "" && !link || inside && !unresolved {
		return nil
	}
	return fmt.Errorf("the directory %s: %w", shown(dir), filesync.ErrOutside)
}

// checkRoot follows links, as the configuration decides where the root lies.
func (t *directories) checkRoot(ctx context.Context, making bool) error {
	p := t.s.path("")
	a, real, err := t.statAndResolve(ctx, p, true)
	if making && errors.Is(err, fs.ErrNotExist) {
		merr := t.s.makeDir(ctx, p)
		if a, real, err = t.statAndResolve(ctx, p, true); err != nil && merr != nil && !isHidden(err) {
			return t.rootUnavailable(merr)
		}
	}
	hidden := err
	if isHidden(err) { // it may exist
		err = nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && !making:
		return err
	case err == nil && a.typed && !a.mode.IsDir():
		return t.rootUnavailable(errors.New("it is not a directory"))
	case err != nil:
		if isAnswer(err) {
			return t.rootUnavailable(err)
		}
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rootError, t.realRoot = nil, ""
	if isHidden(hidden) {
		t.rootError = hidden
	}
	if path.IsAbs(real) {
		t.realRoot = path.Clean(real)
	}
	return nil
}

// rootHidden reports whether the server does not let us look at the root.
func (t *directories) rootHidden() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rootError != nil
}

// rootUnavailable is the error of a destination directory that cannot be used. If more
// than the last directory is missing, a file system may not be mounted, and its mount
// point must not be filled.
func (t *directories) rootUnavailable(err error) error {
	e := &status.Error{Word: status.DestinationUnavailable, Op: "open destination directory", Target: shown(t.s.path("")), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Err = errors.New("it does not exist, nor does the directory above it")
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "Have the server's administrator give this user write access to files.destination_directory_path."
	}
	return e
}
