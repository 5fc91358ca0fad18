package spool

import "time"

// Bounds of the memory for imported files.
const (
	maxRemembered     = 100_000
	maxRememberedName = 16 << 20 // bytes, of all their names
)

// gone is an imported file. STAT and SETSTAT still have an answer of it.
type gone struct {
	name    string
	size    int64
	modTime time.Time
	hidden  bool // something else has its name now, so that there is no answer any more
	until   time.Time
}

// memory is what was imported a short while ago. Spool.mu guards it.
type memory struct {
	files map[string]*gone
	order []*gone // the oldest first
	names int     // bytes of all names in order
}

// add takes in a file that was imported, for so long.
func (m *memory) add(name string, size int64, modTime time.Time, hidden bool, keep time.Duration) {
	now := time.Now()
	g := &gone{name, size, modTime, hidden, now.Add(keep)}
	m.names += len(g.name)
	for len(m.order) > 0 && (len(m.order) >= maxRemembered || m.names > maxRememberedName || !m.order[0].until.After(now)) {
		oldest := m.order[0]
		if m.files[oldest.name] == oldest {
			delete(m.files, oldest.name)
		}
		m.names -= len(oldest.name)
		m.order = m.order[1:]
	}
	m.files[g.name] = g
	m.order = append(m.order, g)
}

// find gives the file of that name, if nothing else has that now, or nil.
func (m *memory) find(name string) *gone {
	if g := m.files[name]; g != nil && g.until.After(time.Now()) && !g.hidden {
		return g
	}
	return nil
}

// hide ends the answers of a file: something else comes to have its name.
func (m *memory) hide(name string) {
	if g := m.files[name]; g != nil {
		g.hidden = true
	}
}

// hideBelow ends them of what was in a directory.
func (m *memory) hideBelow(dir string) {
	for k, g := range m.files {
		if below(k, dir) {
			g.hidden = true
		}
	}
}
