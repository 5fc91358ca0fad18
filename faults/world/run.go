//go:build linux

package world

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"sftpconnector/faults/model"
	"sftpconnector/faults/schedule"
)

// The bounds of a run.
const (
	startWithin = 60 * time.Second // until the daemon answers
	calmWithin  = 3 * time.Minute  // until all has arrived after the last fault
	// longInterval is from which on recovery within two intervals is asked for: beside
	// a shorter one, the start of the daemon and timeouts count. oneTry is how long
	// the try may take that was under way.
	longInterval = 10 * time.Second
	oneTry       = 15 * time.Second
	restWithin   = 150 * time.Second // until uploads are imported, requests answered, and subscribers told
)

// Run carries a schedule out and checks what came of it. An error means that
// the suite itself could not do its work.
func Run(ctx context.Context, o Options, s schedule.Schedule) (report Report, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.End()+startWithin+calmWithin+3*restWithin+time.Minute)
	defer cancel()
	w, err := build(ctx, o, s)
	if err != nil {
		return Report{}, err
	}
	var group sync.WaitGroup
	running, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		group.Wait()
		err = errors.Join(err, w.close())
	}()
	kept := make(chan error, 1)
	group.Go(func() { kept <- w.daemon.keep(running) })
	w.watch(running, &group)
	group.Go(func() { w.measure(running) })

	if err := w.ready(ctx); err != nil {
		return Report{}, err
	}
	if err := w.subscribe(ctx); err != nil {
		return Report{}, err
	}
	if err := w.happen(ctx); err != nil {
		return Report{}, err
	}
	w.calm(ctx)
	w.checkUse()
	if err := w.check(ctx); err != nil {
		w.notes.violation("the API answers at the end", err.Error())
	}
	stop()
	select {
	case err := <-kept:
		if err != nil {
			return Report{}, err
		}
	case <-ctx.Done():
	}
	if crash := w.daemon.crash(); crash != nil {
		w.notes.violation("the daemon does not crash", crash.Error())
	}
	report = w.report()
	report.Sums.Seconds = time.Since(began).Seconds()
	return report, nil
}

// ready returns when the daemon answers.
func (w *world) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	err := w.until(ctx, func() error {
		err := w.api.call(ctx, http.MethodGet, "/healthz", nil, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("the daemon does not answer: %w; its log: %s", err, last(w.log(), 2000))
	}
	return nil
}

// until tries until it goes well or ctx ends, and gives the last error that was
// not of this end.
func (w *world) until(ctx context.Context, what func() error) error {
	var last error
	for {
		err := what()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if ctx.Err() != nil {
			return last
		}
		wait(ctx, 200*time.Millisecond)
	}
}

// calm lets the product come to rest, after all faults. What does not come to
// rest in time is a violation.
func (w *world) calm(ctx context.Context) {
	calmed := time.Now()
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, calmWithin)
	defer cancel()
	if err := w.ready(ctx); err != nil {
		w.notes.violation("the daemon comes back", err.Error())
		return
	}
	var group sync.WaitGroup
	for _, s := range w.sites {
		group.Go(func() {
			before := int64(-1)
			if err := w.until(ctx, func() error { return w.recovers(ctx, s, &before) }); err != nil {
				w.notes.violation("connectors recover", fmt.Sprintf("%s: %v", s.Name, err))
				return
			}
			took := time.Since(calmed)
			w.notes.recovered(took.Seconds() / s.Interval.Seconds())
			if s.Interval >= longInterval && took > 2*s.Interval+oneTry {
				w.notes.violation("connectors recover", fmt.Sprintf("%s, whose interval is %s, after %s only", s.Name, s.Interval, took.Round(time.Second)))
			}
			_ = w.api.call(ctx, http.MethodPost, "/api/v1/connectors/"+s.Name+"/retry", struct{}{}, nil)
			if err := w.until(ctx, func() error { return w.finishes(ctx, s) }); err != nil {
				w.notes.violation("connectors recover", fmt.Sprintf("%s: %v", s.Name, err))
			}
		})
	}
	for id := range w.spaces {
		group.Go(func() {
			_ = w.api.call(ctx, http.MethodPost, "/api/v1/spaces/"+id+"/retry", struct{}{}, nil)
		})
	}
	group.Wait()
	for _, rest := range []struct {
		promise string
		err     func(context.Context) error
	}{
		{"every upload is imported once", w.importedAll},
		{"requests are answered", w.askedAll},
		{"subscribers are told", w.toldAll},
	} {
		w.rests(whole, rest.promise, rest.err)
	}
}

// rests waits until something has come to rest, which may take two pauses of a minute.
func (w *world) rests(ctx context.Context, promise string, rest func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, restWithin)
	defer cancel()
	if err := w.until(ctx, func() error { return rest(ctx) }); err != nil {
		w.notes.violation(promise, err.Error())
	}
}

// recovers reports whether a connector has had an automatic pass that began
// after the last fault and got through. before is the last pass of before, which
// the first call finds out: the daemon's clock may be wrong. A login that the server refused holds
// the automatic passes; whoever has mended that asks for a check.
func (w *world) recovers(ctx context.Context, s *site, before *int64) error {
	state, err := w.api.connector(ctx, s.Name)
	if err != nil {
		return err
	}
	if state.HeldUntil != nil {
		_ = w.api.call(ctx, http.MethodPost, "/api/v1/connectors/"+s.Name+"/check", nil, nil)
	}
	passes, err := w.api.passes(ctx, s.Name)
	if err != nil {
		return err
	}
	last, through := int64(0), false
	for _, p := range passes {
		id, err := strconv.ParseInt(p.Pass, 10, 64)
		if err != nil {
			continue // it waits for its turn
		}
		last = max(last, id)
		through = through || id > *before && p.Mode == "automatic" && gotThrough(p)
	}
	if *before < 0 {
		*before, through = last, false
	}
	if !through {
		return fmt.Errorf("no pass after pass %d: %s: %s", *before, state.ConnectionStatus, state.Error)
	}
	return nil
}

