package spool

import (
	"time"

	"sftpconnector/sync/ledger"
)

// Changes of the tree that the index is to have. The caller holds Spool.mu while it
// makes them, and waits for a flush when it has let go of that.

// row is a directory or an upload as the index keeps it: one of the two.
type row struct {
	directory *directory
	object    *object
}

// index is a directory or upload as a row of the index.
func (r *row) index() ledger.SpoolRow {
	if d := r.directory; d != nil {
		out := ledger.SpoolRow{ID: d.id, Name: d.name, State: ledger.SpoolDirectory, ModTime: d.modTime, Changed: d.changed}
		if d.parent == nil {
			out.ID = topRow
		} else {
			out.Parent = d.parent.id
		}
		return out
	}
	o := r.object
	out := ledger.SpoolRow{ID: o.row, Object: o.id, Size: o.size, ModTime: o.modTime, Changed: o.accepted, Origin: o.origin, State: ledger.SpoolReceived}
	if o.file != nil {
		out.Name = o.file.name
		if o.file.parent != nil {
			out.Parent = o.file.parent.id
		}
	}
	if !o.received {
		out.State, out.Size = ledger.SpoolPartial, o.durable
	}
	switch {
	case o.removed:
		out.State = ledger.SpoolRemoved
	case o.moving:
		out.State = ledger.SpoolMoving
	}
	return out
}

// topRow is the ID of the row of the top, which is the parent 0 of all others.
const topRow = -1

// changed notes that a client has changed what is in a directory.
func (t *tree) changed(d *directory) {
	now := time.Now()
	d.changed, d.modTime = now, now.Truncate(time.Second)
	t.keepDirectory(d)
}

// discard takes an upload out of its file for good: its object goes when the index
// says so. The caller counts.
func (t *tree) discard(o *object) {
	o.removed = true
	delete(t.objects, o.id)
	if o.row != 0 {
		t.keep(o)
	}
	t.doomed = append(t.doomed, o)
}

// keep has an upload in the index, as it is when that is written.
func (t *tree) keep(o *object) {
	if o.row == 0 {
		o.row = t.nextRow()
	}
	t.dirty[o.row] = &row{object: o}
}

// keepDirectory does so for a directory.
func (t *tree) keepDirectory(d *directory) {
	if d.id == 0 && d != t.top {
		d.id = t.nextRow()
	}
	if d == t.top {
		t.dirty[topRow] = &row{directory: d}
		return
	}
	t.dirty[d.id] = &row{directory: d}
}

// dropDirectory takes an empty directory out of the tree.
func (t *tree) dropDirectory(d *directory) {
	t.take(d.parent, d.name)
	t.directories--
	t.dirty[d.id] = nil
}

// removeAll removes all uploads of a file, which nobody writes.
func (t *tree) removeAll(f *file) {
	t.count(f, -1)
	for _, o := range f.received {
		t.discard(o)
	}
	if f.part != nil {
		t.discard(f.part)
	}
	f.received, f.part = nil, nil
	t.tidy(f)
}

// setPart changes what a file has of an upload that is not complete; nil for
// nothing.
func (t *tree) setPart(f *file, o *object) {
	t.count(f, -1)
	f.part, f.partSince = o, time.Now()
	t.count(f, 1)
}

// drop takes an upload out of its file.
func (t *tree) drop(o *object) {
	f := o.file
	t.count(f, -1)
	if f.part == o {
		f.part = nil
	} else {
		f.without(o)
	}
	t.discard(o)
	t.count(f, 1)
	t.tidy(f)
}

// forget takes an upload out of the index that never came.
func (t *tree) forget(o *object) {
	if !o.removed {
		f := o.file
		t.count(f, -1)
		if f.part == o {
			f.part = nil
		} else {
			f.without(o)
		}
		t.count(f, 1)
		t.tidy(f)
		delete(t.objects, o.id)
	}
	t.dirty[o.row] = nil
}
