package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// publishByRename publishes pending files.
func (d *Destination) publishByRename(ctx context.Context, files []*publication) {
	ordered := d.pool.first().wire().ordered
	d.checkTargets(ctx, files, func(f *publication) bool { return f.replaces != nil || !ordered || d.cfg.Overwrite })
	d.replaceTargets(ctx, files)
	refused := d.explainRefusals(ctx, d.rename(ctx, files))
	for _, f := range d.retryRenames(ctx, refused) {
		d.limits.rename.refused(f.refusal)
		f.failure = renameError(f.failure)
	}
}

// retryRenames sends refused RENAMEs again, and gives the files that are still refused.
// If a server denied a RENAME, it will do so later, too. Once waiting was in vain, it
// is not done again on this connection.
func (d *Destination) retryRenames(ctx context.Context, refused []*publication) (still []*publication) {
	retry := slices.DeleteFunc(slices.Clone(refused), func(f *publication) bool { return denied(f.refusal) })
	still = slices.DeleteFunc(refused, func(f *publication) bool { return !denied(f.refusal) })
	if d.renameWaitFailed.Load() || d.limits.rename.absent() {
		return append(still, retry...)
	}
	for _, wait := range renameDelays {
		if len(retry) == 0 || !pause(ctx, wait) {
			break
		}
		for _, f := range retry {
			f.failure = nil
		}
		retry = d.explainRefusals(ctx, d.rename(ctx, retry))
	}
	d.renameWaitFailed.Store(len(retry) > 0)
	return append(still, retry...)
}

// renameDelays are the waits before a refused RENAME is sent again. Some servers are
// busy with a file for a moment after it was closed. It is no policy of package
// backoff, as the list is the number of tries as well.
var renameDelays = []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, time.Second, 2 * time.Second}

// pause waits. It is false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// replaceTargets replaces the existing files by posix-rename@openssh.com, or removes
// them.
func (d *Destination) replaceTargets(ctx context.Context, files []*publication) {
	if d.has(&d.limits.posixRename, wire.PosixRenameExtension) {
		d.askEach(ctx, files, (*publication).replacing, func(s *wire.Session, c *wire.Call, f *publication) {
			s.PosixRename(c, f.path, d.path(f.entry.Name))
		}, func(f *publication, err error) {
			f.done = err == nil
			if !d.limits.posixRename.refused(err) && err != nil { // else in two steps
				f.fail(ctx, err)
			}
		})
	}
	d.askEach(ctx, files, (*publication).replacing, func(s *wire.Session, c *wire.Call, f *publication) {
		s.Remove(c, d.path(f.entry.Name))
	}, func(f *publication, err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !(f.hidden && isAnswer(err)) { // there may be no file
			f.fail(ctx, fmt.Errorf("remove what it replaces: %w", err))
		}
	})
}

// rename sends the RENAMEs, and gives the files that the server refused. A server that
// answers in order is asked at once what is under each name then.
func (d *Destination) rename(ctx context.Context, files []*publication) (refused []*publication) {
	var asked []*publication
	for _, f := range files {
		if f.waits() {
			f.found = nil
			asked = append(asked, f)
		}
	}
	ch := d.pool.first().wire()
	each := 1
	if ch.ordered {
		each = 2
	}
	err := ch.askAll(ctx, each*len(asked), func(i int, c *wire.Call) {
		f := asked[i/each]
		if i%each == 0 {
			ch.session.Rename(c, f.path, d.path(f.entry.Name))
		} else {
			ch.session.Lstat(c, d.path(f.entry.Name))
		}
	}, func(i int, c *wire.Call) {
		f := asked[i/each]
		switch {
		case i%each == 1 && c.Err == nil:
			now := entry(f.entry.Name, attrsOf(c.Attr))
			f.found = &now
		case i%each == 1:
		case c.Err == nil:
			f.done = true
			d.limits.rename.refused(nil)
		default:
			f.refusal = c.Err
			f.fail(ctx, c.Err)
			refused = append(refused, f)
		}
	})
	for _, f := range asked {
		if f.waits() { // not answered
			f.fail(ctx, err)
		}
	}
	return refused
}

// replacing reports whether there is a file under the name that is to go now.
func (f *publication) replacing() bool { return f.waits() && f.replaces != nil }

// checkTargets checks the names of files, and fails the files whose name is taken.
func (d *Destination) checkTargets(ctx context.Context, files []*publication, which func(*publication) bool) {
	var asked []*publication
	for _, f := range files {
		if f.waits() && which(f) {
			asked = append(asked, f)
		}
	}
	if len(asked) == 0 {
		return
	}
	stats, err := d.statAll(ctx, namesOf(asked))
	for i, f := range asked {
		switch {
		case err != nil:
			f.fail(ctx, err)
		case isHidden(stats[i].Err):
			f.hidden = true
			d.checkHiddenTarget(ctx, f, stats[i].Err)
		case errors.Is(stats[i].Err, fs.ErrNotExist):
			f.replaces = nil // its reader took it meanwhile
		case stats[i].Err != nil:
			f.fail(ctx, stats[i].Err)
		case f.replaces == nil || !stats[i].Entry.Mode.IsRegular() || !stats[i].Entry.SameVersion(*f.replaces):
			f.fail(ctx, filesync.ErrConflict)
		}
	}
}

