package sftp

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"sftpconnector/status"
	"sftpconnector/store/pending"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// Destination is a directory on a server that files are uploaded to, over one
// connection. A Destination whose connection is lost stays lost: all calls then answer
// with a *status.Error that is sync.ErrDisconnected too, and the caller has to open
// another one.
//
// It needs no more of a server than that files can be written there. It does without
// anything else that a server refuses (times, fsync, replacing by rename, truncating),
// and remembers that in Limits. It keeps its files in the directory as far as the
// server shows where they go: it does not write through directories that are symbolic
// links leading out, and never follows a link under a file's own name. It cannot see
// what a server hides, or what changes between a check and the request after it.
//
// Two settings of Config are its own. Owner marks our pending files among those of
// other programs. Direct writes files under their own names, for receivers that must
// not see a rename. A file is then published when it is closed. A file that replaces
// another destroys it at the start, and a program that is killed leaves half a file
// under its name.
type Destination struct {
	*session
	dirs    *directories
	probing *semaphore.Weighted // of 1: one probe runs at a time

	renameWaitFailed atomic.Bool            // a refused RENAME was repeated in vain
	leftPending      atomic.Bool            // a file that should be removed may still exist
	handleProbeRan   atomic.Bool            // probeHandles has run, even if it showed nothing
	untried          atomic.Pointer[string] // why the last Probe wrote nothing
}

var (
	_ filesync.Destination    = (*Destination)(nil)
	_ filesync.Replacer       = (*Destination)(nil)
	_ filesync.Lister         = (*Destination)(nil)
	_ filesync.SweepRequester = (*Destination)(nil)
	_ filesync.Standing       = (*pendingFile)(nil)
)

// OpenDestination connects to the server and starts SFTP. It reports the stages up to
// "sftp" to observe; Probe does the work of the stage "destination". Every error is a
// *status.Error. ctx does not bind the Destination afterwards.
func OpenDestination(ctx context.Context, cfg Config, observe status.Observer) (*Destination, error) {
	s, err := openSession(ctx, cfg, observe, startWriting)
	if err != nil {
		return nil, err
	}
	return &Destination{session: s, dirs: newDirectories(s), probing: semaphore.NewWeighted(1)}, nil
}

// startWriting opens the first channel. A Destination has no control channel, so that a
// server that allows one channel is enough.
func startWriting(ctx context.Context, s *session) error {
	ch, err := s.openDataChannel(ctx)
	if err != nil {
		return s.startError(ctx, err)
	}
	s.pool.mu.Lock()
	s.pool.channels = []*dataChannel{ch}
	s.pool.mu.Unlock()
	s.pool.extra = 1
	// ProFTPD 1.3.8 stops answering for ever when long packets arrive on several
	// channels of a connection at once. (READs are short.)
	if s.limits.oneWriteChannel.Load() || strings.Contains(s.conn.ServerVersion(), "mod_sftp") {
		s.pool.max = 1
	}
	s.handles.maxFiles = maxOpen
	known := ch.wire().session.Extensions()
	s.extension = func(name string) bool {
		_, ok := known[name]
		return ok
	}
	return nil
}

// maxOpen is how many files are written at a time. With Direct, files stay open until
// their batch is published, and servers have handles for some hundreds.
const maxOpen = 256

// wire gives the wireChannel that every data channel is outside tests.
func (ch *dataChannel) wire() *wireChannel { return ch.channel.(*wireChannel) }

// FoldsCase implements sync.Destination. SFTP does not tell. Servers on Windows fold
// case, and refuse a name that they take for another file's.
func (d *Destination) FoldsCase(bool) bool { return false }

