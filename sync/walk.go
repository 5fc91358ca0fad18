package sync

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"sftpconnector/status"
)

// Bounds on what one listing may hold, so that an endless one ends.
const (
	maxDepth       = 128
	maxLinkDepth   = 8          // symbolic links to directories within one path
	maxEntries     = 5_000_000  // in one directory
	maxDirectories = 500_000    // known and not yet listed
	maxTree        = 50_000_000 // entries of a whole tree
	maxRelists     = 5          // of one directory whose connection was lost midway
)

// directory is one that is to be listed.
type directory struct {
	name  string
	real  string   // its path with all symbolic links resolved
	above []string // the real paths of the directories that links led out of, on the way here
	depth int
}

// loops reports whether a link in d that leads to the directory real would
// come by a directory again that the way to d has passed.
func (d directory) loops(real string) bool {
	if len(d.above) >= maxLinkDepth || within(d.real, real) {
		return true
	}
	for _, dir := range d.above {
		if within(dir, real) {
			return true
		}
	}
	return false
}

// tree is the stack of directories to be listed, shared by the listers. Last
// in, first out, so that it stays short on a deep tree.
type tree struct {
	mu     sync.Mutex
	wake   *sync.Cond
	stack  []directory
	active int
	ended  bool
}

func newTree(start directory) *tree {
	t := &tree{stack: []directory{start}}
	t.wake = sync.NewCond(&t.mu)
	return t
}

// next waits for a directory; false when the whole tree is listed.
func (t *tree) next() (directory, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.stack) == 0 && t.active > 0 && !t.ended {
		t.wake.Wait()
	}
	if t.ended || len(t.stack) == 0 {
		return directory{}, false
	}
	d := t.stack[len(t.stack)-1]
	t.stack = t.stack[:len(t.stack)-1]
	t.active++
	return d, true
}

func (t *tree) push(d directory) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.stack) >= maxDirectories {
		return false
	}
	t.stack = append(t.stack, d)
	t.wake.Signal()
	return true
}

func (t *tree) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active--
	if t.active == 0 && len(t.stack) == 0 {
		t.wake.Broadcast()
	}
}

func (t *tree) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.wake.Broadcast()
}

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
	var handed handed
	for relists := 0; ; relists++ {
		err := p.listEntries(ctx, t, d, &handed)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errReopened) && relists < maxRelists:
			handed.again()
			continue
		case ctx.Err() != nil || unavailable(err) || errors.Is(err, errReopened):
			return fmt.Errorf("list /%s: %w", d.name, err)
		case d.name == "":
			return rootError(err)
		case errors.Is(err, fs.ErrNotExist) && p.o.Selection != nil && d.name == p.o.Selection.start:
			t.push(directory{}) // the root tells whether the source is there at all
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went away since its parent was listed
		}
		p.unreadable(d.name, err)
		return nil
	}
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
	case errors.Is(err, ErrLimit):
		return err
	}
	return &status.Error{Word: word, Op: "list source directory", Err: err}
}

// unreadable counts a directory whose files this pass does not know.
func (p *Pass) unreadable(name string, err error) {
	if p.relisting.Load() {
		return // it was counted, or what it held goes on waiting
	}
	p.incomplete.Store(true)
	p.failed.Add(1)
	p.listFailure(FileFailure{Name: name, Error: err.Error(), Hint: hint(err), Unlisted: true})
	p.o.Log.Warn("directory not read", "directory", name, "error", err)
}

// handed are the names of one directory that were handed on already, by their
// hashes, for when its listing has to start anew.
type handed struct {
	seed   maphash.Seed
	hashes []uint64
	before map[uint64]bool // of the listings that broke off
}

func (h *handed) again() {
	h.before = make(map[uint64]bool, len(h.hashes))
	for _, sum := range h.hashes {
		h.before[sum] = true
	}
}

// add reports whether the name is new.
func (h *handed) add(name string) bool {
	if h.hashes == nil {
		h.seed = maphash.MakeSeed()
	}
	sum := maphash.String(h.seed, name)
	if h.before[sum] {
		return false
	}
	h.hashes = append(h.hashes, sum)
	return true
}

