package pass

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// startOf is where the walk of a selection begins: the directory that all
// matches lie below, if the way there is free of links and of directories that
// are not walked; else the root.
func (l *lister) startOf(ctx context.Context) (directory, error) {
	if l.o.Selection == nil || l.o.Selection.Start() == "" {
		return directory{}, nil
	}
	start := l.o.Selection.Start()
	if slices.ContainsFunc(l.skip, func(skip string) bool { return within(start, skip) }) {
		return directory{}, nil
	}
	if filesync.CheckPath(start) != nil || l.o.Filter.PrunesAbove(start+"/") != "" {
		return directory{}, nil
	}
	real, inside, err := l.src.Locate(ctx, start)
	switch {
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrNotExist):
		return directory{}, nil
	case err != nil:
		return directory{}, fmt.Errorf("find %s: %w", start, err)
	case !inside || real != start:
		return directory{}, nil
	}
	return directory{name: start, real: start, depth: 1 + strings.Count(start, "/")}, nil
}

// deliveredEarlier decides about files that the source has no more: those that were
// delivered earlier and still stand at the destination match too.
func (p *Pass) deliveredEarlier(ctx context.Context) error {
	sel := p.o.Selection
	from, to := sel.Times()
	var recs []filesync.Record
	look := func() error {
		targets := make([]string, len(recs))
		for i, r := range recs {
			targets[i] = r.Delivery.Target.Name
		}
		standing, err := p.dst.Stat(ctx, targets)
		if err != nil {
			return err
		}
		for i, r := range recs {
			if standing[i].Err == nil && plan.Wrote(r, targets[i], standing[i].Entry) {
				p.present.Add(1)
				p.decideRecorded(r.Delivery.Source, r, targets[i], "delivered earlier, gone from the source, stands at the destination")
			}
		}
		recs = recs[:0]
		return nil
	}
	prefix := ""
	if sel.Start() != "" {
		prefix = sel.Start() + "/"
	}
	err := p.ledger.DeliveredFiles(ctx, prefix, from, to, func(r filesync.Record) error {
		e := r.Delivery.Source
		_, missed := p.missed.Load(e.Name)
		if p.rows.Row(r.ID) && !missed || !sel.Match(e) || p.o.Filter.Excluded(e) != "" || p.o.Filter.PrunesAbove(e.Name) != "" {
			return nil
		}
		if recs = append(recs, r); len(recs) < chunkSize {
			return nil
		}
		return look()
	})
	if err == nil && len(recs) > 0 {
		err = look()
	}
	return err
}