// Stat implements sync.Destination. Symbolic links are not followed.
func (d *Destination) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(names) == 0 {
		return nil, nil
	}
	// The entries and their directories are asked for at the same time.
	parents := make(map[string]error, 1)
	asked := slices.Clone(names)
	for i, name := range names {
		if d.checkName(name) != nil {
			asked[i] = "" // the root will do
			continue
		}
		parents[parentOf(name)] = nil
	}
	found := make(chan error, 1)
	go func() { found <- d.ensureAll(ctx, parents) }()
	stats, err := d.statAll(ctx, asked)
	if ferr := <-found; ferr != nil {
		err = ferr
	}
	if err != nil {
		return nil, d.failed(ctx, "look at", names[0], err)
	}
	for i, name := range names {
		err := cmp.Or(d.checkName(name), parents[parentOf(name)], stats[i].Err)
		if err != nil {
			stats[i] = filesync.StatResult{Err: d.failed(ctx, "look at", name, err)}
		}
	}
	return stats, nil
}

// ensureAll notes for each directory why no file can be in it. Its error concerns all
// of them.
func (d *Destination) ensureAll(ctx context.Context, dirs map[string]error) error {
	names := make([]string, 0, len(dirs))
	for dir := range dirs {
		names = append(names, dir)
	}
	errs := make([]error, len(names))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxInFlight)
	for i, dir := range names {
		g.Go(func() error {
			errs[i] = d.dirs.ensure(gctx, dir, false)
			_, lost := errors.AsType[*wire.EndError](errs[i])
			_, rootless := errors.AsType[*status.Error](errs[i])
			if lost || rootless || ctx.Err() != nil {
				return errs[i]
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, dir := range names {
		dirs[dir] = errs[i]
	}
	return nil
}

// Persist implements sync.Destination with fsync@openssh.com where the server has it.
// Elsewhere it only checks that the files exist. So it does with Direct, as a receiver
// may be triggered by a file that is opened.
func (d *Destination) Persist(ctx context.Context, names []string) []error {
	errs := make([]error, len(names))
	stats, err := d.Stat(ctx, names)
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	var g errgroup.Group
	g.SetLimit(maxInFlight)
	for i, stat := range stats {
		if errs[i] = stat.Err; errs[i] != nil || d.cfg.Direct || !d.has(&d.limits.fsync, wire.FsyncExtension) || !stat.Entry.Mode.IsRegular() {
			continue
		}
		g.Go(func() error {
			errs[i] = d.failed(ctx, "sync", names[i], d.persist(ctx, names[i]))
			return nil
		})
	}
	_ = g.Wait()
	return errs
}

func (d *Destination) persist(ctx context.Context, name string) error {
	ch := d.pool.acquire(1)
	defer d.pool.release(ch, 1)
	f, err := d.open(ctx, ch, d.path(name))
	if errors.Is(err, fs.ErrPermission) {
		return nil // a file that cannot be read cannot be synced either
	}
	if err != nil {
		return err
	}
	defer f.close(d.handles.release)
	_, err = ch.wire().ask(ctx, func(c *wire.Call) { ch.wire().session.Fsync(c, f.(*wireFile).h) })
	if d.limits.fsyncRefused(err) {
		err = nil
	}
	return err
}

// has reports whether the server announces an extension and has not refused it yet.
func (d *Destination) has(f *feature, extension string) bool {
	return !f.absent() && d.extension(extension)
}

// parentOf is the directory of a name, "" for the root.
func parentOf(name string) string { return name[:max(0, strings.LastIndexByte(name, '/'))] }

var errName = errors.New("no name below the destination directory")

// checkName refuses a name that is no path below the root, before anything is sent.
func checkName(name string) error {
	if !fs.ValidPath(name) || name == "." || strings.IndexByte(name, 0) >= 0 {
		return errName
	}
	return nil
}

// checkName also refuses a name that the server's encoding does not have.
func (d *Destination) checkName(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	_, err := d.cfg.NameEncoding.Encode(name)
	return err
}

// hidden is the path of a pending file.
func (d *Destination) hidden(name, id string) string { return d.path(hiddenName(name, id)) }

// hiddenName is the name of a pending file.
func hiddenName(name, id string) string {
	return path.Join(parentOf(name), pending.Name(path.Base(name), id))
}
