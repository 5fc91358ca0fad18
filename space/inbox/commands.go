package inbox

import (
	"errors"
	"math"
	"time"

	"github.com/pkg/sftp"
)

// mkdir makes a directory, durably.
func (b *Inbox) mkdir(name string) error {
	if name == "" {
		return errExists
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := p.look()
	if err != nil {
		return err
	}
	if !s.nothing() || b.reservedFor(name) {
		return errExists
	}
	b.mu.Lock()
	if err = b.room(); err == nil {
		b.directories++
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if err := p.dir.Mkdir(p.base, 0o700); err != nil {
		b.forgetDirectory()
		return err
	}
	b.mu.Lock()
	b.gone.hide(name)
	b.uses.note(name, time.Now())
	b.mu.Unlock()
	return syncDirectory(p.dir)
}

func (b *Inbox) forgetDirectory() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.directories--
}

// rmdir removes an empty directory.
func (b *Inbox) rmdir(name string) error {
	if name == "" {
		return errDenied
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := p.look()
	switch {
	case err != nil:
		return err
	case s.nothing():
		return errMissing
	case !s.isDirectory():
		return errNoDir
	}
	if err := p.dir.Remove(p.base); err != nil {
		if sub, serr := openDirectory(p.dir, p.base); serr == nil {
			defer sub.Close()
			if eachName(sub, func(string) error { return errNotEmpty }) == errNotEmpty {
				return errNotEmpty
			}
		}
		return err
	}
	b.forgetDirectory()
	return syncDirectory(p.dir)
}

// remove removes a file, whether it is uploaded or not.
func (b *Inbox) remove(name string) error {
	if name == "" {
		return errDirectory
	}
	defer b.claim(name)()
	p, err := b.place(name)
	if err != nil {
		return err
	}
	defer p.close()
	s, err := p.look()
	if err != nil {
		return err
	}
	f := b.observe(name, s)
	switch {
	case s.isDirectory():
		return errDirectory
	case f == nil:
		return errMissing
	}
	if s, err = b.evictAndLook(f, p); err != nil {
		return err
	}
	if s.whole != nil {
		if err := p.dir.Remove(p.base); err != nil {
			return err
		}
	}
	if s.part != nil {
		if err := p.dir.Remove(p.part()); err != nil {
			return err
		}
	}
	err = b.removeLater(f, p)
	b.mu.Lock()
	b.setPart(f, nil)
	b.setWhole(f, nil)
	b.mu.Unlock()
	return errors.Join(err, syncDirectory(p.dir))
}

// status is the file system that a client sees in df: the quota, and no more of
// it free than the disk has.
func (b *Inbox) status() (*sftp.StatVFS, error) {
	const block = 4096
	room, err := diskFree(b.path)
	if err != nil {
		room = math.MaxInt64
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	quota := b.limits.Quota
	if quota <= 0 {
		return nil, refuse(sftp.ErrSSHFxOpUnsupported, "this inbox has no quota")
	}
	free := uint64(max(0, min(quota-b.bytes, room))) / block
	entries := uint64(b.o.MaximumEntries)
	left := entries - min(entries, uint64(b.entries()))
	return &sftp.StatVFS{
		Bsize: block, Frsize: block, Blocks: uint64(quota) / block, Bfree: free, Bavail: free,
		Files: entries, Ffree: left, Favail: left, Namemax: uint64(maxName),
	}, nil
}
