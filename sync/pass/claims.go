package pass

import (
	"cmp"
	"context"
	"sync"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

// claims are the target names that files are on their way to.
type claims struct {
	mu       sync.Mutex
	by       map[string]*claim // by target or its key
	released int64             // how many were, so far
}

// claim is one file on its way to a name.
type claim struct {
	path    string
	pass    *Pass
	started bool          // it is being copied
	done    chan struct{} // closed when the name is free again
}

// take claims a name for a path. It gives a copy of what holds the name if another file
// does, or another pass: a request takes from that what it has not begun yet.
// mine says that the name is claimed by this call.
func (c *claims) take(name, path string, p *Pass) (holder claim, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.by[name]
	switch {
	case held == nil:
		c.by[name] = &claim{path: path, pass: p, done: make(chan struct{})}
		return claim{}, true
	case held.path == path && held.pass != p && !held.started && p.o.Mode == filesync.Request:
		held.pass = p
		return claim{}, true
	}
	return *held, false
}

// start notes that a file is being copied. mine is false when another pass has
// taken it, which is through with it when done is closed, or nil.
func (c *claims) start(name string, p *Pass) (mine bool, done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.by[name]
	switch {
	case held == nil:
		return false, nil
	case held.pass != p:
		return false, held.done
	}
	held.started = true
	return true, nil
}

// release frees a name that the pass holds for the path.
func (c *claims) release(name, path string, p *Pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if held := c.by[name]; held != nil && held.pass == p && held.path == path {
		c.free(name, held)
		p.released++
	}
}

func (c *claims) releaseAll(p *Pass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, held := range c.by {
		if held.pass == p {
			c.free(name, held)
		}
	}
}

func (c *claims) free(name string, held *claim) {
	delete(c.by, name)
	c.released++
	close(held.done)
}

// byOthers counts the names that other passes than p have released.
func (c *claims) byOthers(p *Pass) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.released - p.released
}

// owners are the records of the files that own the candidates' names, where
// names can collide.
func (p *Pass) owners(ctx context.Context, cands []candidate) ([]filesync.Record, error) {
	if len(cands) == 0 || cands[0].key == "" {
		return make([]filesync.Record, len(cands)), nil
	}
	keys := make([]string, len(cands))
	for i, c := range cands {
		keys[i] = c.key
	}
	return p.ledger.Owners(ctx, keys)
}

// claim takes the names of candidates, so that no other pass and no other file
// comes in between from now on, and gives those that got theirs. What others have
// delivered since the records were read is read again.
func (p *Pass) claim(ctx context.Context, cands []candidate, released int64) ([]candidate, error) {
	// Whose name it is not must not even hold it for a moment: the owner may come by.
	cands, err := p.entitled(ctx, cands)
	if err != nil {
		return nil, err
	}
	var got []candidate
	for _, c := range cands {
		c.claim = cmp.Or(c.key, c.Destination)
		switch holder, mine := p.claims.take(c.claim, c.Listed.Name, p); {
		case mine:
			got = append(got, c)
		case holder.path != c.Listed.Name:
			p.leave(c, plan.NameTaken(p.rules, c.Destination, holder.path))
		case holder.pass != p:
			p.elsewhere.add(c.Listed, holder.done)
		} // else another listing of the same file has it
	}
	if len(got) > 0 && p.claims.byOthers(p) != released {
		names := make([]string, len(got))
		for i, c := range got {
			names[i] = c.Listed.Name
		}
		recs, err := p.ledger.Find(ctx, names)
		if err != nil {
			return nil, err
		}
		for i, rec := range recs {
			p.rows.Add(rec)
			got[i].Record = rec
			if got[i].Stillness == nil {
				got[i].Stillness = stoodStill
			}
		}
	}
	return p.entitled(ctx, got)
}

// entitled finds the owners of the candidates' names, and leaves out those whose names
// belong to other files.
func (p *Pass) entitled(ctx context.Context, cands []candidate) (rest []candidate, err error) {
	owners, err := p.owners(ctx, cands)
	if err != nil {
		return nil, err
	}
	for i, c := range cands {
		c.Owner = owners[i]
		if o := c.Owner; o.ID != 0 && o.Delivery.Source.Name != c.Listed.Name && (o.Gone || o.After == filesync.AfterDone) {
			copies, err := p.dst.Stat(ctx, []string{c.Owner.Delivery.Target.Name})
			if err != nil {
				return nil, err
			}
			c.OwnersCopy = &copies[0]
		}
		if plan.BelongsToAnother(p.rules, c.Facts) {
			p.leave(c, plan.NameTaken(p.rules, c.Destination, c.Owner.Delivery.Source.Name))
			p.claims.release(c.claim, c.Listed.Name, p)
			continue
		}
		rest = append(rest, c)
	}
	return rest, nil
}
