package spool

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"sftpconnector/sync/ledger"
)

// load reads the index, and gives what was being taken over from an inbox.
func (s *Spool) load(ctx context.Context) (moving []*object, err error) {
	now := time.Now()
	directories, parents := map[int64]*directory{0: s.tree.top}, map[int64]int64{}
	var uploads []ledger.SpoolRow
	t := &s.tree
	err = s.o.Index.Rows(ctx, func(r ledger.SpoolRow) error {
		t.lastRow = max(t.lastRow, r.ID)
		if r.State != ledger.SpoolDirectory {
			uploads = append(uploads, r)
			return nil
		}
		d := t.top
		if r.ID != topRow {
			d = &directory{id: r.ID, name: r.Name, children: map[string]*child{}}
			directories[r.ID], parents[r.ID] = d, r.Parent
		}
		d.modTime, d.changed, d.used = r.ModTime, r.Changed, r.Changed
		if r.Changed.After(now) { // a clock that was wrong
			d.used = now
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for id, above := range parents {
		d, parent := directories[id], directories[above] // which may have come later
		if parent == nil || parent.children[d.name] != nil {
			return nil, fmt.Errorf("the index is damaged: directory %d has no place", id)
		}
		t.add(parent, &child{directory: d})
		t.directories++
	}
	for _, r := range uploads {
		o := &object{
			row: r.ID, id: r.Object, size: r.Size, durable: r.Size, modTime: r.ModTime, accepted: r.Changed, touched: now, origin: r.Origin,
			received: r.State == ledger.SpoolReceived, moving: r.State == ledger.SpoolMoving,
		}
		if r.State == ledger.SpoolRemoved {
			o.removed = true
			s.tree.doomed = append(s.tree.doomed, o)
			continue
		}
		in := directories[r.Parent]
		if in == nil || in.children[r.Name] != nil && in.children[r.Name].file == nil {
			return nil, fmt.Errorf("the index is damaged: upload %d has no place", r.ID)
		}
		if o.moving {
			_, unfinished := cutReserved(path.Base(r.Origin))
			o.received = !unfinished
			moving = append(moving, o)
		}
		s.place(t.file(in, r.Name, s.o.IsTemporary), o)
	}
	return moving, nil
}

// place gives an upload to a file of which nobody knows yet. The caller holds s.mu, if
// the spool is open.
func (s *Spool) place(f *file, o *object) {
	s.tree.count(f, -1)
	o.file = f
	if o.received {
		f.received = append(f.received, o)
		s.tree.objects[o.id] = o
		s.touch(f, o)
	} else {
		f.part, f.partSince = o, time.Now()
	}
	s.tree.count(f, 1)
}

// reconcile compares the index with the directory of objects. What the index does not
// know of uploads that were never complete is removed, and so is what it has as
// removed.
func (s *Spool) reconcile() error {
	known := map[string]*object{}
	for f := range s.tree.files() {
		for _, o := range f.received {
			known[o.id] = o
		}
		if f.part != nil {
			known[f.part.id] = f.part
		}
	}
	for _, o := range s.tree.doomed {
		known[o.id] = o
	}
	lost, there, err := s.objects.removeUnknown(func(id string) bool { return known[id] != nil })
	if lost > 0 {
		s.o.Log.Error("spool: the index does not know uploads that were acknowledged: the ledger is older than they are, or new. They are kept in "+lostAndFound, "count", lost, "directory", s.o.Directory)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	missing := 0
	for id, o := range known {
		if !there[id] && !o.removed && !o.moving {
			missing++
			s.tree.drop(o)
		}
	}
	s.mu.Unlock()
	if missing > 0 { // an older ledger, again
		s.o.Log.Error("spool: the index has uploads of which the objects are gone: they were imported or removed since the ledger was copied, or the disk has lost them", "count", missing)
	}
	if len(s.tree.doomed) == 0 {
		return nil
	}
	return errors.Join(s.tidy(), s.flush())
}
