package transfer

import (
	"sync"

	filesync "sftpconnector/sync"
)

// notDurable are files that have their names, after a pass that broke off, and cannot be
// made durable yet: their intents stay. They are not copied again meanwhile, as a reader
// may have taken the copy. It may be used concurrently.
type notDurable struct {
	mu sync.Mutex
	by map[string]undurable
}

type undurable struct {
	source filesync.Entry
	err    error
}

func (n *notDurable) add(e filesync.Entry, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.by == nil {
		n.by = map[string]undurable{}
	}
	n.by[e.Name] = undurable{e, err}
}

func (n *notDurable) clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.by = nil
}

// NotDurable gives why the copy of this version, which has its name, cannot be made
// durable; nil if it is none of those.
func (c *Client) NotDurable(e filesync.Entry) error {
	n := &c.r.q.notDurable
	n.mu.Lock()
	defer n.mu.Unlock()
	if u, ok := n.by[e.Name]; ok && u.source.SameVersion(e) {
		return u.err
	}
	return nil
}
