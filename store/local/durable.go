package local

import "fmt"

// A write to the disk that fails is told to the descriptors that were open then. One
// that is opened later need not hear of it, and neither does one that was told
// already: so a finished file keeps its descriptor until it is synced, and an error of
// a sync is for good.

// maxKept bounds the finished files of a destination that keep their descriptor. One
// more is synced by itself.
const maxKept = 512

// keepOpen reports whether one more finished file may keep its descriptor.
func (d *Destination) keepOpen() bool {
	if !keepsDescriptors {
		return false
	}
	if d.kept.Add(1) > maxKept {
		d.kept.Add(-1)
		return false
	}
	return true
}

// flush syncs what was written, through the descriptor that wrote it. The caller holds
// p.mu, and there is a descriptor.
func (p *pendingFile) flush() error {
	if p.lost == nil {
		p.lost = p.file.sync()
	}
	return p.lost
}

// sync makes the contents and times of a finished file durable.
func (p *pendingFile) sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.lost != nil:
		return fmt.Errorf("an earlier sync failed: %w", p.lost)
	case p.durable:
		return nil
	case p.file != nil:
		return p.flush()
	}
	return p.dir.syncFile(p.name)
}

// syncTogether makes finished files durable with one call for each file system; false
// when that is not to be trusted there, or failed. The descriptor that was opened
// first hears of every write since then that has failed.
func syncTogether(batch []*pendingFile) bool {
	first := map[uint64]*pendingFile{}
	for _, p := range batch {
		switch {
		case p.durable:
		case p.file == nil || p.lost != nil:
			return false
		case first[p.dir.device] == nil || p.opened < first[p.dir.device].opened:
			first[p.dir.device] = p
		}
	}
	for _, p := range first {
		if !p.file.syncDevice() {
			return false
		}
	}
	return true
}
