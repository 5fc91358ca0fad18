package local

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	filesync "sftpconnector/sync"
)

const (
	pendingEnd  = ".part"
	idLength    = 20  // 8 of the owner, 12 random
	longestName = 255 // bytes, of one component, on every usual file system
)

// newID makes an id for a pending file.
func newID(owner string) string {
	random := make([]byte, (idLength-len(owner))/2)
	rand.Read(random)
	return owner + hex.EncodeToString(random)
}

// pendingName is the hidden name under which base is written: .base.ID.part.
// A base that is too long for that is cut, and told apart by a hash.
func pendingName(base, id string) string {
	room := longestName - len(".") - len(".") - len(id) - len(pendingEnd)
	if len(base) > room {
		h := fnv.New64a()
		h.Write([]byte(base))
		tail := fmt.Sprintf("~%016x", h.Sum64())
		cut := room - len(tail)
		for cut > 0 && !utf8.RuneStart(base[cut]) {
			cut--
		}
		base = base[:cut] + tail
	}
	return "." + base + "." + id + pendingEnd
}

// pendingID gives the id in the name of a pending file.
func pendingID(name string) (string, bool) {
	rest, ok := strings.CutSuffix(name, pendingEnd)
	if !ok || !strings.HasPrefix(name, ".") || len(rest) < idLength+2 || rest[len(rest)-idLength-1] != '.' {
		return "", false
	}
	id := rest[len(rest)-idLength:]
	if _, err := hex.DecodeString(id); err != nil {
		return "", false
	}
	return id, true
}

// pending is a file on its way. It implements sync.Pending.
type pending struct {
	d     *Destination
	entry filesync.Entry
	id    string
	name  string // of the hidden file
	dir   *directory

	published bool // it has its name; there is nothing to abort

	once sync.Once // for the release of dir
	mu   sync.RWMutex
	file *file // nil once it is closed
}

// Begin implements sync.Destination.
func (d *Destination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	dir, err := d.dirs.acquire(path.Dir(e.Name), resume == nil)
	if err != nil {
		return nil, d.failed("make directory for", e.Name, err)
	}
	p := &pending{d: d, entry: e, dir: dir}
	if resume != nil {
		p.id = resume.ID
		p.name = pendingName(path.Base(e.Name), p.id)
		p.file, err = dir.reopen(p.name)
	} else {
		p.id = newID(d.owner)
		p.name = pendingName(path.Base(e.Name), p.id)
		p.file, err = dir.create(p.name)
		if errors.Is(err, fs.ErrNotExist) && d.dirs.still(dir) != nil {
			// It was taken away while others use it: it is made anew.
			d.dirs.release(dir)
			if p.dir, err = d.dirs.acquire(path.Dir(e.Name), true); err != nil {
				return nil, d.failed("make directory for", e.Name, err)
			}
			p.file, err = p.dir.create(p.name)
		}
	}
	if err != nil {
		p.release()
		return nil, d.failed("create", e.Name, err)
	}
	if resume != nil {
		if err := p.cutTo(resume.Prefix); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// cutTo leaves the prefix of an interrupted copy: what lies behind it was never
// promised to be there. A file that is shorter is not the one that was kept.
func (p *pending) cutTo(prefix int64) error {
	size, err := p.file.size()
	if err == nil && size < prefix {
		p.Abort(context.Background())
		return fmt.Errorf("resume %s: %d bytes are there and not %d: %w", p.entry.Name, size, prefix, fs.ErrNotExist)
	}
	if err == nil {
		err = p.file.truncate(prefix)
	}
	if err != nil {
		p.Keep()
		return p.d.failed("resume", p.entry.Name, err)
	}
	return nil
}

func (p *pending) release() { p.once.Do(func() { p.d.dirs.release(p.dir) }) }

// ID implements sync.Pending.
func (p *pending) ID() string { return p.id }

// WriteAt implements io.WriterAt.
func (p *pending) WriteAt(b []byte, off int64) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.file == nil {
		return 0, fmt.Errorf("write %s: %w", p.entry.Name, fs.ErrClosed)
	}
	n, err := p.file.WriteAt(b, off)
	if err != nil {
		return n, p.d.failed("write", p.entry.Name, err)
	}
	return n, nil
}

// Checkpoint implements sync.Pending.
func (p *pending) Checkpoint(ctx context.Context, prefix int64) (filesync.Checkpoint, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return filesync.Checkpoint{}, fmt.Errorf("checkpoint %s: %w", p.entry.Name, fs.ErrClosed)
	}
	if err := p.file.sync(); err != nil {
		return filesync.Checkpoint{}, p.d.failed("sync", p.entry.Name, err)
	}
	return filesync.Checkpoint{ID: p.id, Prefix: prefix}, nil
}

// Finish implements sync.Pending.
func (p *pending) Finish(ctx context.Context) (filesync.Entry, error) {
	size, err := p.file.size()
	if err == nil && size != p.entry.Size {
		err = fmt.Errorf("%d bytes were written, not %d", size, p.entry.Size)
	}
	if err == nil {
		err = p.closeFile()
	}
	if err == nil {
		err = p.dir.chtimes(p.name, p.entry.ModTime)
	}
	if err != nil {
		return filesync.Entry{}, p.d.failed("finish", p.entry.Name, err)
	}
	return p.entry, nil
}

func (p *pending) closeFile() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	err := p.file.Close()
	p.file = nil
	return err
}

// Abort implements sync.Pending.
func (p *pending) Abort(ctx context.Context) error {
	if p.published {
		return nil
	}
	defer p.release()
	p.closeFile()
	if err := p.dir.remove(p.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.d.failed("remove", p.entry.Name, err)
	}
	return nil
}

// Keep implements sync.Pending.
func (p *pending) Keep() error {
	defer p.release()
	return p.closeFile()
}
