package pass

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/transfer"
)

// Bounds on what one listing may hold, so that an endless one ends.
const (
	maxDepth     = 128
	maxLinkDepth = 8          // symbolic links to directories within one path
	maxEntries   = 5_000_000  // in one directory
	maxTree      = 50_000_000 // entries of a whole tree
	maxRelists   = 5          // of one directory whose connection was lost midway
	chunkBytes   = 64 << 10   // of the names in one chunk
)

// lister lists the source of a pass.
type lister struct {
	*report
	src  *transfer.ReopeningSource
	skip []string // directories that are never walked

	entries    atomic.Int64 // that were listed
	seenBytes  atomic.Int64 // bytes that the listings keep of their names
	relisting  atomic.Bool  // the source is listed again, for the second look
	relisted   atomic.Int64 // files that the second listing found
	once       sync.Once    // for OnReached
	maxEntries int          // in one directory
	chunks     chan []filesync.Entry
}

// walk lists the whole source and sends its files on in chunks.
func (l *lister) walk(ctx context.Context) error {
	start, err := l.startOf(ctx)
	if err != nil {
		return err
	}
	t := newTree(start)
	defer context.AfterFunc(ctx, t.end)()
	g, ctx := errgroup.WithContext(ctx)
	for range listers {
		g.Go(func() error {
			for {
				d, ok := t.next()
				if !ok {
					return context.Cause(ctx)
				}
				err := l.listOne(ctx, t, d)
				t.finish()
				if err != nil {
					t.end()
					return err
				}
			}
		})
	}
	return g.Wait()
}

// listOne lists one directory. Only what ends the pass is an error: the
// source's root that cannot be read, and a connection that cannot be had again.
func (l *lister) listOne(ctx context.Context, t *tree, d directory) error {
	l.at("listing /" + d.name)
	names := seenNames{used: &l.seenBytes}
	defer names.release()
	for relists := 0; ; relists++ {
		err := l.listEntries(ctx, t, d, &names)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, transfer.ErrReopened) && relists < maxRelists:
			names.again()
			continue
		case ctx.Err() != nil || filesync.IsUnavailable(err) || errors.Is(err, transfer.ErrReopened):
			return fmt.Errorf("list /%s: %w", d.name, err)
		case d.name == "":
			return rootError(err)
		case errors.Is(err, fs.ErrNotExist) && l.o.Selection != nil && d.name == l.o.Selection.Start():
			t.push(directory{}) // the root tells whether the source is there at all
			return nil
		case errors.Is(err, fs.ErrNotExist) && l.src.Vanished(ctx, filesync.Entry{Name: d.name}) && !l.stillListed(ctx, d.name):
			return nil // it went away since its parent was listed
		}
		l.unreadable(d.name, err)
		return nil
	}
}

// stillListed reports whether the directory above one still names it, though it can
// neither be opened nor looked at: then what it holds is not known.
func (l *lister) stillListed(ctx context.Context, name string) bool {
	for e, err := range l.src.List(ctx, name[:max(0, strings.LastIndexByte(name, '/'))]) {
		if err != nil {
			return !errors.Is(err, fs.ErrNotExist)
		}
		if e.Name == name {
			return true
		}
	}
	return false
}

// rootError gives the status of a source directory that cannot be listed.
func rootError(err error) error {
	if _, ok := errors.AsType[*status.Error](err); ok {
		return err
	}
	word := status.ConnectionLost
	switch {
	case errors.Is(err, fs.ErrNotExist):
		word = status.SourceDirectoryNotFound
	case errors.Is(err, fs.ErrPermission):
		word = status.PermissionDenied
	case errors.Is(err, filesync.ErrLimit):
		return &status.Error{Word: status.NothingDeliverable, Op: "list source directory", Err: err, Hint: hint(err)}
	}
	return &status.Error{Word: word, Op: "list source directory", Err: err}
}

// unreadable counts a directory whose files this pass does not know.
func (l *lister) unreadable(name string, err error) {
	if l.relisting.Load() {
		return // it was counted, or what it held goes on waiting
	}
	l.incomplete.Store(true)
	l.rows.Unlisted.Add(name)
	l.failed.Add(1)
	advice := hint(err)
	if errors.Is(err, fs.ErrPermission) {
		advice += " Or name it in files.exclude: it is not entered then."
	}
	l.listFailure(filesync.FileFailure{Name: name, Error: err.Error(), Hint: advice, Unlisted: true})
	if l.o.Mode == filesync.Survey { // whose files there are nobody else tells of
		l.decide(filesync.Entry{Name: name, Size: -1}, filesync.StateFailed, err.Error())
	}
}

