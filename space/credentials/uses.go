package credentials

import (
	"context"
	"slices"
	"time"
)

// noteWithin is how long the file may not know of a use: a login must not wait
// for a disk. A kill loses the uses of this time, and nothing else.
const noteWithin = time.Minute

// noteUse remembers a use, and sees to its being written. A mutex is held.
func (s *Store) noteUse(id string, now time.Time) {
	s.used[id] = now
	s.noteLater()
}

// noteLater sets the timer, if there is something to write and no timer yet. A mutex is held.
func (s *Store) noteLater() {
	if s.closed || s.note != nil || len(s.used) == 0 {
		return
	}
	s.noting.Add(1)
	s.note = time.AfterFunc(noteWithin, func() {
		defer s.noting.Done()
		_ = s.writeUses() // what it could not write stays noted, for the next time
		s.mu.Lock()
		defer s.mu.Unlock()
		s.note = nil
		s.noteLater()
	})
}

// writeUses brings the uses into the file.
func (s *Store) writeUses() error {
	return s.edit(context.Background(), func(records []record) ([]record, error) { return records, nil })
}

// withUses gives a copy of the records that has the uses too. A mutex is held.
func (s *Store) withUses(records []record) []record {
	records = slices.Clone(records)
	for i := range records {
		if at := s.used[records[i].ID]; at.After(records[i].LastUsed) {
			records[i].LastUsed = at
		}
	}
	return records
}
