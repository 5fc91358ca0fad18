package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"sftpconnector/durable"
)

// An inbox is what a Space of an earlier version had instead of a spool: a directory
// with the files and directories that clients saw. A file that was being uploaded, or
// whose upload was cut, had a reserved name there, and so had one that waited behind
// others. What stands there comes into the spool at each start and with each import, so
// that an operator may put files there as well.
//
// A file is taken over in three steps, and goes on with the next one after a kill: the
// index says where it comes from; it is renamed; the index says that it is there.

// atOnce is how many files are taken over together.
const atOnce = 1000

// cutTime is the modification time of an upload in an inbox that is durable to its end.
var cutTime = time.Unix(-1, 0)

// note is a number beside a file or directory of an inbox: the name of an extended
// attribute.
type note string

const (
	durableNote note = "user.sftp-connector.durable"  // bytes of an upload
	timeSetNote note = "user.sftp-connector.time-set" // when a client set the time of a directory, in Unix seconds
)

// takeover is one taking over.
type takeover struct {
	s     *Spool
	inbox *os.Root
	batch []*object
	left  int   // files and directories that stay
	why   error // that the first of them does
	young bool  // somebody may be writing one: it is looked at again
}

// takeOverAgain looks into the inbox of a spool that is open.
func (s *Spool) takeOverAgain(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = s.takeOver(ctx, nil)
	}
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn("spool: the inbox cannot be taken over", "error", err, "directory", s.o.Inbox)
	}
	return err
}

// takeOver takes over what is in the inbox. moving are the uploads that an earlier
// taking over was at.
func (s *Spool) takeOver(ctx context.Context, moving []*object) error {
	root, err := os.OpenRoot(s.o.Inbox)
	switch {
	case s.o.Inbox == "" || errors.Is(err, fs.ErrNotExist):
		s.mu.Lock()
		for _, o := range moving {
			s.tree.forget(o)
		}
		s.mu.Unlock()
		return s.flush()
	case err != nil:
		return fmt.Errorf("take over the inbox: %w", err)
	}
	defer root.Close()
	t := &takeover{s: s, inbox: root, batch: moving}
	if err := t.move(); err != nil {
		return err
	}
	if err := t.directory(ctx, "", s.tree.top); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	if t.young {
		time.AfterFunc(s.o.Quiet, func() { s.lookIntoInbox() })
	}
	if t.left > 0 {
		s.o.Log.Warn("spool: not all of the inbox could be taken over", "left", t.left, "why", t.why, "directory", s.o.Inbox)
	}
	return nil
}

// lookIntoInbox has somebody do so, unless the spool is closed.
func (s *Spool) lookIntoInbox() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.o.Inbox != "" {
		s.takeovers.start()
	}
}

// stays notes that a file or directory stays in the inbox.
func (t *takeover) stays(name string, why error) {
	if t.left++; t.why == nil {
		t.why = fmt.Errorf("%s: %w", name, why)
	}
}

var errInTheWay = errors.New("something else has its name")

// directory takes over what is in a directory of the inbox, and what is below.
func (t *takeover) directory(ctx context.Context, name string, d *directory) error {
	infos, err := t.list(name)
	if err != nil {
		t.stays(name, err)
		return nil
	}
	for _, info := range infos {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		at := join(name, info.Name())
		switch {
		case !info.IsDir():
			if err := t.file(at, info, d); err != nil {
				return err
			}
		case isReserved(info.Name()) || len(at) > maxPath || depthOf(at) >= maxDepth:
			t.stays(at, errDeep)
		default:
			sub, err := t.subdirectory(at, info, d)
			if err != nil {
				t.stays(at, err)
				continue
			}
			if err := t.directory(ctx, at, sub); err != nil {
				return err
			}
			if err := t.flush(); err != nil {
				return err
			}
			_ = t.inbox.Remove(filepath.FromSlash(at)) // something may have stayed
		}
	}
	return nil
}

// list gives what is in a directory of the inbox: uploads that wait behind others come
// after these, in their order.
func (t *takeover) list(name string) ([]fs.FileInfo, error) {
	f, err := t.inbox.Open(cmp.Or(filepath.FromSlash(name), "."))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	infos, err := f.Readdir(-1)
	place := func(i fs.FileInfo) int {
		if _, n, ok := cutLater(i.Name()); ok {
			return n + 1
		}
		return 0
	}
	slices.SortFunc(infos, func(x, y fs.FileInfo) int {
		return cmp.Or(cmp.Compare(place(x), place(y)), cmp.Compare(x.Name(), y.Name()))
	})
	return infos, err
}

// subdirectory gives the directory of the index for one of the inbox.
func (t *takeover) subdirectory(name string, info fs.FileInfo, in *directory) (*directory, error) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := in.children[info.Name()]; c != nil {
		if c.directory == nil {
			return nil, errInTheWay
		}
		return c.directory, nil
	}
	now := time.Now()
	d := &directory{name: info.Name(), modTime: info.ModTime().Truncate(time.Second), children: map[string]*child{}}
	d.changed = info.ModTime()
	if f, err := t.inbox.Open(filepath.FromSlash(name)); err == nil {
		if set := time.Unix(readNote(f, timeSetNote), 0); set.After(d.changed) {
			d.changed = set
		}
		f.Close()
	}
	if d.used = d.changed; d.changed.After(now) {
		d.used = now
	}
	s.tree.add(in, &child{directory: d})
	s.tree.directories++
	s.tree.keepDirectory(d)
	return d, nil
}