func (p *Pass) listEntries(ctx context.Context, t *tree, d directory, handed *handed) error {
	entries := 0
	chunk := make([]Entry, 0, chunkSize)
	send := func() error {
		if len(chunk) == 0 {
			return nil
		}
		select {
		case p.chunks <- chunk:
			chunk = make([]Entry, 0, chunkSize)
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
			return errors.Join(fmt.Errorf("more than %d entries: %w", p.maxEntries, ErrLimit), send())
		}
		if p.entries.Add(1) > maxTree {
			return errors.Join(fmt.Errorf("more than %d entries in the whole tree: %w", maxTree, ErrLimit), send())
		}
		if !handed.add(e.Name) {
			continue
		}
		if err := checkBelow(d.name, e.Name); err != nil {
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
		if chunk = append(chunk, file); len(chunk) == chunkSize {
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
func (p *Pass) classify(ctx context.Context, t *tree, d directory, e Entry) (Entry, bool) {
	child := directory{name: e.Name, real: join(d.real, e.Name[len(e.Name)-baseLen(e.Name):]), above: d.above, depth: d.depth + 1}
	if e.Mode&fs.ModeSymlink != 0 {
		if !p.o.FollowLinks {
			p.leaveOut(e, "a symbolic link, and files.symlinks is skip")
			return e, false
		}
		target, real, err := p.src.Resolve(ctx, e)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			p.leaveOut(e, "a symbolic link to nothing")
			return e, false
		case errors.Is(err, ErrOutside):
			p.refuse(e, err)
			return e, false
		case unavailable(err):
			p.abort(err)
			return e, false
		case err != nil:
			if ctx.Err() == nil {
				p.unreadable(e.Name, fmt.Errorf("symbolic link: %w", err))
			}
			return e, false
		}
		e, child.real = target, real
		if e.Mode.IsDir() && d.loops(real) {
			p.leaveOut(e, "a symbolic link to a directory above it")
			return e, false
		}
		child.above = append(slices.Clone(d.above), d.real)
	}
	switch {
	case e.Mode.IsDir():
		p.descend(t, child)
		return e, false
	case !e.Mode.IsRegular():
		if !p.relisting.Load() {
			p.irregular.Add(1)
		}
		p.leaveOut(e, "not a regular file")
		return e, false
	case e.Size < 0:
		p.unreadable(e.Name, errors.New("the server gives no size for it"))
		return e, false
	}
	return e, true
}

func (p *Pass) descend(t *tree, d directory) {
	switch {
	case slices.Contains(p.skip, d.name), slices.Contains(p.skip, d.real):
		return
	case p.o.Selection != nil && !p.o.Selection.MayHold(d.name):
		return
	case d.depth > maxDepth:
		p.unreadable(d.name, fmt.Errorf("deeper than %d directories: %w", maxDepth, ErrLimit))
	case !t.push(d):
		p.unreadable(d.name, fmt.Errorf("more than %d directories wait to be listed: %w", maxDirectories, ErrLimit))
	}
}

// leaveOut counts an entry of a listing that is no file for this connector.
func (p *Pass) leaveOut(e Entry, reason string) {
	if p.relisting.Load() {
		return // it was counted
	}
	p.tally.seen.Add(1)
	p.exclude(e, reason)
}

// exclude counts a file that is not for this connector.
func (p *Pass) exclude(e Entry, reason string) {
	p.excluded.Add(1)
	p.decide(e, StateExcluded, reason)
}

// refuse counts an entry that must not come near the destination.
func (p *Pass) refuse(e Entry, err error) {
	if p.relisting.Load() || p.o.Selection != nil && !e.Mode.IsDir() && !p.o.Selection.Match(e) {
		return
	}
	p.tally.seen.Add(1)
	p.unsafe.Add(1)
	p.listFailure(FileFailure{Name: e.Name, Error: err.Error(), Hint: hint(err), Unlisted: e.Mode.IsDir()})
	p.decide(e, StateUnsafe, err.Error())
}

// within reports whether dir is real or lies below it.
func within(dir, real string) bool {
	return real == "" || dir == real || strings.HasPrefix(dir, real+"/")
}

// baseLen is the length of the last component of a path.
func baseLen(name string) int {
	return len(name) - 1 - strings.LastIndexByte(name, '/')
}
