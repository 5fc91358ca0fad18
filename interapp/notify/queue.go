package notify

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

const (
	slots       = 16          // receivers that are posted to at the same time
	slotsAHost  = 4           // of them, those of one host and port
	firstScan   = 64          // postings that are asked for at first
	longestIdle = time.Minute // other processes write to the store too, and wake nobody
	storePause  = 5 * time.Second

	firstRetry = time.Second
	lastRetry  = 5 * time.Minute
)

// Posting is one thing that a Store has to post.
type Posting struct {
	ID    string // in the store
	URL   string
	Tries int // that failed
}

// Store keeps what is to be posted, durably. It is called concurrently, but not
// for two postings with the same URL.
type Store interface {
	// Due gives what is due at now: at most limit, what is due longest first.
	// Of postings that have to keep an order it gives the first only, and none
	// while that is not due. next is when the first of those after now will be
	// due; zero for none.
	Due(ctx context.Context, now time.Time, limit int) (due []Posting, next time.Time, err error)
	// Load gives what to post; false when there is nothing any more, in which case
	// Due does not give it again.
	Load(ctx context.Context, p Posting) (m Message, ok bool, err error)
	// Posted records that the receiver has the message.
	Posted(ctx context.Context, p Posting, m Message) error
	// Failed records a try that failed, the one that p.Tries ends with, and when
	// the next may be made; zero for never.
	Failed(ctx context.Context, p Posting, next time.Time, text string) error
}

// Queue posts what a Store has, until it is taken.
//
// Sixteen receivers are served at the same time, at most four of them at one
// host. A receiver is a URL without its query; it gets one posting at a time,
// so that a slow one holds up only itself. A posting that fails is tried again
// after a second, and then after twice as long each time, up to five minutes;
// other postings for the same receiver do not wait for it.
type Queue struct {
	store Store
	post  func(context.Context, Message) error
	log   *slog.Logger
	wake  chan struct{}
}

// NewQueue makes a Queue that posts by the given function: a Poster's Post.
func NewQueue(store Store, post func(context.Context, Message) error, log *slog.Logger) *Queue {
	return &Queue{store: store, post: post, log: log, wake: make(chan struct{}, 1)}
}

// Wake says that something new is due.
func (q *Queue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// Run posts until ctx ends, and returns when all it has started has ended. A
// try that is cut short by that is made again by the next Run.
func (q *Queue) Run(ctx context.Context) {
	w := &workers{receivers: map[string]bool{}, hosts: map[string]int{}, ended: make(chan string, slots)}
	defer w.wait.Wait()
	for {
		idle := q.serve(ctx, w)
		select {
		case <-ctx.Done():
			return
		case receiver := <-w.ended:
			w.remove(receiver)
		case <-q.wake:
		case <-time.After(idle):
		}
	}
}

// serve starts a worker for every receiver that something is due for, as long
// as there are slots, and gives the time after which to look again.
func (q *Queue) serve(ctx context.Context, w *workers) (idle time.Duration) {
	// Those that have a worker already may be all that is given: more are asked
	// for then, so that they do not stand in the way of others.
	for limit := firstScan; len(w.receivers) < slots; limit *= 2 {
		now := time.Now()
		due, next, err := q.store.Due(ctx, now, limit)
		if err != nil {
			if ctx.Err() == nil {
				q.log.Error("what is to be posted could not be read", "error", err)
			}
			return storePause
		}
		lanes := map[string][]Posting{}
		for _, p := range due {
			lanes[receiver(p.URL)] = append(lanes[receiver(p.URL)], p)
		}
		for _, p := range due {
			if to := receiver(p.URL); w.add(to) {
				w.wait.Go(func() {
					q.work(ctx, lanes[to])
					w.ended <- to
				})
			}
		}
		if len(due) < limit {
			if next.IsZero() {
				return longestIdle
			}
			return min(next.Sub(now), longestIdle)
		}
	}
	return longestIdle // a worker ends before, or what it does is all that is due
}

// work makes a try for each of a receiver's postings.
func (q *Queue) work(ctx context.Context, lane []Posting) {
	for _, p := range lane {
		if ctx.Err() != nil {
			return
		}
		if err := q.try(ctx, p); err != nil && ctx.Err() == nil {
			q.log.Error("a posting was not recorded", "posting", p.ID, "error", err)
			// It may have been taken, and is due still: not again at once.
			select {
			case <-ctx.Done():
			case <-time.After(storePause):
			}
			return
		}
	}
}

// try makes a try, and records what came of it. Its error is of recording. What
// can't be loaded counts as a try too, so that it does not stand in the way.
func (q *Queue) try(ctx context.Context, p Posting) error {
	m, ok, err := q.store.Load(ctx, p)
	if err == nil && !ok {
		return nil
	}
	if err == nil {
		if err = q.post(ctx, m); err == nil {
			if p.Tries > 0 {
				q.log.Info("posted", "posting", p.ID, "url", receiver(p.URL), "tries", p.Tries+1)
			}
			return q.store.Posted(context.WithoutCancel(ctx), p, m)
		}
	}
	if ctx.Err() != nil {
		return nil // the program ends, which is nobody's fault
	}
	p.Tries++
	var next time.Time
	if !errors.Is(err, ErrGone) {
		next = time.Now().Add(backoff(p.Tries))
	}
	level := slog.LevelDebug // the log tells of the first try, and when there will be no more
	if p.Tries == 1 || next.IsZero() {
		level = slog.LevelWarn
	}
	q.log.Log(ctx, level, "not posted", "posting", p.ID, "url", receiver(p.URL), "tries", p.Tries, "next", next, "error", err,
		"hint", "See that the receiver runs and can be reached; it is tried again until it takes it.")
	return q.store.Failed(ctx, p, next, err.Error())
}

// backoff is the time from a failed try to the next: a second after the first,
// doubling to five minutes, and of that the half to all, so that what failed
// together does not come again together.
func backoff(tries int) time.Duration {
	full := lastRetry
	if doublings := max(tries-1, 0); doublings < 9 { // 2⁹ s are over five minutes
		full = min(firstRetry<<doublings, lastRetry)
	}
	return full/2 + rand.N(full/2+1)
}

// receiver is the part of a URL that tells receivers apart: callers number
// their requests in the query.
func receiver(url string) string {
	before, _, _ := strings.Cut(url, "?")
	return before
}

// workers are what runs. Only Run's goroutine looks at the maps.
type workers struct {
	receivers map[string]bool
	hosts     map[string]int
	ended     chan string // receivers; one place for each worker, so that none waits
	wait      sync.WaitGroup
}

// host is the scheme, host and port of a receiver.
func host(receiver string) string {
	scheme, rest, _ := strings.Cut(receiver, "://")
	authority, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + authority
}

// add takes a slot for the receiver, unless it has one, or there is none.
func (w *workers) add(receiver string) bool {
	at := host(receiver)
	if w.receivers[receiver] || len(w.receivers) == slots || w.hosts[at] == slotsAHost {
		return false
	}
	w.receivers[receiver] = true
	w.hosts[at]++
	return true
}

func (w *workers) remove(receiver string) {
	at := host(receiver)
	delete(w.receivers, receiver)
	if w.hosts[at]--; w.hosts[at] == 0 {
		delete(w.hosts, at)
	}
}
