package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	filesync "sftpconnector/sync"
)

const (
	// flushEvery is how long the rows of passes that found nothing wait to be written
	// together. A program that is killed loses as many of them.
	flushEvery = 5 * time.Second
	flushTime  = 10 * time.Second // of writing them, at most
	// idBlock is how many ids of passes are reserved at a time. Those of a program that
	// is killed are never used.
	idBlock = 100
)

// idlePasses are the passes that are not in the file: those that run and have written
// nothing to their destinations, and those that found nothing to do. They have no
// transactions of their own: many connectors that look every few seconds would keep the
// disk busy with them.
type idlePasses struct {
	db *database

	mu         sync.Mutex
	rows       map[int64]*idlePass
	next, last int64 // the ids that are reserved
	timer      *time.Timer
	closed     bool
	err        error // of the last time that they were written
}

// idlePass is a pass that is not in the file.
type idlePass struct {
	Pass
	c       *part
	id      int64
	writing bool // a transaction writes it
}

// idle reports whether the pass found nothing to do.
func (p Pass) idle() bool { return p.State == filesync.Succeeded && p.Files.Copied == 0 }

// add keeps a pass that starts; ok is false if no id is reserved.
func (i *idlePasses) add(p *idlePass) (ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.next > i.last || i.next == 0 {
		return false
	}
	p.id = i.next
	p.ID = strconv.FormatInt(p.id, 10)
	i.next++
	if i.rows == nil {
		i.rows = map[int64]*idlePass{}
	}
	i.rows[p.id] = p
	return true
}

// reserve takes the ids that were reserved in a transaction.
func (i *idlePasses) reserve(last int64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last > i.last {
		i.next, i.last = last-idBlock+1, last
	}
}

// discard gives up the ids that are reserved: another process may have used greater ones.
func (i *idlePasses) discard() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next, i.last = 0, 0
}

// take gives the passes of a connector (nil: of all), in the order of their ids, to a
// transaction that writes them. It leaves what one before it has written, and not said yet.
func (i *idlePasses) take(c *part) []*idlePass {
	i.mu.Lock()
	defer i.mu.Unlock()
	var taken []*idlePass
	for _, p := range i.rows {
		if !p.writing && (c == nil || p.c.id == c.id) {
			p.writing = true
			taken = append(taken, p)
		}
	}
	slices.SortFunc(taken, func(a, b *idlePass) int { return cmp.Compare(a.id, b.id) })
	return taken
}

// give takes back what was written, or was not.
func (i *idlePasses) give(taken []*idlePass, written bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range taken {
		if p.writing = false; written {
			delete(i.rows, p.id)
		}
	}
}

// ofConnector gives the passes of a connector as they are.
func (i *idlePasses) ofConnector(c *part) []Pass {
	i.mu.Lock()
	defer i.mu.Unlock()
	var passes []Pass
	for _, p := range i.rows {
		if p.c.id == c.id {
			passes = append(passes, p.Pass)
		}
	}
	return passes
}

// ofConnectors gives the passes of many connectors as they are, by name.
func (i *idlePasses) ofConnectors(names []string) map[string][]Pass {
	passes := map[string][]Pass{}
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, p := range i.rows {
		if wanted[p.c.name] {
			passes[p.c.name] = append(passes[p.c.name], p.Pass)
		}
	}
	return passes
}

// forget gives up a pass that did not start.
func (i *idlePasses) forget(p *idlePass) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.rows, p.id)
}

// get gives a pass by its id; nil if it is in the file.
func (i *idlePasses) get(id string) *idlePass {
	n, _ := strconv.ParseInt(id, 10, 64)
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.rows[n]
}

// reserveIDs reserves ids of passes in a transaction, and gives the last.
func reserveIDs(ctx context.Context, tx *sql.Tx) (last int64, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'passes' RETURNING seq", idBlock).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		err = tx.QueryRowContext(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES ('passes', ?) RETURNING seq", idBlock).Scan(&last)
	}
	return last, err
}

