package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// maxHops is how many links one path may lead through, as on Linux.
const maxHops = 40

// Resolve follows the link e to its end. It returns the target's entry, under e's own
// name, and the target's path below the root with every link resolved: "" for the root
// itself. The error is ErrOutside for a link that leaves the root, ErrLoop for one that
// leads back to itself, and fs.ErrNotExist for one whose target is missing.
//
// A server whose REALPATH follows links is asked for the end. With a server whose
// REALPATH only cleans a path, each component is resolved; a link that leads back into
// the root through another link above the root then counts as outside.
func (s *Source) Resolve(ctx context.Context, e filesync.Entry) (target filesync.Entry, real string, err error) {
	a, real, err := s.resolve(ctx, e.Name)
	if err != nil {
		if errors.Is(err, filesync.ErrLoop) {
			err = fmt.Errorf("follow %s: %w", shown(e.Name), err)
		}
		return filesync.Entry{}, "", s.failure("follow", e.Name, err)
	}
	items := []item{{path: s.path(real), attrs: a}}
	if !a.typed {
		ch := s.pool.acquire(1)
		defer s.pool.release(ch, 1)
		if err := s.probeDirectories(ctx, ch, items); err != nil {
			return filesync.Entry{}, "", s.failure("follow", e.Name, err)
		}
	}
	return entry(e.Name, items[0].attrs), real, nil
}

func (s *Source) resolve(ctx context.Context, name string) (attrs, string, error) {
	root, err := s.root(ctx)
	if err != nil {
		return attrs{}, "", err
	}
	end, err := s.control.realPath(ctx, s.path(name))
	if err == nil && end != slash(root)+name {
		if real, inside := below(root, end); !inside {
			return attrs{}, "", filesync.ErrOutside
		} else if a, err := s.control.lstat(ctx, end); err != nil {
			return attrs{}, "", err
		} else if a.mode&fs.ModeSymlink == 0 {
			return a, real, nil
		}
	} else if _, refused := errors.AsType[*wire.StatusError](err); err != nil && !refused {
		return attrs{}, "", err
	}
	return s.walk(ctx, root, name)
}

// root gives the root's real path, as far as the server resolves it.
func (s *Source) root(ctx context.Context) (string, error) {
	s.realMu.Lock()
	defer s.realMu.Unlock()
	if s.realRoot != "" {
		return s.realRoot, nil
	}
	root, err := s.control.realPath(ctx, s.path(""))
	if isAnswer(err) { // its own path has to do, which is enough for paths below it
		s.realRoot = path.Clean(s.path(""))
		return s.realRoot, nil
	}
	if err != nil {
		return "", err
	}
	if !path.IsAbs(root) {
		return "", errors.New("the server gives no absolute path for the source directory")
	}
	s.realRoot = path.Clean(root)
	return s.realRoot, nil
}

// Locate gives the path below the root, with every link resolved, of a directory of the
// server. The part of it that does not exist is taken as written.
func (s *Source) Locate(ctx context.Context, dir string) (name string, inside bool, err error) {
	root, err := s.root(ctx)
	if err != nil {
		return "", false, s.failure("resolve", "", err)
	}
	at, rest := path.Clean(s.absolute(dir)), ""
	for {
		real, err := s.control.realPath(ctx, at)
		if err == nil {
			name, inside = below(root, path.Join(real, rest))
			return name, inside, nil
		}
		if !isAnswer(err) {
			return "", false, s.failure("resolve", dir, err)
		}
		if at == "/" || at == "." { // REALPATH is refused: the names have to do
			name, inside = below(root, path.Join(at, rest))
			return name, inside, nil
		}
		rest, at = path.Join(path.Base(at), rest), path.Dir(at)
	}
}

// walk follows a path below the root component by component, and never leaves it.
func (s *Source) walk(ctx context.Context, root, name string) (attrs, string, error) {
	todo := strings.Split(name, "/")
	var real []string // resolved, below the root
	for hops := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(real) == 0 {
				return attrs{}, "", filesync.ErrOutside
			}
			real = real[:len(real)-1]
			continue
		}
		at := slash(root) + strings.Join(append(slices.Clone(real), part), "/")
		a, err := s.control.lstat(ctx, at)
		if isFailure(err) { // some servers follow links here, too, and fail at a loop
			if _, lerr := s.control.readLink(ctx, at); lerr == nil {
				a, err = attrs{mode: fs.ModeSymlink}, nil
			}
		}
		if err != nil {
			return attrs{}, "", err
		}
		if a.mode&fs.ModeSymlink == 0 {
			real = append(real, part)
			continue
		}
		if hops++; hops > maxHops {
			return attrs{}, "", filesync.ErrLoop
		}
		link, err := s.control.readLink(ctx, at)
		if err != nil {
			return attrs{}, "", err
		}
		if path.IsAbs(link) {
			var inside bool
			if link, inside = below(root, path.Clean(link)); !inside {
				return attrs{}, "", filesync.ErrOutside
			}
			real = real[:0]
		}
		todo = append(strings.Split(link, "/"), todo...)
	}
	// The last component that was resolved need not be the end: "a/..".
	end := strings.Join(real, "/")
	at := root
	if end != "" {
		at = slash(root) + end
	}
	a, err := s.control.lstat(ctx, at)
	return a, end, err
}

// below gives the part of a path below the root, "" for the root itself.
func below(root, p string) (rest string, inside bool) {
	if p == root {
		return "", true
	}
	if root == "." { // the directory that the login leads to, whose path is not known
		return p, fs.ValidPath(p)
	}
	return strings.CutPrefix(p, slash(root))
}
