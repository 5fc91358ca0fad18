package inbox

import "time"

// maxRemembered bounds the memory for imported files.
const maxRemembered = 100_000

// gone is an imported file, of which STAT and SETSTAT still have an answer.
type gone struct {
	key string
	version
	until time.Time
}

// memory is what was imported a short while ago. Inbox.mu guards it.
type memory struct {
	files map[string]*gone
	order []*gone // the oldest first
}

func (m *memory) add(name string, v version, keep time.Duration) {
	now := time.Now()
	for len(m.order) > 0 && (len(m.order) >= maxRemembered || !m.order[0].until.After(now)) {
		if oldest := m.order[0]; m.files[oldest.key] == oldest {
			delete(m.files, oldest.key)
		}
		m.order = m.order[1:]
	}
	g := &gone{key(name), v, now.Add(keep)}
	m.files[g.key] = g
	m.order = append(m.order, g)
}

// find gives the file of that name, or nil.
func (m *memory) find(name string) *gone {
	g := m.files[key(name)]
	if g == nil || !g.until.After(time.Now()) {
		return nil
	}
	return g
}

func (m *memory) forget(name string) { delete(m.files, key(name)) }

// forgetBelow forgets what was in a directory.
func (m *memory) forgetBelow(dir string) {
	for k := range m.files {
		if below(k, key(dir)) {
			delete(m.files, k)
		}
	}
}