// file has the index know of a file of the inbox, which is moved with the next flush.
func (t *takeover) file(name string, info fs.FileInfo, in *directory) error {
	if !info.Mode().IsRegular() {
		return nil // nothing that a client has put there
	}
	if age := time.Since(info.ModTime()); !isReserved(info.Name()) && age >= 0 && age < t.s.o.Quiet {
		t.young = true
		return nil
	}
	plain, unfinished := cutReserved(info.Name())
	plain, _, waits := cutLater(plain)
	if isReserved(plain) {
		t.stays(name, errDenied)
		return nil
	}
	s := t.s
	o := &object{id: newID(), size: info.Size(), modTime: info.ModTime().Truncate(time.Second), accepted: time.Now(), origin: name, moving: true, received: !unfinished}
	if unfinished {
		o.size = t.durable(name, info)
		o.durable = o.size
	}
	s.mu.Lock()
	err := t.place(o, in, plain, waits)
	s.mu.Unlock()
	if err != nil {
		t.stays(name, err)
		return nil
	}
	if t.batch = append(t.batch, o); len(t.batch) < atOnce {
		return nil
	}
	return t.flush()
}

// place gives an upload of the inbox to its file. The caller holds s.mu.
func (t *takeover) place(o *object, in *directory, plain string, waits bool) error {
	s := t.s
	if c := in.children[plain]; c != nil && (c.directory != nil || !o.received && (c.file.part != nil || c.file.writer != nil)) {
		return errInTheWay
	}
	f := s.tree.file(in, plain, s.o.IsTemporary)
	if o.received && !waits {
		uploads{s}.receive(f, o)
		return nil
	}
	s.place(f, o)
	s.tree.keep(o)
	return nil
}

// durable is how much of an upload that was not complete is known to be on the disk.
func (t *takeover) durable(name string, info fs.FileInfo) int64 {
	if info.ModTime().Equal(cutTime) {
		return info.Size()
	}
	f, err := t.inbox.Open(filepath.FromSlash(name))
	if err != nil {
		return 0
	}
	defer f.Close()
	return min(info.Size(), readNote(f, durableNote))
}

// flush has the index know where the files of the batch come from, and moves them.
func (t *takeover) flush() error {
	if err := t.s.flush(); err != nil {
		return err
	}
	return t.move()
}

// move moves the files of the batch, of which the index knows where they come from.
func (t *takeover) move() error {
	if len(t.batch) == 0 {
		return nil
	}
	from := map[string]bool{}
	var moved []*object
	for _, o := range t.batch {
		if err := t.moveOne(o); err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				t.stays(o.origin, err)
			}
			t.s.mu.Lock()
			t.s.tree.forget(o)
			t.s.mu.Unlock()
			continue
		}
		from[path.Dir(o.origin)] = true
		moved = append(moved, o)
	}
	t.batch = nil
	// No file may come back under its old name once the index says that it is here.
	err := t.s.objects.sync()
	for dir := range from {
		if serr := t.syncDirectory(dir); serr != nil && err == nil {
			err = serr
		}
	}
	if err != nil {
		return fmt.Errorf("take over the inbox: %w", err)
	}
	t.s.mu.Lock()
	for _, o := range moved {
		o.moving = false
		switch {
		case o.removed: // by a client, meanwhile
			t.s.tree.doomed = append(t.s.tree.doomed, o)
			t.s.tidying.start()
		case o.received:
			t.s.touch(o.file, o)
			fallthrough
		default:
			t.s.tree.keep(o)
		}
	}
	t.s.mu.Unlock()
	return t.s.flush()
}

func (t *takeover) syncDirectory(name string) error {
	dir, err := t.inbox.OpenRoot(filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	return syncDirectory(dir)
}

// moveOne makes a file of the inbox an object. It may be one already.
func (t *takeover) moveOne(o *object) error {
	to := o.id
	if !o.received {
		to += part
	}
	if _, err := t.s.objects.root.Lstat(to); err == nil {
		err := t.inbox.Remove(filepath.FromSlash(o.origin)) // if it was copied
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	src, err := t.inbox.OpenFile(filepath.FromSlash(o.origin), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	from := filepath.Join(t.s.o.Inbox, filepath.FromSlash(o.origin))
	if os.Rename(from, filepath.Join(t.s.objects.path, to)) == nil { // else it is on another file system, or its name is too long
		return t.cut(to, o)
	}
	if err := t.copy(src, to, o); err != nil {
		return err
	}
	src.Close()
	return t.inbox.Remove(filepath.FromSlash(o.origin))
}

// cut ends an upload that was not complete where it is not known to be durable any more.
func (t *takeover) cut(name string, o *object) error {
	if o.received {
		return nil
	}
	f, err := t.s.objects.root.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(o.durable), f.Sync(), f.Close())
}

// copy makes an object of a file on another file system. Its name is there once all
// of it is.
func (t *takeover) copy(src io.Reader, to string, o *object) error {
	if err := durable.MkdirAll(t.s.o.Directory, 0o700); err != nil {
		return err
	}
	const copying = "copying"
	f, err := t.s.objects.root.OpenFile(copying+part, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, src, o.size)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = t.s.objects.root.Rename(copying+part, to)
	}
	if err == nil {
		err = t.s.objects.sync()
	}
	return err
}
