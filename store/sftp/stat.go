package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// hiddenError means that the server does not let us look at a name. The name counts as
// missing: nothing is overwritten unseen, and the next write finds out.
type hiddenError struct{ why error }

func (e *hiddenError) Error() string {
	return fmt.Sprintf("the server does not let us look: %v", e.why)
}

func (e *hiddenError) Unwrap() error { return e.why }

func (e *hiddenError) Is(target error) bool {
	return target == fs.ErrNotExist || target == filesync.ErrUnseen
}

func isHidden(err error) bool {
	_, ok := errors.AsType[*hiddenError](err)
	return ok
}

// refusedStat reports whether a server did not tell whether a name exists.
func refusedStat(err error) bool { return isAnswer(err) && !errors.Is(err, fs.ErrNotExist) }

// statAll asks for the attributes of names without following links. ProFTPD's LSTAT
// follows them, so that every server but OpenSSH is also sent a READLINK. What one
// request does not tell is asked for by another.
func (d *Destination) statAll(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	ch := d.pool.acquire(1)
	defer d.pool.release(ch, 1)
	stats := make([]filesync.StatResult, len(names))
	each := 2
	if ch.wire().ordered {
		each = 1
	}
	all := make([]int, len(names))
	for i, name := range names {
		all[i], stats[i].Entry.Name = i, name
	}
	err := d.statOnce(ctx, ch, stats, all, each, ch.wire().session.Lstat)
	if err != nil {
		return stats, err
	}
	var again []int
	for i := range stats {
		if refusedStat(stats[i].Err) || stats[i].Err == nil && stats[i].Entry.Mode.Type() == fs.ModeIrregular {
			again = append(again, i)
		}
	}
	if len(again) == 0 {
		return stats, nil
	}
	return stats, d.statAgain(ctx, ch, stats, again)
}

// statOnce sends one request for each of some names and, with each == 2, a READLINK
// too.
func (d *Destination) statOnce(ctx context.Context, ch *dataChannel, stats []filesync.StatResult, which []int, each int, ask func(*wire.Call, string)) error {
	return ch.wire().askAll(ctx, each*len(which), func(i int, c *wire.Call) {
		if path := d.path(stats[which[i/each]].Entry.Name); i%each == 0 {
			ask(c, path)
		} else {
			ch.wire().session.ReadLink(c, path)
		}
	}, func(i int, c *wire.Call) {
		stat := &stats[which[i/each]]
		name := stat.Entry.Name
		switch {
		case i%each == 1 && c.Err == nil:
			stat.Entry.Mode = fs.ModeSymlink
			stat.Err = nil
		case i%each == 1, stat.Entry.Mode&fs.ModeSymlink != 0: // the attributes may come last
		case c.Err != nil:
			stat.Err = c.Err
		default:
			stat.Entry, stat.Err = entry(name, attrsOf(c.Attr)), nil
		}
	})
}

// statAgain sends STAT and READLINK for what LSTAT did not tell, and OPENDIR for a type
// that is still unknown.
func (d *Destination) statAgain(ctx context.Context, ch *dataChannel, stats []filesync.StatResult, which []int) error {
	refused := make([]error, len(which))
	for n, i := range which {
		refused[n] = stats[i].Err
	}
	if err := d.statOnce(ctx, ch, stats, which, 2, ch.wire().session.Stat); err != nil {
		return err
	}
	for n, i := range which {
		stat := &stats[i]
		if refusedStat(stat.Err) {
			stat.Err = &hiddenError{stat.Err}
			if refused[n] != nil {
				stat.Err = &hiddenError{refused[n]}
			}
		}
		if stat.Err != nil || stat.Entry.Mode.Type() != fs.ModeIrregular {
			continue
		}
		dir := false
		if !d.cfg.Direct { // with Direct, handles are kept open until this is answered
			var err error
			if dir, err = d.isDir(ctx, ch, d.path(stat.Entry.Name)); err != nil {
				return err
			}
		}
		stat.Entry.Mode &^= fs.ModeType
		if dir {
			stat.Entry.Mode |= fs.ModeDir
		}
	}
	return nil
}

// isDir finds out whether a path is a directory by opening it as one.
func (d *Destination) isDir(ctx context.Context, ch *dataChannel, path string) (bool, error) {
	c := &wire.Call{Done: make(chan *wire.Call, 1)}
	ch.wire().session.OpenDir(c, path)
	h, err := ch.wire().handle(ctx, c)
	if isAnswer(err) {
		return false, nil
	}
	if err == nil {
		ch.wire().session.CloseHandle(h, nil)
	}
	return err == nil, err
}

// statOne is statAll for one name.
func (d *Destination) statOne(ctx context.Context, name string) (filesync.Entry, error) {
	stats, err := d.statAll(ctx, []string{name})
	if err != nil {
		return filesync.Entry{}, err
	}
	return stats[0].Entry, stats[0].Err
}
