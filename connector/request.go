package connector

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

// maxRequests is how many requests of one connector run at a time; the others
// wait for their turn.
const maxRequests = 16

// MaxMatches is how many files one request may match: its answer names them all.
const MaxMatches = 200_000

// Errors of requests.
var (
	// ErrTooMany: more files match a request than its answer may name.
	ErrTooMany = errors.New("more than 200,000 files match: narrow the filters down")
	// ErrHeld: the server refused the login a short while ago.
	ErrHeld = errors.New("the server refused the login a short while ago, and accounts get locked by trying on")
)

// RequestReport is what became of the files that a request matches, each in the
// order of their names.
type RequestReport struct {
	There   []RequestedFile // at the destination, complete and durable
	Waiting []RequestedFile // not ready, with the reason
	Failed  []RequestedFile // and directories that could not be read
	Status  status.Word     // the Connection Status at its end
}

// RequestedFile is one of them.
type RequestedFile struct {
	Source filesync.Entry
	Target string // its name below the destination; "" when it is not there
	Copied bool   // by this request
	Reason string
	// Unverified says that the source did not confirm what was read.
	Unverified bool
}

// Request makes sure that every ready file that sel matches is at the
// destination, beside all other passes. started, which may be nil, is given a
// look at the progress once the connection stands. The report is as far as it came when
// there is an error: ErrBusy, ErrStopped, a *PausedError, ErrTooMany, ErrHeld, the context's
// cause, a *status.Error, or one of the ledger.
func (c *Connector) Request(ctx context.Context, sel *filesync.Selection, started func(progress func() filesync.Progress)) (RequestReport, error) {
	done, err := c.begin()
	if err != nil {
		return RequestReport{}, err
	}
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return RequestReport{}, context.Cause(ctx)
	}
	if err := c.Refused(); err != nil { // while it waited for its turn
		return RequestReport{}, err
	}
	sel = sel.Below(rootOf(c.cfg))
	collected := &collector{sel: sel, filter: c.filter, found: map[string]found{}, full: func() { cancel(ErrTooMany) }}
	r := newRun(filesync.Request)
	r.selection, r.observe, r.began = sel, collected, started
	r.started = time.Now()
	p, err := c.pass(ctx, r)
	if err == nil {
		err = p.Result.Err
	}
	if err == nil || p.ID != "" {
		c.count(p)
	}
	return collected.report(p), err
}

// begin counts a request in, so that stop waits for it.
func (c *Connector) begin() (done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, ErrStopped
	}
	if err := c.refusePaused(); err != nil {
		return nil, err
	}
	c.passes.Add(1)
	c.requests++
	return func() {
		c.mu.Lock()
		c.requests--
		c.mu.Unlock()
		c.passes.Done()
	}, nil
}

// collector notes what a pass decides about the files that match.
type collector struct {
	sel    *filesync.Selection
	filter *filesync.Filter
	full   func() // called when there are too many

	mu    sync.Mutex
	found map[string]found // by the name at the source
}

type found struct {
	RequestedFile
	state filesync.State
}

// there reports whether the file is at the destination.
func (f found) there() bool {
	return f.state == filesync.StateDelivered || f.state == filesync.StatePresent
}

// decided is told of each decision; the last about a file counts.
func (c *collector) decided(d filesync.Decision) {
	if !c.asked(d.Entry) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d.State == filesync.StateExcluded { // it went away
		delete(c.found, d.Entry.Name)
		return
	}
	known := c.found[d.Entry.Name]
	if known.Copied && d.State == filesync.StateDelivered && known.Source.SameVersion(d.Entry) {
		return // by this very request, before its pass began anew
	}
	c.note(found{RequestedFile{Source: d.Entry, Target: d.Target, Reason: d.Reason, Unverified: d.Unverified}, d.State})
}

// delivered is told of each delivered file.
func (c *collector) delivered(d filesync.Delivered) {
	v := d.Delivery
	if !c.asked(v.Source) {
		return // of another pass, which was killed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(found{RequestedFile{Source: v.Source, Target: v.Target.Name, Copied: !v.Adopted, Unverified: v.After == filesync.AfterUnverified}, filesync.StateDelivered})
}

func (c *collector) asked(e filesync.Entry) bool { return c.sel.Match(e) && c.filter.Excluded(e) == "" }

// note keeps what is known of a file. The caller holds c.mu.
func (c *collector) note(f found) {
	if _, known := c.found[f.Source.Name]; !known && len(c.found) >= MaxMatches {
		c.full()
		return
	}
	c.found[f.Source.Name] = f
}

// report sorts what was found.
func (c *collector) report(p PassReport) RequestReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := RequestReport{Status: p.Status}
	for _, f := range c.found {
		if f.there() {
			r.There = append(r.There, f.RequestedFile)
			continue
		}
		switch f.state {
		case filesync.StateWaiting:
			r.Waiting = append(r.Waiting, f.RequestedFile)
			continue
		case filesync.StateNew, filesync.StateChanged, filesync.StateCopying:
			f.Reason = "not copied yet when the request ended"
		}
		r.Failed = append(r.Failed, f.RequestedFile)
	}
	for _, x := range p.Result.Failures {
		if !x.Unlisted {
			continue
		}
		reason := x.Error
		if f, known := c.found[x.Name]; known && f.there() {
			reason = "a version of it is there; what the source has now is not known: " + reason
		}
		r.Failed = append(r.Failed, RequestedFile{Source: filesync.Entry{Name: x.Name}, Reason: reason})
	}
	if p.Result.Incomplete && len(r.Failed) == 0 { // there were too many failures to name this one
		r.Failed = append(r.Failed, RequestedFile{Reason: "a directory could not be read"})
	}
	for _, list := range [][]RequestedFile{r.There, r.Waiting, r.Failed} {
		slices.SortFunc(list, func(a, b RequestedFile) int {
			return cmp.Or(strings.Compare(a.Target, b.Target), strings.Compare(a.Source.Name, b.Source.Name))
		})
	}
	return r
}