func (l *lister) listEntries(ctx context.Context, t *tree, d directory, names *seenNames) error {
	entries, size := 0, 0
	var chunk []filesync.Entry
	send := func() error {
		if len(chunk) == 0 {
			return nil
		}
		select {
		case l.chunks <- chunk:
			chunk, size = nil, 0
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for e, err := range l.src.List(ctx, d.name) {
		if err != nil {
			return errors.Join(err, send())
		}
		l.reached()
		if entries++; entries > l.maxEntries {
			return errors.Join(fmt.Errorf("more than %d entries: %w", l.maxEntries, filesync.ErrLimit), send())
		}
		if l.entries.Add(1) > maxTree {
			return errors.Join(fmt.Errorf("more than %d entries in the whole tree: %w", maxTree, filesync.ErrLimit), send())
		}
		if !names.add(e.Name) {
			continue
		}
		if err := filesync.CheckBelow(d.name, e.Name); err != nil {
			l.refuse(e, err)
			continue
		}
		file, ok := l.classify(ctx, t, d, e)
		if !ok {
			continue
		}
		if l.o.Selection != nil && !l.o.Selection.Match(file) {
			continue
		}
		if !l.relisting.Load() {
			l.seen.Add(1)
		} else if !l.wantsAgain(file) {
			continue
		}
		if size += len(file.Name); chunk == nil && entries > chunkSize {
			chunk = make([]filesync.Entry, 0, chunkSize) // of a large directory
		}
		if chunk = append(chunk, file); len(chunk) == chunkSize || size >= chunkBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	l.reached()
	return send()
}

// reached tells, once, that the source directory could be read.
func (l *lister) reached() {
	if l.o.OnReached != nil {
		l.once.Do(l.o.OnReached)
	}
}

// classify puts a directory on the stack and follows a link; it answers with
// the entry if that is, or leads to, a file to be compared.
func (l *lister) classify(ctx context.Context, t *tree, d directory, e filesync.Entry) (filesync.Entry, bool) {
	behind, real := false, "" // of a symbolic link
	if e.Mode&fs.ModeSymlink != 0 {
		if !l.o.FollowLinks {
			l.leaveOut(e, "a symbolic link, and files.symlinks is skip")
			return e, false
		}
		target, end, err := l.src.Resolve(ctx, e)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			l.leaveOut(e, "a symbolic link to nothing")
			return e, false
		case errors.Is(err, filesync.ErrLoop):
			l.leaveOut(e, "a symbolic link that leads back to itself")
			return e, false
		case errors.Is(err, filesync.ErrOutside):
			l.refuse(e, err)
			return e, false
		case err == nil && len(end) > filesync.MaxPath:
			l.refuse(e, filesync.ErrPathLong)
			return e, false
		case filesync.IsUnavailable(err):
			l.abort(err)
			return e, false
		case err != nil:
			if ctx.Err() == nil {
				l.unreadable(e.Name, fmt.Errorf("symbolic link: %w", err))
			}
			return e, false
		}
		e, behind, real = target, true, end
		if e.Mode.IsDir() && d.loops(real) {
			l.leaveOut(e, "a symbolic link to a directory above it")
			return e, false
		}
	}
	switch {
	case e.Mode.IsDir() && behind:
		l.descend(d, d.behind(e.Name, real), e, func(child directory) bool { return t.push(child) })
		return e, false
	case e.Mode.IsDir():
		base := e.Name[len(e.Name)-baseLen(e.Name):]
		l.descend(d, d.child(base), e, func(directory) bool { return t.pushChild(d, base) })
		return e, false
	case !e.Mode.IsRegular():
		if e.Mode&fs.ModeIrregular != 0 { // the server does not say what it is
			l.rows.Unlisted.Add(e.Name)
		}
		if !l.relisting.Load() {
			l.irregular.Add(1)
		}
		l.leaveOut(e, "not a regular file")
		return e, false
	case e.Size < 0:
		l.unreadable(e.Name, errNoSize)
		return e, false
	}
	return e, true
}

// errNoSize: neither a listing nor a look tells how large the file is.
var errNoSize = errors.New("the server gives no size for it")

// descend has the directory d in above listed, if that is for this pass.
func (l *lister) descend(above, d directory, e filesync.Entry, push func(directory) bool) {
	switch {
	case slices.Contains(l.skip, d.name), slices.Contains(l.skip, d.real):
		l.rows.Unlisted.Add(d.name)
		return
	case l.o.Selection != nil && !l.o.Selection.MayHold(d.name):
		return
	}
	if pattern := l.o.Filter.Prunes(d.name); pattern != "" {
		l.rows.Unlisted.Add(d.name)
		l.leaveOut(e, "a directory that is not entered: files.exclude has "+pattern)
		return
	}
	switch {
	case d.depth > maxDepth:
		l.unreadable(d.name, fmt.Errorf("deeper than %d directories: %w", maxDepth, filesync.ErrLimit))
	case !push(d):
		l.overflow(above)
	}
}

// overflow counts a directory in above for which the stack has no room. Of very
// many, the directory above them is named, once.
func (l *lister) overflow(above directory) {
	if above.children.left++; above.children.left > 1 {
		l.failed.Add(1)
		return
	}
	l.unreadable(above.name, fmt.Errorf("the names of the directories that wait to be listed have more than %d MiB: %w", maxStack>>20, filesync.ErrLimit))
}

// leaveOut counts an entry of a listing that is no file for this connector.
func (l *lister) leaveOut(e filesync.Entry, reason string) {
	if l.relisting.Load() {
		return // it was counted
	}
	l.seen.Add(1)
	l.exclude(e, reason)
}

// refuse counts an entry that must not come near the destination.
func (l *lister) refuse(e filesync.Entry, err error) {
	if l.relisting.Load() || l.o.Selection != nil && !e.Mode.IsDir() && !l.o.Selection.Match(e) {
		return
	}
	if e.Mode.IsDir() {
		l.rows.Unlisted.Add(e.Name)
	}
	e.Name = cut(e.Name)
	l.seen.Add(1)
	l.unsafe.Add(1)
	l.listFailure(filesync.FileFailure{Name: e.Name, Error: err.Error(), Hint: hint(err), Unlisted: e.Mode.IsDir()})
	l.decide(e, filesync.StateUnsafe, err.Error())
}

// within reports whether dir is real or lies below it.
func within(dir, real string) bool {
	return real == "" || dir == real || strings.HasPrefix(dir, real+"/")
}

// baseLen is the length of the last component of a path.
func baseLen(name string) int {
	return len(name) - 1 - strings.LastIndexByte(name, '/')
}

// cut shortens a path that is not fit to be kept.
func cut(name string) string {
	if len(name) <= filesync.MaxPath {
		return name
	}
	return name[:filesync.MaxPath/8] + "…"
}
