package pass

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

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

// walk lists the whole source and sends its files on in chunks.
func (p *Pass) walk(ctx context.Context) error {
	start, err := p.startOf(ctx)
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
				err := p.listOne(ctx, t, d)
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
func (p *Pass) listOne(ctx context.Context, t *tree, d directory) error {
	p.at("listing /" + d.name)
	handed := handed{used: &p.handed}
	defer handed.release()
	for relists := 0; ; relists++ {
		err := p.listEntries(ctx, t, d, &handed)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, transfer.ErrReopened) && relists < maxRelists:
			handed.again()
			continue
		case ctx.Err() != nil || filesync.IsUnavailable(err) || errors.Is(err, transfer.ErrReopened):
			return fmt.Errorf("list /%s: %w", d.name, err)
		case d.name == "":
			return rootError(err)
		case errors.Is(err, fs.ErrNotExist) && p.o.Selection != nil && d.name == p.o.Selection.Start():
			t.push(directory{}) // the root tells whether the source is there at all
			return nil
		case errors.Is(err, fs.ErrNotExist) && p.vanished(ctx, filesync.Entry{Name: d.name}) && !p.stillListed(ctx, d.name):
			return nil // it went away since its parent was listed
		}
		p.unreadable(d.name, err)
		return nil
	}
}

