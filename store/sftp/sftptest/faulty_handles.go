package sftptest

import (
	"fmt"
	"slices"
)

// newHandle gives an open file or directory its handle.
func (s *session) newHandle(f *Faults, h *handle) string {
	s.opened++
	h.id = fmt.Sprintf("h%d", s.opened)
	if f.ReuseHandle != nil && len(s.handles) > 0 && f.ReuseHandle(s.inUse) {
		for id := range s.handles { // any
			h.id = id
			break
		}
		if f.ReuseReplaces {
			for _, old := range s.handles[h.id] {
				s.close(old)
			}
		}
	}
	s.inUse++
	s.handles[h.id] = append(s.handles[h.id], h)
	return h.id
}

// lookup gives what a handle stands for; nil: nothing.
func (s *session) lookup(id string) *handle {
	all := s.handles[id]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

func (s *session) close(h *handle) {
	left := slices.DeleteFunc(slices.Clone(s.handles[h.id]), func(other *handle) bool { return other == h })
	if s.handles[h.id] = left; len(left) == 0 {
		delete(s.handles, h.id)
	}
	s.inUse--
	s.openHandles.Add(-1)
	if h.stop != nil {
		h.stop()
	}
	if !h.dir {
		s.openFiles.Add(-1)
	}
	if h.file != nil {
		h.file.Close()
	}
	if h.writing {
		s.srv.writing(h.path, -1)
	}
}

// pastLimit refuses one more handle, of a file or a directory, or counts it.
func (s *session) pastLimit(f *Faults, id uint32, file bool) bool {
	all, files := s.openHandles.Add(1), s.openFiles.Add(map[bool]int64{true: 1}[file])
	if (f.MaxHandles == 0 || all <= int64(f.MaxHandles)) && (f.MaxOpenFiles == 0 || !file || files <= int64(f.MaxOpenFiles)) {
		return false
	}
	s.uncount(file)
	st := f.OpenStatus
	if st == StatusOK {
		st = StatusFailure
	}
	s.status(id, st)
	return true
}

// uncount takes back what pastLimit has counted.
func (s *session) uncount(file bool) {
	s.openHandles.Add(-1)
	if file {
		s.openFiles.Add(-1)
	}
}
