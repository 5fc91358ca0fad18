package sftp

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Servers tell the version of a file in up to three ways: in a listing, by its path,
// and by an open handle. Some tell other times in one way than in another (minutes and
// seconds, local time and UTC), or nothing. So a listing is compared with a listing,
// and a handle with a handle. What a server does not tell is unknown, which is not the
// same as different.

// comparison is the result of comparing a listed version with another answer.
type comparison int

const (
	same comparison = iota
	different
	unknown // the answer lacks it, or tells it in another way than listings may do
)

// compareVersion compares a listed version with attributes that were not listed.
func compareVersion(e filesync.Entry, a attrs) comparison {
	switch {
	case a.size >= 0 && a.size != e.Size:
		return different
	case e.ModTime.IsZero() && a.size >= 0:
		return same // only the size is known
	case !a.modTime.IsZero() && a.modTime.Unix() == e.ModTime.Unix():
		return same
	}
	return unknown
}

// unchanged reports whether a handle told the same version both times. A time of 1970
// counts as none.
func unchanged(before, after attrs) bool {
	return sameHandles(before, after) && after.size >= 0 && !after.modTime.IsZero() && after.modTime.Unix() != 0
}

// sameHandles reports whether two open handles tell the same version.
func sameHandles(a, b attrs) bool {
	return a.size == b.size && a.modTime.Equal(b.modTime)
}

// confirm decides, when the last byte was read, whether the file is still the version
// that was listed. It gives e if so, another entry if not, and the zero entry if the
// server does not tell: a check that cannot be made has not failed. handle is what the
// open handle told, or handleErr why it did not.
func (s *Source) confirm(ctx context.Context, e filesync.Entry, handle attrs, handleErr error) (filesync.Entry, error) {
	if handleErr != nil && !isAnswer(handleErr) {
		return filesync.Entry{}, handleErr
	}
	if handleErr == nil {
		switch compareVersion(e, handle) {
		case same:
			return e, nil
		case different:
			return entry(e.Name, handle), nil
		}
	}
	statCtx, cancel := s.statTimeout(ctx)
	defer cancel()
	results, err := s.Relist(statCtx, []filesync.Entry{e})
	if statTimedOut(ctx, err) {
		return filesync.Entry{}, s.checkAlive(ctx)
	}
	if err != nil {
		return filesync.Entry{}, err
	}
	if results[0].Err != nil {
		return filesync.Entry{}, nil
	}
	if results[0].Entry.SameVersion(e) {
		if handleErr != nil {
			s.limits.fstatRefused(handleErr)
		}
		return e, nil
	}
	return results[0].Entry, nil
}

// statTimeout bounds a request for attributes. Some servers leave one kind of request
// unanswered and answer all others, so that the connection is not dead.
func (s *session) statTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.cfg.Timeouts.Operation/4, errUnanswered)
}

var errUnanswered = errors.New("the server does not answer the look at a file")

// statTimedOut reports whether such a request ended by its own timeout, and not by its
// caller's.
func statTimedOut(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.Is(err, errUnanswered)
}

// checkAlive finds out whether the server answers anything, after it left one request
// unanswered. Its error is that of a lost connection, on which a missing answer tells
// nothing. If that cannot be found out in time, it is nil.
func (s *session) checkAlive(ctx context.Context) error {
	soon, cancel := context.WithTimeout(ctx, 2*s.cfg.Timeouts.Operation)
	defer cancel()
	err := s.statRoot(soon)
	if ctx.Err() == nil && soon.Err() != nil {
		return nil
	}
	return err
}

// mayReopen reports whether a file may be opened again while it is read. Some servers
// hand each file out once.
func (s *session) mayReopen() bool {
	if s.pool.first().wire().ordered { // OpenSSH's sftp-server
		return true
	}
	for _, known := range []string{"SSH-2.0-mod_sftp", "SSH-2.0-AWS_SFTP"} {
		if strings.HasPrefix(s.conn.ServerVersion(), known) {
			return true
		}
	}
	return !s.limits.reopenable.absent() && s.limits.reopenable.known()
}

// learnReopenable asks once whether a file still exists after it was read and closed.
// Its bytes were read by then, so that the request does no harm.
func (s *Source) learnReopenable(ctx context.Context, ch channel, e filesync.Entry, closed <-chan struct{}) {
	ctx, cancel := s.statTimeout(ctx)
	defer cancel()
	select {
	case <-closed:
	case <-ctx.Done():
		if s.checkAlive(s.ctx) == nil {
			s.limits.reopenable.learn(false)
		}
		return
	}
	a, err := statByPath(ctx, ch, s.path(e.Name))
	switch {
	case err == nil && (a.size == e.Size || a.size < 0):
		s.limits.reopenable.learn(true)
	case isAnswer(err):
		s.limits.reopenable.learn(false)
	}
}

