package pass

import (
	"sync"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// troubles are the files and directories that the passes of a connector could not
// do. The log tells of each when it begins, when its cause becomes another one, and
// when it is over; not at each pass.
type troubles struct {
	mu      sync.Mutex
	by      map[string]*trouble
	met     int64 // meetings so far
	unnamed bool  // there are more than are kept, which the log says once
}

type trouble struct {
	filesync.FileFailure
	since time.Time
	met   int64  // which meeting was the last
	pass  string // that met it last
}

// now is the number of the last meeting. A pass that began after it has not met
// what was met no later.
func (t *troubles) now() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.met
}

// list notes what the pass could not do.
func (t *report) list(name, text, hint string) {
	t.listFailure(filesync.FileFailure{Name: name, Error: text, Hint: hint})
}

func (t *report) listFailure(f filesync.FileFailure) {
	t.keepFailure(f)
	if t.o.Mode != filesync.Survey {
		t.troubles.tell(t, f)
	}
}

// tell has the log tell of a failure if it is news.
func (t *troubles) tell(r *report, f filesync.FileFailure) {
	news, more := t.meet(r.o.ID, f)
	switch {
	case more:
		r.o.Log.Warn("more files fail than are named here", "named", filesync.MaxFailures)
	case news && f.Unlisted:
		r.o.Log.Warn("directory not read", "directory", f.Name, "error", f.Error, "hint", f.Hint)
	case news:
		r.o.Log.Warn("file failed", "file", f.Name, "error", f.Error, "hint", f.Hint)
	}
}

// meet notes that a pass met a failure. news says that it is to be told, more that
// it is the first of those that are too many to be kept.
func (t *troubles) meet(pass string, f filesync.FileFailure) (news, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.met++
	known := t.by[f.Name]
	switch {
	case known != nil && status.SameCause(known.Error, f.Error):
		known.pass, known.met = pass, t.met
		return false, false
	case known == nil && len(t.by) >= filesync.MaxFailures:
		more = !t.unnamed
		t.unnamed = true
		return false, more
	case known == nil:
		known = &trouble{since: time.Now()}
	}
	if t.by == nil {
		t.by = map[string]*trouble{}
	}
	known.FileFailure, known.pass, known.met = f, pass, t.met
	t.by[f.Name] = known
	return true, false
}

// over has the log tell which troubles a pass that listed the source did not meet.
func (t *troubles) over(r *report, began int64) {
	for _, was := range t.end(r.o.ID, began) {
		lasted := time.Since(was.since).Round(time.Second)
		if was.Unlisted {
			r.o.Log.Info("directory read again", "directory", was.Name, "was", was.Error, "lasted", lasted)
		} else {
			r.o.Log.Info("file fails no more", "file", was.Name, "was", was.Error, "lasted", lasted)
		}
	}
}

// end forgets those that no pass has met since this one began. What is below a
// directory that it could not read is as it was.
func (t *troubles) end(pass string, began int64) (over []*trouble) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, one := range t.by {
		if one.met > began || t.hidden(name, pass) {
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
func (t *troubles) hidden(name, pass string) bool {
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