// stillListed reports whether the directory above one still names it, though it can
// neither be opened nor looked at: then what it holds is not known.
func (p *Pass) stillListed(ctx context.Context, name string) bool {
	for e, err := range p.src.List(ctx, name[:max(0, strings.LastIndexByte(name, '/'))]) {
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
func (p *Pass) unreadable(name string, err error) {
	if p.relisting.Load() {
		return // it was counted, or what it held goes on waiting
	}
	p.incomplete.Store(true)
	p.rows.Unlisted.Add(name)
	p.failed.Add(1)
	advice := hint(err)
	if errors.Is(err, fs.ErrPermission) {
		advice += " Or name it in files.exclude: it is not entered then."
	}
	p.listFailure(filesync.FileFailure{Name: name, Error: err.Error(), Hint: advice, Unlisted: true})
}

func (p *Pass) listEntries(ctx context.Context, t *tree, d directory, handed *handed) error {
	entries, size := 0, 0
	var chunk []filesync.Entry
	send := func() error {
		if len(chunk) == 0 {
			return nil
		}
		select {
		case p.chunks <- chunk:
			chunk, size = nil, 0
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for e, err := range p.src.List(ctx, d.name) {
		if err != nil {
			return errors.Join(err, send())
		}
		p.reached()
		if entries++; entries > p.maxEntries {
			return errors.Join(fmt.Errorf("more than %d entries: %w", p.maxEntries, filesync.ErrLimit), send())
		}
		if p.entries.Add(1) > maxTree {
			return errors.Join(fmt.Errorf("more than %d entries in the whole tree: %w", maxTree, filesync.ErrLimit), send())
		}
		if !handed.add(e.Name) {
			continue
		}
		if err := filesync.CheckBelow(d.name, e.Name); err != nil {
			p.refuse(e, err)
			continue
		}
		file, ok := p.classify(ctx, t, d, e)
		if !ok {
			continue
		}
		if p.o.Selection != nil && !p.o.Selection.Match(file) {
			continue
		}
		if !p.relisting.Load() {
			p.tally.seen.Add(1)
		} else if !p.wantsAgain(file) {
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
	p.reached()
	return send()
}

// reached tells, once, that the source directory could be read.
func (p *Pass) reached() {
	if p.o.OnReached != nil {
		p.once.Do(p.o.OnReached)
	}
}

// classify puts a directory on the stack and follows a link; it answers with
// the entry if that is, or leads to, a file to be compared.
func (p *Pass) classify(ctx context.Context, t *tree, d directory, e filesync.Entry) (filesync.Entry, bool) {
	behind, real := false, "" // of a symbolic link
	if e.Mode&fs.ModeSymlink != 0 {
		if !p.o.FollowLinks {
			p.leaveOut(e, "a symbolic link, and files.symlinks is skip")
			return e, false
		}
		target, end, err := p.src.Resolve(ctx, e)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.leaveOut(e, "a symbolic link to nothing")
			return e, false
		case errors.Is(err, filesync.ErrLoop):
			p.leaveOut(e, "a symbolic link that leads back to itself")
			return e, false
		case errors.Is(err, filesync.ErrOutside):
			p.refuse(e, err)
			return e, false
		case err == nil && len(end) > filesync.MaxPath:
			p.refuse(e, filesync.ErrPathLong)
			return e, false
		case filesync.IsUnavailable(err):
			p.abort(err)
			return e, false
		case err != nil:
			if ctx.Err() == nil {
				p.unreadable(e.Name, fmt.Errorf("symbolic link: %w", err))
			}
			return e, false
		}
		e, behind, real = target, true, end
		if e.Mode.IsDir() && d.loops(real) {
			p.leaveOut(e, "a symbolic link to a directory above it")
			return e, false
		}
	}
	switch {
	case e.Mode.IsDir() && behind:
		p.descend(d, d.behind(e.Name, real), e, func(child directory) bool { return t.push(child) })
		return e, false
	case e.Mode.IsDir():
		base := e.Name[len(e.Name)-baseLen(e.Name):]
		p.descend(d, d.child(base), e, func(directory) bool { return t.pushChild(d, base) })
		return e, false
	case !e.Mode.IsRegular():
		if e.Mode&fs.ModeIrregular != 0 { // the server does not say what it is
			p.rows.Unlisted.Add(e.Name)
		}
		if !p.relisting.Load() {
			p.irregular.Add(1)
		}
		p.leaveOut(e, "not a regular file")
		return e, false
	case e.Size < 0:
		p.unreadable(e.Name, errNoSize)
		return e, false
	}
	return e, true
}

// errNoSize: neither a listing nor a look tells how large the file is.
var errNoSize = errors.New("the server gives no size for it")

// descend has the directory d in above listed, if that is for this pass.
func (p *Pass) descend(above, d directory, e filesync.Entry, push func(directory) bool) {
	switch {
	case slices.Contains(p.skip, d.name), slices.Contains(p.skip, d.real):
		p.rows.Unlisted.Add(d.name)
		return
	case p.o.Selection != nil && !p.o.Selection.MayHold(d.name):
		return
	}
	if pattern := p.o.Filter.Prunes(d.name); pattern != "" {
		p.rows.Unlisted.Add(d.name)
		p.leaveOut(e, "a directory that is not entered: files.exclude has "+pattern)
		return
	}
	switch {
	case d.depth > maxDepth:
		p.unreadable(d.name, fmt.Errorf("deeper than %d directories: %w", maxDepth, filesync.ErrLimit))
	case !push(d):
		p.overflow(above)
	}
}

// overflow counts a directory in above for which the stack has no room. Of very
// many, the directory above them is named, once.
func (p *Pass) overflow(above directory) {
	if above.kids.left++; above.kids.left > 1 {
		p.failed.Add(1)
		return
	}
	p.unreadable(above.name, fmt.Errorf("the names of the directories that wait to be listed have more than %d MiB: %w", maxStack>>20, filesync.ErrLimit))
}

// leaveOut counts an entry of a listing that is no file for this connector.
func (p *Pass) leaveOut(e filesync.Entry, reason string) {
	if p.relisting.Load() {
		return // it was counted
	}
	p.tally.seen.Add(1)
	p.exclude(e, reason)
}

// exclude counts a file that is not for this connector.
func (p *Pass) exclude(e filesync.Entry, reason string) {
	p.excluded.Add(1)
	p.decide(e, filesync.StateExcluded, reason)
}

// refuse counts an entry that must not come near the destination.
func (p *Pass) refuse(e filesync.Entry, err error) {
	if p.relisting.Load() || p.o.Selection != nil && !e.Mode.IsDir() && !p.o.Selection.Match(e) {
		return
	}
	if e.Mode.IsDir() {
		p.rows.Unlisted.Add(e.Name)
	}
	e.Name = cut(e.Name)
	p.tally.seen.Add(1)
	p.unsafe.Add(1)
	p.listFailure(filesync.FileFailure{Name: e.Name, Error: err.Error(), Hint: hint(err), Unlisted: e.Mode.IsDir()})
	p.decide(e, filesync.StateUnsafe, err.Error())
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
