//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"sftpconnector/faults/model"
	"sftpconnector/faults/schedule"
)

// source is the directory that a connector takes files from, and what the suite
// does in it. It notes each version of each file.
type source struct {
	dir     string
	staging string // for files that are renamed into the source; on the same file system
	seed    uint64
	takes   bool // the product removes what it has delivered
	history *model.History

	mu    sync.Mutex
	paths map[string]*sync.Mutex
	links map[string][]model.Link // what links have led to
	made  int                     // files that were begun in staging
}

func newSource(dir, staging string, seed uint64, takes bool) (*source, error) {
	for _, d := range []string{dir, staging} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	return &source{dir: dir, staging: staging, seed: seed, takes: takes, history: model.NewHistory(), paths: map[string]*sync.Mutex{}, links: map[string][]model.Link{}}, nil
}

// do carries out a step that is about a file of the source.
func (s *source) do(ctx context.Context, step schedule.Step) error {
	for _, name := range paths(step) {
		defer s.lock(name)()
		s.notice(name)
	}
	if !s.mayChange(step.Path) {
		return nil
	}
	switch step.Do {
	case schedule.Write:
		return s.write(step.Path, step.Size)
	case schedule.Publish:
		return s.publish(step.Path, step.Size)
	case schedule.Grow:
		return s.grow(ctx, step)
	case schedule.Remove:
		return s.remove(step.Path)
	case schedule.Rename:
		return s.rename(step.Path, step.To)
	case schedule.Directory:
		return errors.Join(s.remove(step.Path), os.MkdirAll(s.path(step.Path), 0o755))
	case schedule.Link:
		return s.link(step.Path, path.Base(step.To))
	default:
		return fmt.Errorf("source: no such step: %s", step.Do)
	}
}

// paths are those that a step changes, in the order in which they are locked.
func paths(step schedule.Step) []string {
	if step.Do != schedule.Rename || step.To == step.Path {
		return []string{step.Path}
	}
	return []string{min(step.Path, step.To), max(step.Path, step.To)}
}

func (s *source) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