// checkHiddenTarget decides about a file when the server hides what is under its name.
func (d *Destination) checkHiddenTarget(ctx context.Context, f *publication, why error) {
	f.replaces = nil
	switch {
	case d.cfg.Overwrite:
		f.replaces = new(filesync.Entry) // whatever it is
	case !d.renameKeepsTarget(ctx, f.entry.Name):
		f.fail(ctx, overwriteError(why))
	}
}

// overwriteError is the failure of a file whose RENAME might overwrite another one.
func overwriteError(why error) error {
	return &hintedError{
		errors.New("a rename may overwrite what stands under the name, and " + why.Error()),
		"If what stands there may be overwritten, set files.on_conflict: overwrite. Else set files.upload_name: direct.",
	}
}

func namesOf(files []*publication) []string {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.entry.Name
	}
	return names
}

// explainRefusals finds out why files could not be renamed, as servers mostly do not
// tell. It gives the files for which that stays unknown. If the name is free,
// posix-rename@openssh.com may be allowed.
func (d *Destination) explainRefusals(ctx context.Context, files []*publication) (left []*publication) {
	if len(files) == 0 || d.conn.Err() != nil || ctx.Err() != nil {
		return nil
	}
	stats, err := d.statAll(ctx, namesOf(files))
	if err != nil {
		return nil
	}
	for i, f := range files {
		_, whole := errors.AsType[*statusError](f.failure)
		missing := errors.Is(stats[i].Err, fs.ErrNotExist) && !isHidden(stats[i].Err)
		switch {
		case stats[i].Err == nil:
			f.fail(ctx, filesync.ErrConflict)
		case whole, mustBeginAnew(f.failure):
		case errors.Is(f.refusal, fs.ErrNotExist) && d.isMissing(ctx, f.path):
			f.fail(ctx, d.explainMissing(ctx, parentOf(f.entry.Name), f.refusal))
		case missing && d.has(&d.limits.posixRename, wire.PosixRenameExtension) && d.posixRename(ctx, f.path, d.path(f.entry.Name)) == nil:
			f.done, f.failure = true, nil
		default:
			left = append(left, f)
		}
	}
	return left
}

// explainMissing is why a pending file is missing: somebody took it, or its directory
// is gone.
func (d *Destination) explainMissing(ctx context.Context, dir string, refused error) error {
	if d.isMissing(ctx, d.path(dir)) {
		d.dirs.forget(dir)
		return hideNotExist(fmt.Errorf("its directory is gone: %w", refused))
	}
	d.limits.takenEarly.Store(true)
	return &hintedError{errTakenEarly, "Set files.upload_name: direct: files are then written under their own names."}
}

// isMissing reports whether the server says that a path does not exist.
func (d *Destination) isMissing(ctx context.Context, path string) bool {
	_, err := d.statAt(ctx, path)
	return errors.Is(err, fs.ErrNotExist)
}

func (d *Destination) posixRename(ctx context.Context, from, to string) error {
	err := d.ask(ctx, func(s *wire.Session, c *wire.Call) { s.PosixRename(c, from, to) })
	d.limits.posixRename.refused(err)
	return err
}

// renameOne renames one file of ours to a free name.
func (d *Destination) renameOne(ctx context.Context, from, to string) error {
	err := d.ask(ctx, func(s *wire.Session, c *wire.Call) { s.Rename(c, from, to) })
	if !isAnswer(err) || errors.Is(err, fs.ErrNotExist) || !d.has(&d.limits.posixRename, wire.PosixRenameExtension) {
		return err
	}
	if perr := d.posixRename(ctx, from, to); perr == nil || errors.Is(perr, fs.ErrNotExist) {
		return perr
	}
	return err
}

// renameKeepsTarget reports whether RENAME is known to refuse to overwrite, as the
// draft demands. OpenSSH's does. Any other server is tried with files of our own, if
// these can be removed.
func (d *Destination) renameKeepsTarget(ctx context.Context, name string) bool {
	if state := d.limits.renameKeepsTarget.state.Load(); state != 0 {
		return state == featureWorks
	}
	if d.pool.first().wire().ordered {
		return true
	}
	if !d.canRemove(ctx, d.pool.first()) {
		return false
	}
	keeps, known := d.probeRenames(ctx, name)
	if known {
		d.limits.renameKeepsTarget.learn(keeps)
	}
	return known && keeps
}

// probeRenames renames a file of ours to the name of another one. A refusal shows that
// RENAME does not overwrite only if a RENAME to the same name works when it is free,
// and is refused again when it is taken.
func (d *Destination) probeRenames(ctx context.Context, name string) (keeps, known bool) {
	var paths []string
	defer func() {
		for _, path := range paths {
			_ = d.discard(ctx, path)
		}
	}()
	for range 3 {
		p := &pendingFile{d: d, ctx: ctx, path: d.hidden(name, d.cfg.Owner.NewID())}
		if err := p.create(ctx, wire.Create|wire.Exclusive); err != nil {
			return false, false
		}
		paths = append(paths, p.path)
		if err := p.closeAll(ctx); err != nil {
			return false, false
		}
	}
	rename := func(from int) error {
		return d.ask(ctx, func(s *wire.Session, c *wire.Call) { s.Rename(c, paths[from], paths[2]) })
	}
	err := rename(0)
	if isAnswer(err) && d.remove(ctx, paths[2]) == nil && rename(0) == nil {
		err = rename(1)
		return isAnswer(err), err == nil || isAnswer(err)
	}
	return false, err == nil
}