// finish notes that a pass found nothing to do. ok is false where that has to be
// written at once: the pass is in the file, or the others could not be written.
func (i *idlePasses) finish(id string, end Pass) (ok bool) {
	n, _ := strconv.ParseInt(id, 10, 64)
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.rows[n]
	if p == nil || p.writing || i.err != nil || i.closed {
		return false
	}
	if p.Mode == filesync.Request {
		delete(i.rows, n)
		return true
	}
	end.ID, end.Mode, end.Started = p.ID, p.Mode, p.Started
	p.Pass = end
	return true
}

// arm has the passes written in a while.
func (i *idlePasses) arm() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer == nil && !i.closed {
		i.timer = time.AfterFunc(flushEvery, func() {
			i.mu.Lock()
			i.timer = nil
			i.mu.Unlock()
			ctx, cancel := context.WithTimeout(context.Background(), flushTime)
			defer cancel()
			if i.flush(ctx) != nil {
				i.arm()
			}
		})
	}
}

// flush writes the passes that are not in the file.
func (i *idlePasses) flush(ctx context.Context) error {
	i.mu.Lock()
	none := len(i.rows) == 0
	i.mu.Unlock()
	if none {
		return nil
	}
	err := i.writing(ctx, nil, func(*sql.Tx) error { return nil })
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
	return err
}

// writing writes the passes of a connector (nil: of all) that are not in the file, and
// what f does, in one transaction.
func (i *idlePasses) writing(ctx context.Context, c *part, f func(*sql.Tx) error) error {
	var taken []*idlePass
	err := i.db.update(ctx, func(tx *sql.Tx) error {
		taken = i.take(c)
		for _, p := range taken {
			if err := p.write(ctx, tx); err != nil {
				return err
			}
		}
		return f(tx)
	})
	i.give(taken, err == nil)
	return err
}

// write writes the row of a pass, unless its connector was taken over.
func (p *idlePass) write(ctx context.Context, tx *sql.Tx) error {
	_, err := p.c.draw(ctx, tx, 0)
	if _, taken := errors.AsType[*TakenOverError](err); taken {
		return nil
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, "INSERT INTO passes (id, connector, mode, state, started) VALUES (?, ?, ?, 'running', ?)", p.id, p.c.id, p.Mode, p.Started.UnixMilli())
	}
	if err == nil && p.State != filesync.Running {
		err = passes{p.c}.end(ctx, tx, p.Pass)
	}
	return err
}

// WillWrite implements transfer.Ledger.
func (c passes) WillWrite(ctx context.Context, pass string) error {
	if c.ledger.idle.get(pass) == nil {
		return nil
	}
	err := c.ledger.idle.writing(ctx, c.part, func(tx *sql.Tx) error {
		_, err := c.draw(ctx, tx, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: pass %s: %w", pass, err)
	}
	return nil
}

// close writes what is left, and gives the ids back that were not used.
func (i *idlePasses) close() error {
	i.mu.Lock()
	if i.timer != nil {
		i.timer.Stop()
	}
	i.closed = true
	next, last := i.next, i.last
	i.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	err := i.flush(ctx)
	if next <= last && last > 0 {
		_, gerr := i.db.change(ctx, "UPDATE sqlite_sequence SET seq = ? WHERE name = 'passes' AND seq = ?", next-1, last)
		err = errors.Join(err, gerr)
	}
	return err
}

// withIdle gives the last passes, newest first: of those in the file, and those that are
// not yet.
func withIdle(inFile, not []Pass, limit int) []Pass {
	merged, hides := slices.Clone(inFile), map[string]bool{}
	for _, p := range not {
		if !slices.ContainsFunc(inFile, func(have Pass) bool { return have.ID == p.ID }) {
			merged = append(merged, p)
			hides[p.ID] = p.idle()
		}
	}
	number := func(p Pass) int64 { n, _ := strconv.ParseInt(p.ID, 10, 64); return n }
	slices.SortFunc(merged, func(a, b Pass) int { return cmp.Compare(number(b), number(a)) })
	shown, hidden := merged[:0], false
	for _, p := range merged {
		if p.Mode == filesync.Request {
			shown = append(shown, p)
			continue
		}
		if !hidden || p.Mode != filesync.Automatic || !p.idle() {
			shown = append(shown, p)
		}
		hidden = hides[p.ID]
	}
	return shown[:min(limit, len(shown))]
}