// gotThrough reports whether a pass has met nothing that keeps it from working.
// Where all that is left are files that stand in each other's way, a pass is told
// as one that could deliver nothing.
func gotThrough(p model.Pass) bool {
	return p.State == "succeeded" || p.State == "partial" || p.ConnectionStatus == "Nothing Deliverable"
}

// finishes has an Apply try what was put off, and reports whether
// nothing is left but what the schedule stands in the way of.
func (w *world) finishes(ctx context.Context, s *site) error {
	p, err := w.api.apply(ctx, s.Name)
	if err != nil {
		return err
	}
	if !gotThrough(p) {
		return fmt.Errorf("apply: %s: %s", p.State, p.Error)
	}
	if p.Files.Waiting > 0 {
		return fmt.Errorf("apply: %d files wait", p.Files.Waiting)
	}
	s.failures = p.Failures
	facts, err := w.facts(ctx, s)
	if err != nil {
		return err
	}
	if v := model.Check(facts); len(v) > 0 {
		return errors.New(v[0].String()) // it may yet become true
	}
	return nil
}

// check has the checker look at all that is known.
func (w *world) check(ctx context.Context) error {
	for _, s := range w.sites {
		facts, err := w.facts(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		w.notes.ended(len(facts.Passes))
		for _, v := range model.Check(facts) {
			w.notes.violation(v.Promise, v.Detail)
		}
	}
	for _, s := range w.spaces {
		facts, err := w.spaceFacts(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.ID, err)
		}
		for _, v := range model.CheckSpace(facts) {
			w.notes.violation(v.Promise, v.Detail)
		}
	}
	return nil
}

// facts are what is known of a connector now.
func (w *world) facts(ctx context.Context, s *site) (model.Facts, error) {
	s.source.settle()
	f := model.Facts{Connector: s.Connector, Versions: s.source.history.All(), Links: s.source.links, Planted: s.planted, Taken: s.taken, Failures: s.failures,
		Posted: w.receiver.deliveriesOf(s.Name), Ended: time.Now(), ClockWrong: w.notes.count(schedule.Clock) > 0}
	w.notes.mu.Lock()
	f.Outages = w.notes.outages[s.Name]
	w.notes.mu.Unlock()
	var err error
	if f.Standing, f.Pending, err = tree(s.destination); err != nil {
		return f, err
	}
	if f.Source, _, err = tree(s.source.dir); err != nil {
		return f, err
	}
	moved, _, err := tree(s.archive())
	if err != nil {
		return f, err
	}
	for _, sum := range moved {
		f.Archive = append(f.Archive, sum)
	}
	if f.Files, err = w.api.files(ctx, "/api/v1/connectors/"+s.Name); err != nil {
		return f, err
	}
	if f.Passes, err = w.api.passes(ctx, s.Name); err != nil {
		return f, err
	}
	if f.Requests, err = w.outcomes(ctx, s); err != nil {
		return f, err
	}
	s.watcher.lookAround()
	f.Seen = s.watcher.sights()
	return f, nil
}

func (w *world) spaceFacts(ctx context.Context, s *spaceSite) (model.SpaceFacts, error) {
	s.watcher.lookAround()
	f := model.SpaceFacts{ID: s.ID, KeepBoth: s.SameName == "keep-both", Uploads: s.uploads, Seen: s.watcher.sights(),
		Posted: w.receiver.deliveriesOf("spaces/" + s.ID)}
	var err error
	if f.Standing, f.Pending, err = tree(s.destination); err != nil {
		return f, err
	}
	f.Inbox, err = w.inbox(ctx, s.ID)
	return f, err
}

// report sums up.
func (w *world) report() Report {
	w.notes.mu.Lock()
	defer w.notes.mu.Unlock()
	r := Report{Violations: w.notes.violations, Sums: Sums{Seeds: 1, Faults: map[string]int{}, Lost: w.notes.forgotten, Recovery: w.notes.recovery, Passes: w.notes.passes, Use: w.notes.use}}
	for _, do := range schedule.Faults() {
		if n := w.notes.steps[string(do)]; n > 0 {
			r.Sums.Faults[string(do)] = n
		}
	}
	r.Sums.PowerCuts = w.notes.steps[string(schedule.PowerCut)]
	r.Sums.Kills = w.notes.steps[string(schedule.Kill)]
	for op, n := range w.disk.Injected() {
		r.Sums.Faults["disk: "+string(op)] += n
	}
	for op, n := range w.data.Injected() {
		r.Sums.Faults["data directory: "+string(op)] += n
	}
	for _, s := range w.sites {
		if s.sftpd != nil {
			for kind, n := range s.sftpd.Injected() {
				r.Sums.Faults["sftp: "+string(kind)] += n
			}
		}
		r.Sums.Versions += len(s.source.history.All())
		r.Sums.Requests += len(s.requests)
		r.Sums.Deliveries += len(w.receiver.deliveriesOf(s.Name))
		r.Sums.add(s.watcher.sights())
	}
	for _, s := range w.spaces {
		r.Sums.Uploads += len(s.uploads)
		r.Sums.Deliveries += len(w.receiver.deliveriesOf("spaces/" + s.ID))
		r.Sums.add(s.watcher.sights())
	}
	return r
}

func (s *Sums) add(sights []model.Sight) {
	s.Files += len(sights)
	for _, sight := range sights {
		s.Bytes += sight.Sum.Size
	}
}

func last(text string, n int) string { return text[max(0, len(text)-n):] }
