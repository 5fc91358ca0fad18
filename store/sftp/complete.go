package sftp

import (
	"context"
	"io/fs"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// complete asks for what a listing left out, by STAT, unless the server is known to
// tell no more that way. A type that is still unknown is taken from the line as of "ls
// -l" that came with the name.
func (s *session) complete(ctx context.Context, ch channel, batch []item) error {
	if err := s.statIncomplete(ctx, ch, batch); err != nil {
		return err
	}
	for i := range batch {
		if it := &batch[i]; !it.typed {
			it.mode, it.typed = it.mode|typeOf(it.letter), typeOf(it.letter) != fs.ModeIrregular
		}
	}
	return nil
}

const (
	// maxUntyped bounds the items that wait for an OPENDIR to tell their type, in bytes
	// for a session. Items beyond it count as files.
	maxUntyped = 8 << 20
	// maxProbedPath is the longest path that is probed. Servers refuse longer ones
	// anyway.
	maxProbedPath = 4096
)

// splitUntyped moves the items without a type from a batch to untyped. kept counts
// their bytes.
func splitUntyped(batch, untyped []item, kept *atomic.Int64) (typed, all []item) {
	typed = batch[:0]
	for _, it := range batch {
		size := bytesOf(it)
		switch {
		case it.typed:
			typed = append(typed, it)
		case len(it.path) <= maxProbedPath && kept.Load()+size <= maxUntyped:
			kept.Add(size)
			untyped = append(untyped, it)
		default:
			it.mode, it.typed = it.mode&fs.ModePerm, true
			typed = append(typed, it)
		}
	}
	return typed, untyped
}

// bytesOf is about what an item takes in memory.
func bytesOf(it item) int64 { return int64(len(it.path) + itemBytes) }

// statIncomplete asks for the attributes of the incomplete items by their paths. If
// that adds nothing to any of them, it is not done again.
func (s *session) statIncomplete(ctx context.Context, ch channel, batch []item) error {
	if s.limits.statAdds.absent() {
		return nil
	}
	var paths []string
	var at []int
	for i := range batch {
		if !batch[i].complete() {
			paths = append(paths, batch[i].path)
			at = append(at, i)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	answered, adds := false, false
	err := ch.stat(ctx, paths, false, func(i int, a attrs, err error) {
		it := &batch[at[i]]
		if err != nil {
			return
		}
		more := it.fillFrom(a)
		answered, adds = true, adds || more != it.attrs
		it.attrs = more
	})
	if err == nil && answered {
		s.limits.statAdds.learn(adds)
	}
	return err
}

// typeLetter is the first letter of a line as of "ls -l", or 0 where the line has
// another form. The draft leaves the form open, and some servers send the name alone.
func typeLetter(line []byte) byte {
	const mode = 10
	if len(line) <= mode || strings.Trim(string(line[1:mode]), "rwxsStTlL-") != "" {
		return 0
	}
	return line[0]
}

// typeOf is the file type of a letter of typeLetter.
func typeOf(letter byte) fs.FileMode {
	switch letter {
	case '-':
		return 0
	case 'd':
		return fs.ModeDir
	case 'l':
		return fs.ModeSymlink
	case 'b':
		return fs.ModeDevice
	case 'c':
		return fs.ModeDevice | fs.ModeCharDevice
	case 'p':
		return fs.ModeNamedPipe
	case 's':
		return fs.ModeSocket
	}
	return fs.ModeIrregular
}

// maxDirectoryProbes is how many items are probed at a time.
const maxDirectoryProbes = 16

// probeDirectories opens items as directories. An item that cannot be opened so counts
// as a file; reading it will tell.
func (s *session) probeDirectories(ctx context.Context, ch *dataChannel, items []item) error {
	var g errgroup.Group
	g.SetLimit(maxDirectoryProbes)
	for i := range items {
		it := &items[i]
		g.Go(func() error {
			err := s.list(ctx, ch, it.path, func([]item) bool { return false })
			it.typed, it.mode = true, it.mode&fs.ModePerm
			switch {
			case err == nil:
				it.mode |= fs.ModeDir
			case !isAnswer(err):
				return err
			}
			return nil
		})
	}
	return g.Wait()
}
