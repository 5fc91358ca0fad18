package smb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"

	filesync "sftpconnector/sync"
)

// directories are those that were seen to be there and to be no links. A reader
// may take one away; then what fails in it has it forgotten.
type directories struct {
	mu    sync.Mutex
	known map[string]bool // as they were asked for: what case is one is the server's to say
	grown []string        // have a new directory in them, which is not flushed
}

// maxKnown bounds the memory of it.
const maxKnown = 100_000

func (d *directories) has(dir string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return dir == "." || d.known[dir]
}

func (d *directories) add(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil || len(d.known) >= maxKnown {
		d.known = map[string]bool{}
	}
	d.known[dir] = true
}

// made adds a directory that was made.
func (d *directories) made(dir string) {
	d.add(dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grown = append(d.grown, path.Dir(dir))
}

// fresh gives the directories that new ones were made in since the last call.
func (d *directories) fresh() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	grown := d.grown
	d.grown = nil
	return grown
}

// forget drops a directory with those above it, any of which may be gone.
func (d *directories) forget(dir string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; dir != "." && dir != "/"; dir = path.Dir(dir) {
		delete(d.known, dir)
	}
}

// above gives the directories on the way to dir, and dir, from the top.
func above(dir string) []string {
	if dir == "." {
		return nil
	}
	var all []string
	for i, c := range dir {
		if c == '/' {
			all = append(all, dir[:i])
		}
	}
	return append(all, dir)
}

// knowDirectory looks that dir and those above it are there, and no links:
// fs.ErrNotExist when one is missing, filesync.ErrConflict when one is no
// directory.
func (d *Destination) knowDirectory(ctx context.Context, dir string) error {
	if d.dirs.has(dir) {
		return nil
	}
	for _, up := range above(dir) {
		if d.dirs.has(up) {
			continue
		}
		e, err := d.lstat(ctx, up)
		if err != nil {
			return err
		}
		if err := isDirectory(e); err != nil {
			return err
		}
		d.dirs.add(up)
	}
	return nil
}

func isDirectory(e filesync.Entry) error {
	switch {
	case e.Mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link, which is not followed: %w", e.Name, filesync.ErrConflict)
	case !e.Mode.IsDir():
		return fmt.Errorf("%s: %w", e.Name, errNoDirectory)
	}
	return nil
}

// errNoDirectory is ErrConflict about what is neither a directory nor a link to one.
var errNoDirectory = fmt.Errorf("a file stands where a directory has to be: %w", filesync.ErrConflict)

// makeDirectory makes dir and those above it, where they are missing.
func (d *Destination) makeDirectory(ctx context.Context, dir string) error {
	for _, up := range above(dir) {
		if d.dirs.has(up) {
			continue
		}
		err := d.s.tell(ctx, func() error { return d.s.share.Mkdir(d.path(up), 0o777) })
		if err == nil {
			d.dirs.made(up)
			continue
		}
		if errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrPermission) {
			// It is there, perhaps, without the right to make one.
			e, lerr := d.lstat(ctx, up)
			if lerr == nil {
				lerr = isDirectory(e)
			} else if errors.Is(err, fs.ErrPermission) {
				lerr = err
			}
			err = lerr
		}
		if err != nil {
			return err
		}
		d.dirs.add(up)
	}
	return nil
}

// inDirectory does something in dir, which it makes when it is missing: once
// more when that was known and is gone.
func (d *Destination) inDirectory(ctx context.Context, dir string, do func() error) error {
	for again := true; ; again = false {
		if err := d.makeDirectory(ctx, dir); err != nil {
			if again && errors.Is(err, fs.ErrNotExist) {
				d.dirs.forget(dir)
				continue
			}
			return err
		}
		err := do()
		if !again || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		d.dirs.forget(dir)
	}
}

// claims lets one at a time have a name, of those that differ in case only too.
type claims struct {
	mu   sync.Mutex
	held map[string]*claim
}

type claim struct {
	mu    sync.Mutex
	users int
}

// take waits for a name, and gives what ends that.
func (c *claims) take(name string) (release func()) {
	key := filesync.FoldName(name)
	c.mu.Lock()
	if c.held == nil {
		c.held = map[string]*claim{}
	}
	mine := c.held[key]
	if mine == nil {
		mine = &claim{}
		c.held[key] = mine
	}
	mine.users++
	c.mu.Unlock()
	mine.mu.Lock()
	return func() {
		mine.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(c.held, key)
		}
	}
}
