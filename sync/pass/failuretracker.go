package pass

import (
	"sync"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// failureTracker keeps the files and directories that the passes of a connector could
// not do. The log tells of each when it begins, when its cause becomes another one, and
// when it is over; not at each pass.
type failureTracker struct {
	mu      sync.Mutex
	by      map[string]*trackedFailure
	count   int64 // failures added so far
	unnamed bool  // there are more than are kept, which the log says once
}

type trackedFailure struct {
	filesync.FileFailure
	since time.Time
	last  int64  // its number when it was added last
	pass  string // that added it last
}

// now is the number of the last failure that was added. A pass that began after it has
// not added what has this number or a lower one.
func (t *failureTracker) now() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// logNew logs a failure if it is news.
func (t *failureTracker) logNew(r *report, f filesync.FileFailure) {
	news, more := t.add(r.o.ID, f)
	switch {
	case more:
		r.o.Log.Warn("more files fail than are named here", "named", filesync.MaxFailures)
	case news && f.Unlisted:
		r.o.Log.Warn("directory not read", "directory", f.Name, "error", f.Error, "hint", f.Hint)
	case news:
		r.o.Log.Warn("file failed", "file", f.Name, "error", f.Error, "hint", f.Hint)
	}
}

// add notes that a pass met a failure. news says that it is to be told, more that
// it is the first of those that are too many to be kept.
func (t *failureTracker) add(pass string, f filesync.FileFailure) (news, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	known := t.by[f.Name]
	switch {
	case known != nil && status.SameCause(known.Error, f.Error):
		known.pass, known.last = pass, t.count
		return false, false
	case known == nil && len(t.by) >= filesync.MaxFailures:
		more = !t.unnamed
		t.unnamed = true
		return false, more
	case known == nil:
		known = &trackedFailure{since: time.Now()}
	}
	if t.by == nil {
		t.by = map[string]*trackedFailure{}
	}
	known.FileFailure, known.pass, known.last = f, pass, t.count
	t.by[f.Name] = known
	return true, false
}

// logEnded logs which failures a pass that listed the source did not meet.
func (t *failureTracker) logEnded(r *report, began int64) {
	for _, was := range t.removeEnded(r.o.ID, began) {
		lasted := time.Since(was.since).Round(time.Second)
		if was.Unlisted {
			r.o.Log.Info("directory read again", "directory", was.Name, "was", was.Error, "lasted", lasted)
		} else {
			r.o.Log.Info("file fails no more", "file", was.Name, "was", was.Error, "lasted", lasted)
		}
	}
}

// removeEnded forgets those that no pass has met since this one began. What is below a
// directory that it could not read is as it was.
func (t *failureTracker) removeEnded(pass string, began int64) (over []*trackedFailure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, one := range t.by {
		if one.last > began || t.hidden(name, pass) {
			continue
		}
		over = append(over, one)
	}
	for _, one := range over {
		delete(t.by, one.Name)
	}
	if len(over) > 0 {
		t.unnamed = false
	}
	return over
}

// hidden reports whether a directory above could not be read in the pass. The
// caller holds t.mu.
func (t *failureTracker) hidden(name, pass string) bool {
	for i, c := range name {
		if c != '/' {
			continue
		}
		if above := t.by[name[:i]]; above != nil && above.Unlisted && above.pass == pass {
			return true
		}
	}
	return false
}
