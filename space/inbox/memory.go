package inbox

import (
	"slices"
	"time"
)

// Bounds of the memory for imported files.
const (
	maxRemembered     = 100_000
	maxRememberedName = 16 << 20 // bytes, of all their names
)

// gone is an imported file. STAT and SETSTAT still have an answer of it.
type gone struct {
	key string
	version
	looks  []version // that the import knew it by
	hidden bool      // something else has its name now, so that there is no answer any more
	until  time.Time
}

// memory is what was imported a short while ago. Inbox.mu guards it.
type memory struct {
	files map[string]*gone
	order []*gone // the oldest first
	names int     // bytes of all names in order
}

// add takes in a file that was imported as v; looks is what the import knew it by.
func (m *memory) add(name string, v version, looks []version, hidden bool, keep time.Duration) {
	now := time.Now()
	g := &gone{key(name), v, looks, hidden, now.Add(keep)}
	m.names += len(g.key)
	for len(m.order) > 0 && (len(m.order) >= maxRemembered || m.names > maxRememberedName || !m.order[0].until.After(now)) {
		oldest := m.order[0]
		if m.files[oldest.key] == oldest {
			delete(m.files, oldest.key)
		}
		m.names -= len(oldest.key)
		m.order = m.order[1:]
	}
	m.files[g.key] = g
	m.order = append(m.order, g)
}

// find gives the file of that name, if nothing else has that now, or nil.
func (m *memory) find(name string) *gone {
	if g := m.recent(name); g != nil && !g.hidden {
		return g
	}
	return nil
}

// was reports whether a file of that name was imported that looked like v.
func (m *memory) was(name string, v version) bool {
	g := m.recent(name)
	return g != nil && slices.ContainsFunc(g.looks, v.same)
}

func (m *memory) recent(name string) *gone {
	g := m.files[key(name)]
	if g == nil || !g.until.After(time.Now()) {
		return nil
	}
	return g
}

// hide ends the answers of a file: something else comes to have its name.
func (m *memory) hide(name string) {
	if g := m.files[key(name)]; g != nil {
		g.hidden = true
	}
}

// hideBelow ends them of what was in a directory.
func (m *memory) hideBelow(dir string) {
	for k, g := range m.files {
		if below(k, key(dir)) {
			g.hidden = true
		}
	}
}