// lock has the steps of one path follow one another.
func (s *source) lock(name string) (unlock func()) {
	s.mu.Lock()
	m, ok := s.paths[name]
	if !ok {
		m = &sync.Mutex{}
		s.paths[name] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// notice sees that the product has removed a file. It is called before the
// suite changes one, and at the end.
func (s *source) notice(name string) {
	if _, standing := s.history.Standing(name); !standing {
		return
	}
	if info, err := os.Lstat(s.path(name)); errors.Is(err, fs.ErrNotExist) || (err == nil && !info.Mode().IsRegular()) {
		s.history.End(name, model.Product)
	}
}

// mayChange reports whether the suite may change a path. Where the product
// removes originals, what may already be delivered is left alone: SFTP has no
// way to remove a file only if it still is the same, so that a change between
// the product's last look and its REMOVE is lost, in any program.
func (s *source) mayChange(name string) bool {
	_, standing := s.history.Standing(name)
	return !s.takes || !standing
}

// contents are of their seed, path and size: no two versions of a run that
// differ in one of them are alike.
func (s *source) contents(name string, size int64) io.Reader {
	h := s.seed
	for _, b := range []byte(name) {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	var key [32]byte
	for i := range 8 {
		key[i], key[8+i] = byte(h>>(8*i)), byte(uint64(size)>>(8*i))
	}
	return io.LimitReader(rand.NewChaCha8(key), size)
}

func (s *source) write(name string, size int64) error {
	f, err := s.create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.add(name, f, model.NewSummer(), s.contents(name, size))
	return err
}

// blockSize is how much of a file is written at once.
const blockSize = 1 << 20

// add writes more of a file, and notes what stands after each block: a writer that
// the machine holds up leaves a part standing for so long that it is ready. It
// reports false when the product has removed the file meanwhile.
func (s *source) add(name string, f *os.File, sum *model.Summer, r io.Reader) (stands bool, err error) {
	block := make([]byte, blockSize)
	for {
		n, rerr := io.ReadFull(r, block)
		if n > 0 {
			from := time.Now()
			if _, err := io.MultiWriter(f, sum).Write(block[:n]); err != nil {
				return false, err
			}
			if !s.isFile(name, f) {
				s.notice(name)
				return false, nil
			}
			s.history.End(name, model.Suite)
			s.history.Begin(name, sum.Sum(), from)
		}
		if rerr != nil { // there is no more
			return true, nil
		}
	}
}

// isFile reports whether a name still is that of an open file.
func (s *source) isFile(name string, f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(s.path(name))
	return err == nil && os.SameFile(open, named)
}

// create opens a file to write it from its beginning. A directory or a link in
// its place goes.
func (s *source) create(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(s.path(name)); err == nil && !info.Mode().IsRegular() {
		if err := os.Remove(s.path(name)); err != nil {
			return nil, err
		}
	}
	from := time.Now()
	f, err := os.Create(s.path(name))
	s.history.End(name, model.Suite)
	if err == nil {
		s.history.Begin(name, model.NewSummer().Sum(), from)
	}
	return f, err
}

func (s *source) publish(name string, size int64) error {
	s.mu.Lock()
	s.made++
	staged := filepath.Join(s.staging, fmt.Sprint(s.made))
	s.mu.Unlock()
	f, err := os.Create(staged)
	if err != nil {
		return err
	}
	sum := model.NewSummer()
	_, err = io.Copy(io.MultiWriter(f, sum), s.contents(name, size))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(s.path(name)); err == nil && info.IsDir() {
		if err := os.Remove(s.path(name)); err != nil {
			return err
		}
	}
	from := time.Now()
	if err := os.Rename(staged, s.path(name)); err != nil {
		return err
	}
	s.history.End(name, model.Suite)
	s.history.Begin(name, sum.Sum(), from)
	return nil
}

// grow writes a file in parts. Each part ends a version and begins another.
func (s *source) grow(ctx context.Context, step schedule.Step) error {
	f, err := s.create(step.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := s.contents(step.Path, step.Size)
	sum := model.NewSummer()
	parts := int(max(min(int64(step.Part), step.Size), 1)) // each adds something
	for i := range parts {
		n := step.Size / int64(parts)
		if i == parts-1 {
			n = step.Size
		}
		stands, err := s.add(step.Path, f, sum, io.LimitReader(r, n))
		if err != nil || !stands || i == parts-1 {
			return err
		}
		select {
		case <-time.After(step.For / time.Duration(parts)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *source) remove(name string) error {
	err := os.Remove(s.path(name))
	s.history.End(name, model.Suite)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (s *source) rename(name, to string) error {
	if to == name {
		return nil
	}
	v, standing := s.history.Standing(name)
	if _, taken := s.history.Standing(to); !standing || taken {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path(to)), 0o755); err != nil {
		return err
	}
	if info, err := os.Lstat(s.path(to)); err == nil && info.IsDir() {
		return nil
	}
	from := time.Now()
	if err := os.Rename(s.path(name), s.path(to)); err != nil {
		return err
	}
	s.history.End(name, model.Suite)
	s.history.Begin(to, v.Sum, from)
	return nil
}

// link puts a link to a file of the same directory in place of a file.
func (s *source) link(name, base string) error {
	if err := s.remove(name); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		return err
	}
	s.mu.Lock()
	s.links[name] = append(s.links[name], model.Link{To: path.Join(path.Dir(name), base), At: time.Now()})
	s.mu.Unlock()
	err := os.Symlink(base, s.path(name))
	if errors.Is(err, fs.ErrExist) { // a directory that is not empty
		return nil
	}
	return err
}

// settle notices what the product has removed until now, of all files.
func (s *source) settle() {
	for _, v := range s.history.All() {
		s.notice(v.Path)
	}
}
