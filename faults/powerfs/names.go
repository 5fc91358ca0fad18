//go:build linux

package powerfs

import (
	"cmp"
	"maps"
	"math/rand"
	"slices"
)

// directory holds names, now and as far as they are durable.
type directory struct {
	entries map[string]*inode
	stable  map[string]*inode

	pending []*nameOp          // in order: those on its names that are not durable
	last    map[string]*nameOp // the last of pending by name
	made    *nameOp            // its mkdir, while that is not durable
}

func newDirectory() *directory {
	return &directory{
		entries: map[string]*inode{},
		stable:  map[string]*inode{},
		last:    map[string]*nameOp{},
	}
}

// edit is one name that leads to another inode, or to none.
type edit struct {
	dir  *directory
	name string
	to   *inode
}

// nameOp is an operation on names: one edit, or two of a rename.
type nameOp struct {
	number uint64 // operations are numbered in order
	edits  []edit
	after  []*nameOp // it cannot survive without these, and they are synced with it
	within []*nameOp // the mkdirs of its directories: it cannot survive without these
	makes  *directory
	synced bool // it survives if all of after and within do
	done   bool // it is durable
}

// journal has the operations on names that are not durable.
type journal struct {
	ops      map[*nameOp]bool
	lastMove *nameOp // the last rename of a directory
	last     uint64  // the number of the last operation
}

// log carries out edits of names. emptied are the directories that it removes;
// moves says that it renames a directory.
func (j *journal) log(edits []edit, emptied []*directory, moves bool) *nameOp {
	j.last++
	op := &nameOp{number: j.last, edits: edits}
	for _, e := range edits {
		if before := e.dir.last[e.name]; before != nil {
			op.after = append(op.after, before)
		}
		if e.dir.made != nil {
			op.within = append(op.within, e.dir.made)
		}
	}
	for _, dir := range emptied {
		op.after = append(op.after, dir.pending...)
	}
	if moves {
		if j.lastMove != nil && !j.lastMove.done {
			op.after = append(op.after, j.lastMove)
		}
		j.lastMove = op
	}
	for n, e := range edits {
		if e.to == nil {
			delete(e.dir.entries, e.name)
		} else {
			e.dir.entries[e.name] = e.to
		}
		e.dir.last[e.name] = op
		if n == 0 || edits[0].dir != e.dir {
			e.dir.pending = append(e.dir.pending, op)
		}
	}
	j.ops[op] = true
	return op
}

// sync makes the names of a directory durable.
func (j *journal) sync(dir *directory) {
	synced := slices.Clone(dir.pending)
	for _, op := range synced {
		op.synced = true
	}
	for n := 0; n < len(synced); n++ {
		for _, before := range synced[n].after {
			if !before.done && !before.synced {
				before.synced = true
				synced = append(synced, before)
			}
		}
	}
	slices.SortFunc(synced, byNumber)
	touched := map[*directory]bool{}
	for _, op := range synced {
		j.commit(op, touched)
	}
	for dir := range touched {
		dir.pending = slices.DeleteFunc(dir.pending, func(op *nameOp) bool { return op.done })
	}
}

func byNumber(a, b *nameOp) int { return cmp.Compare(a.number, b.number) }

// commit makes a synced operation durable if all that it depends on is, and then
// those that waited for it in the directory that it makes.
func (j *journal) commit(op *nameOp, touched map[*directory]bool) {
	undone := func(op *nameOp) bool { return !op.done }
	if op.done || !op.synced || slices.ContainsFunc(op.after, undone) || slices.ContainsFunc(op.within, undone) {
		return
	}
	made := op.makes
	j.finish(op)
	for _, e := range op.edits {
		touched[e.dir] = true
		if e.dir.last[e.name] == op {
			delete(e.dir.last, e.name)
		}
	}
	op.edits, op.after, op.within, op.makes = nil, nil, nil, nil
	if made != nil {
		made.made = nil
		for _, waiting := range slices.Clone(made.pending) {
			j.commit(waiting, touched)
		}
	}
}

// finish applies an operation to the durable names.
func (j *journal) finish(op *nameOp) {
	op.done = true
	delete(j.ops, op)
	for _, e := range op.edits {
		if e.to == nil {
			delete(e.dir.stable, e.name)
		} else {
			e.dir.stable[e.name] = e.to
		}
	}
}

// cut forgets the operations on names that were not durable, but for each
// with the given chance, and tells how many it forgot. What the directories hold
// afterwards are their durable names.
func (j *journal) cut(r *rand.Rand, chance float64) int {
	undone := func(op *nameOp) bool { return !op.done }
	lost := 0
	dirs := map[*directory]bool{}
	for _, op := range slices.SortedFunc(maps.Keys(j.ops), byNumber) {
		for _, e := range op.edits {
			dirs[e.dir] = true
		}
		if op.makes != nil {
			dirs[op.makes] = true
		}
		lucky := r.Float64() < chance
		if slices.ContainsFunc(op.after, undone) || slices.ContainsFunc(op.within, undone) || !op.synced && !lucky {
			lost++
			continue
		}
		j.finish(op)
	}
	for dir := range dirs {
		dir.entries = maps.Clone(dir.stable)
		dir.pending, dir.made = nil, nil
		clear(dir.last)
	}
	clear(j.ops)
	j.lastMove = nil
	return lost
}
