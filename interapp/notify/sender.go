package notify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sftpconnector/backoff"
	"sftpconnector/sync/ledger"
)

const (
	slots       = 16          // lanes that are served at the same time
	slotsAHost  = 4           // of them, those of one host
	turn        = 16          // postings that a lane makes until another one may have its slot
	longestIdle = time.Minute // other processes write to the outbox too, and wake nobody
)

// Outbox keeps what is to be posted, durably. It is called concurrently, but not for
// two rows of one lane.
type Outbox interface {
	// Lanes, Due and Failed are those of ledger.Outbox.
	Lanes(ctx context.Context, now time.Time, busy []ledger.Lane, hosts []string, limit int) (lanes []ledger.Lane, next time.Time, err error)
	Due(ctx context.Context, lane ledger.Lane, now time.Time, limit int) ([]ledger.OutboxRow, error)
	Failed(ctx context.Context, r ledger.OutboxRow, next time.Time, text string) error
	// Load gives what to post; false when there is nothing any more, in which case
	// Due does not give the row again.
	Load(ctx context.Context, r ledger.OutboxRow) (m Message, ok bool, err error)
	// Posted records that the receiver has the message.
	Posted(ctx context.Context, r ledger.OutboxRow, m Message) error
}

// Sender posts what an Outbox has, until it is taken.
//
// A lane is what one receiver is to be told of one kind. Each makes one posting at a
// time, in order, so that a slow receiver holds up only itself. Sixteen lanes are
// served at the same time, at most four of them at one host. A posting that fails is
// tried again as backoff.Posting says; others of its lane do not wait for it.
type Sender struct {
	outbox Outbox
	post   func(context.Context, Message) error
	log    *slog.Logger
	wake   chan struct{}
}

// NewSender makes a Sender that posts by the given function: a Poster's Post.
func NewSender(outbox Outbox, post func(context.Context, Message) error, log *slog.Logger) *Sender {
	return &Sender{outbox: outbox, post: post, log: log, wake: make(chan struct{}, 1)}
}

// Wake says that something new is due.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run posts until ctx ends, and returns when all it has started has ended. A try
// that is cut short by that is made again by the next Run.
func (s *Sender) Run(ctx context.Context) {
	a := &active{hosts: map[string]int{}, ended: make(chan ledger.Lane, slots)}
	defer a.wait.Wait()
	for {
		idle := s.serve(ctx, a)
		select {
		case <-ctx.Done():
			return
		case lane := <-a.ended:
			a.remove(lane)
		case <-s.wake:
		case <-time.After(idle):
		}
	}
}

// serve begins with lanes in which something is due, as long as there are slots, and
// gives the time after which to look again.
func (s *Sender) serve(ctx context.Context, a *active) (idle time.Duration) {
	for len(a.lanes) < slots {
		now := time.Now()
		lanes, next, err := s.outbox.Lanes(ctx, now, a.lanes, a.fullHosts(), slots-len(a.lanes))
		switch {
		case err != nil:
			if ctx.Err() == nil {
				s.log.Error("what is to be posted could not be read", "error", err)
			}
			return backoff.Ledger.Wait(1)
		case len(lanes) == 0 && next.IsZero():
			return longestIdle
		case len(lanes) == 0:
			return min(next.Sub(now), longestIdle)
		}
		for _, lane := range lanes {
			if a.add(lane) {
				a.wait.Go(func() {
					s.work(ctx, lane)
					a.ended <- lane
				})
			}
		}
	}
	return longestIdle // a lane ends before
}

// work makes a try for the next postings of a lane.
func (s *Sender) work(ctx context.Context, lane ledger.Lane) {
	due, err := s.outbox.Due(ctx, lane, time.Now(), turn)
	for _, r := range due {
		if ctx.Err() == nil && err == nil {
			err = s.try(ctx, r)
		}
	}
	if err == nil || ctx.Err() != nil {
		return
	}
	s.log.Error("a posting could not be read or recorded", "receiver", lane.Receiver, "kind", lane.Kind, "error", err)
	// It may have been taken, and is due still: not again at once.
	select {
	case <-ctx.Done():
	case <-time.After(backoff.Ledger.Wait(1)):
	}
}

// try makes a try, and records what came of it. Its error is of recording. What
// can't be loaded counts as a try too, so that it does not stand in the way.
func (s *Sender) try(ctx context.Context, r ledger.OutboxRow) error {
	m, ok, err := s.outbox.Load(ctx, r)
	if err == nil && !ok {
		return nil
	}
	if err == nil {
		if err = s.post(ctx, m); err == nil {
			if r.Tries > 0 {
				s.log.Info("posted", "posting", r.String(), "url", r.Receiver, "tries", r.Tries+1)
			}
			return s.outbox.Posted(context.WithoutCancel(ctx), r, m)
		}
	}
	if ctx.Err() != nil {
		return nil // the program ends, which is nobody's fault
	}
	r.Tries++
	var next time.Time
	if !errors.Is(err, ErrGone) {
		next = time.Now().Add(backoff.Posting.Wait(r.Tries))
	}
	level := slog.LevelDebug // the log tells of the first try, and when there will be no more
	if r.Tries == 1 || next.IsZero() {
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "not posted", "posting", r.String(), "url", r.Receiver, "tries", r.Tries, "next", next, "error", err,
		"hint", "See that the receiver runs and can be reached; it is tried again until it takes it.")
	return s.outbox.Failed(ctx, r, next, err.Error())
}

// active are the lanes that are served. Only Run's goroutine looks at them.
type active struct {
	lanes []ledger.Lane
	hosts map[string]int
	ended chan ledger.Lane // one place for each lane, so that none waits
	wait  sync.WaitGroup
}

// add takes a slot for a lane that has none, unless there is none at its host.
func (a *active) add(lane ledger.Lane) bool {
	if a.hosts[lane.Host] == slotsAHost {
		return false
	}
	a.lanes = append(a.lanes, lane)
	a.hosts[lane.Host]++
	return true
}

func (a *active) remove(lane ledger.Lane) {
	a.lanes = slices.DeleteFunc(a.lanes, func(l ledger.Lane) bool { return l == lane })
	a.hosts[lane.Host]--
}

// fullHosts are those that have no slot left.
func (a *active) fullHosts() (full []string) {
	for host, n := range a.hosts {
		switch n {
		case 0:
			delete(a.hosts, host)
		case slotsAHost:
			full = append(full, host)
		}
	}
	return full
}
