package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// BeginLink implements sync.LinkingDestination. Whatever stands in the way (another file
// system, one without links, fs.protected_hardlinks, a file of another owner) is no
// failure: a copy may do.
func (d *Destination) BeginLink(ctx context.Context, from string, e filesync.Entry) (filesync.Pending, error) {
	dir, err := d.dirs.acquire(path.Dir(e.Name), true)
	if err != nil {
		return nil, d.failed("make directory for", e.Name, err)
	}
	id := d.owner.NewID()
	p := &pendingFile{d: d, entry: e, id: id, name: pending.Name(path.Base(e.Name), id), dir: dir, finished: true}
	err = ignoringEINTR(func() error { return unix.Linkat(unix.AT_FDCWD, from, dir.fd(), p.name, 0) })
	if err == nil {
		if p.file, err = dir.asNew(p.name, d.owner); err != nil {
			if errors.Join(dir.remove(p.name), syncHandle(dir.handle)) != nil || errors.Is(err, errLeft) {
				d.leftPending.Store(true)
			}
		}
	}
	if err != nil {
		p.release()
		return nil, fmt.Errorf("link %s: %w (%w)", e.Name, errors.ErrUnsupported, err)
	}
	p.opened = d.opens.Add(1)
	return p, nil
}

// errLeft is about a pending file that was only made to look at it, and could not be
// removed.
var errLeft = errors.New("a pending file is left")

// asNew opens a file that has got a name in d, and gives it the attributes of a new file
// there. One that has more names than that and one other is refused: somebody may write
// to it.
func (d *directory) asNew(name string, owner pending.Owner) (*file, error) {
	fresh, err := d.attributes(owner)
	if err != nil {
		return nil, err
	}
	f, err := d.read(name)
	if err != nil {
		return nil, err
	}
	if err := fresh.give(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// attributes are what a file has beside its contents and times.
type attributes struct {
	mode, uid, gid uint32
	extended       map[string]string // with the access control list and the security label
}

// attributes gives what new files of the directory get, by the process's umask, the mode
// of the directory, its default access control list, and what else the system has. It
// makes a file to see that, once while the directory is open.
func (d *directory) attributes(owner pending.Owner) (*attributes, error) {
	if known := d.fresh.Load(); known != nil {
		return known, nil
	}
	name := pending.Name("new", owner.NewID())
	f, err := d.create(name)
	if err != nil {
		return nil, err
	}
	a, _, err := attributesOf(f)
	err = errors.Join(err, f.Close())
	if left := d.remove(name); left != nil {
		err = errors.Join(err, errLeft, left)
	}
	if err != nil {
		return nil, err
	}
	d.fresh.Store(a)
	return a, nil
}

// attributesOf gives what a file has, and how many names.
func attributesOf(f *file) (a *attributes, names uint64, err error) {
	var s unix.Stat_t
	if err = ignoringEINTR(func() error { return unix.Fstat(f.fd, &s) }); err != nil {
		return nil, 0, err
	}
	a = &attributes{mode: s.Mode, uid: s.Uid, gid: s.Gid, extended: map[string]string{}}
	if n, err := unix.Flistxattr(f.fd, nil); n == 0 || errors.Is(err, unix.EOPNOTSUPP) {
		return a, uint64(s.Nlink), nil // as most have none
	}
	buffer := make([]byte, 64<<10) // no list and no value is longer
	n, err := unix.Flistxattr(f.fd, buffer)
	if err != nil {
		return nil, 0, err
	}
	for key := range strings.SplitSeq(string(buffer[:n]), "\x00") {
		if key == "" {
			continue
		}
		n, err := unix.Fgetxattr(f.fd, key, buffer)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %w", key, err)
		}
		a.extended[key] = string(buffer[:n])
	}
	return a, uint64(s.Nlink), nil
}

// give gives a file these attributes, as far as it has others. The error says that it
// cannot have them.
func (a *attributes) give(f *file) error {
	has, names, err := attributesOf(f)
	switch {
	case err != nil:
		return err
	case has.mode&unix.S_IFMT != unix.S_IFREG, names != 2, has.uid != a.uid:
		return errors.New("it is of another owner, or has other names")
	}
	for key := range has.extended {
		if _, ok := a.extended[key]; !ok {
			return fmt.Errorf("it has %s", key)
		}
	}
	if has.gid != a.gid {
		if err := unix.Fchown(f.fd, -1, int(a.gid)); err != nil {
			return os.NewSyscallError("fchown", err)
		}
	}
	if has.mode != a.mode {
		if err := unix.Fchmod(f.fd, a.mode&^syscall.S_IFMT); err != nil {
			return os.NewSyscallError("fchmod", err)
		}
	}
	for key, value := range a.extended {
		if has.extended[key] == value {
			continue
		}
		if err := unix.Fsetxattr(f.fd, key, []byte(value), 0); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