// Relist implements sync.Relister. For many files of one directory, it reads as many
// answers of a listing as there are files, which costs no more than a request for each,
// and mostly less. It asks for the others by path. Where that tells other times than
// listings do, it lists the directory.
func (s *Source) Relist(ctx context.Context, entries []filesync.Entry) ([]filesync.StatResult, error) {
	results := make([]filesync.StatResult, len(entries))
	var mu sync.Mutex
	var ask, list []int // indices of entries
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxDirectoriesInFlight)
	for dir, at := range byDirectory(entries) {
		switch {
		case s.limits.statDiffers.Load():
			list = append(list, at...)
		case len(at) < fewStats:
			mu.Lock()
			ask = append(ask, at...)
			mu.Unlock()
		default:
			g.Go(func() error {
				rest, err := s.listSome(gctx, dir, entries, at, results)
				mu.Lock()
				defer mu.Unlock()
				ask = append(ask, rest...)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	doubts, err := s.statSome(ctx, entries, ask, results)
	if err != nil {
		return nil, err
	}
	return results, s.listUnknown(ctx, entries, append(list, doubts...), results)
}

const (
	// fewStats is from how many files of a directory on a listing is tried first.
	fewStats = 32
	// maxDirectoriesInFlight is how many directories are listed side by side.
	maxDirectoriesInFlight = 16
)

// byDirectory gives the indices of entries by their directory.
func byDirectory(entries []filesync.Entry) map[string][]int {
	by := map[string][]int{}
	for i, e := range entries {
		dir := parentOf(e.Name)
		by[dir] = append(by[dir], i)
	}
	return by
}

// listSome searches the first answers of a listing for entries, as many answers as
// there are entries. It gives the entries that it did not find, and links.
func (s *Source) listSome(ctx context.Context, dir string, entries []filesync.Entry, at []int, results []filesync.StatResult) (rest []int, err error) {
	wanted := make(map[string][]int, len(at)) // a name may be asked for twice
	for _, i := range at {
		wanted[entries[i].Name] = append(wanted[entries[i].Name], i)
	}
	answers := 0
	err = s.listBatches(ctx, dir, func(batch []item) bool {
		answers++
		for _, it := range batch {
			e := s.entryOf(it)
			if e.Mode&fs.ModeSymlink != 0 {
				continue
			}
			for _, i := range wanted[e.Name] {
				results[i].Entry = e
			}
			delete(wanted, e.Name)
		}
		return answers < len(at) && len(wanted) > 0
	})
	if err != nil && !isListingError(err) {
		return nil, err
	}
	for _, some := range wanted {
		rest = append(rest, some...)
	}
	return rest, nil
}

// statSome asks for entries by their paths, and gives those that may still be another
// version.
func (s *Source) statSome(ctx context.Context, entries []filesync.Entry, at []int, results []filesync.StatResult) (doubts []int, err error) {
	names := make([]string, len(at))
	for i, index := range at {
		names[i] = entries[index].Name
	}
	if len(names) == 0 {
		return nil, nil
	}
	stats, err := s.Stat(ctx, names)
	if err != nil {
		return nil, err
	}
	for i, index := range at {
		k := stats[i]
		results[index] = k
		refused := k.Err != nil && !errors.Is(k.Err, fs.ErrNotExist)
		if refused {
			doubts = append(doubts, index)
		}
		if k.Err != nil {
			continue
		}
		switch compareVersion(entries[index], attrs{size: k.Entry.Size, modTime: k.Entry.ModTime}) {
		case unknown, different: // it may tell sizes in another way, too
			doubts = append(doubts, index)
		case same: // STAT may not tell all that was listed
			results[index].Entry.Size, results[index].Entry.ModTime = entries[index].Size, entries[index].ModTime
		}
	}
	return doubts, nil
}

// listUnknown lists the directories of entries. An entry that is a link there, or
// missing, keeps the answer that it has.
func (s *Source) listUnknown(ctx context.Context, entries []filesync.Entry, at []int, results []filesync.StatResult) error {
	names := make([]string, len(at))
	for i, index := range at {
		names[i] = entries[index].Name
	}
	var mu sync.Mutex
	var links []int
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxDirectoriesInFlight)
	for dir, some := range byDirectory(pick(entries, at)) {
		g.Go(func() error {
			wanted := make([]string, len(some))
			for i, j := range some {
				wanted[i] = names[j]
			}
			found, err := s.relisting.find(gctx, s.session, dir, wanted)
			if err != nil && !isListingError(err) {
				return err
			}
			for _, j := range some {
				e, ok := found[names[j]]
				if s.takeRelisted(entries[at[j]], e, ok, err, &results[at[j]]) {
					mu.Lock()
					links = append(links, at[j])
					mu.Unlock()
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	_, err := s.statSome(ctx, entries, links, results)
	return err
}

// takeRelisted sets the look of an entry by a listing: to listed, if the entry was
// found, or to err. It reports whether the entry is a link that is to be asked for by
// its path.
func (s *Source) takeRelisted(e, listed filesync.Entry, there bool, err error, stat *filesync.StatResult) (link bool) {
	asked := stat.Err != nil || stat.Entry.Name != ""
	switch {
	case there && listed.Mode&fs.ModeSymlink != 0:
		return !asked
	case there:
		if stat.Err == nil && asked && listed.SameVersion(e) {
			s.limits.statDiffers.Store(true)
		}
		*stat = filesync.StatResult{Entry: listed}
	case err != nil && !asked:
		stat.Err = err
	case !asked:
		stat.Err = s.failure("look at", e.Name, &wire.StatusError{Code: wire.CodeNoSuchFile})
	}
	return false
}

// pick gives the entries at some indices.
func pick(entries []filesync.Entry, at []int) []filesync.Entry {
	some := make([]filesync.Entry, len(at))
	for i, index := range at {
		some[i] = entries[index]
	}
	return some
}

// isListingError reports whether a listing failed by an answer of the server or at a
// limit, and not with the connection.
func isListingError(err error) bool {
	return isAnswer(err) || errors.Is(err, filesync.ErrLimit)
}
