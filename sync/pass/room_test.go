package pass_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// tight is a destination with little room, which pending files take as they grow
// and give back when they are given up.
type tight struct {
	filesync.Destination
	mu     sync.Mutex
	room   int64
	failed int // writes that found none
}

func (d *tight) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	p, err := d.Destination.Begin(ctx, e, resume)
	if err != nil {
		return nil, err
	}
	return &tightFile{Pending: p, d: d}, nil
}

func (d *tight) Sync(ctx context.Context, batch []filesync.Pending) []error {
	plain := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		plain[i] = p.(*tightFile).Pending
	}
	return d.Destination.Sync(ctx, plain)
}

func (d *tight) Publish(ctx context.Context, batch []filesync.Publication) []error {
	for i := range batch {
		batch[i].Pending = batch[i].Pending.(*tightFile).Pending
	}
	return d.Destination.Publish(ctx, batch)
}

type tightFile struct {
	filesync.Pending
	d     *tight
	taken int64 // d.mu guards it
}

func (p *tightFile) WriteAt(b []byte, off int64) (int, error) {
	p.d.mu.Lock()
	fits := int64(len(b)) <= p.d.room
	if fits {
		p.d.room -= int64(len(b))
		p.taken += int64(len(b))
	} else {
		p.d.failed++
	}
	p.d.mu.Unlock()
	if !fits {
		return 0, &status.Error{Word: status.DestinationUnavailable, Op: "write", Err: filesync.ErrFull}
	}
	return p.Pending.WriteAt(b, off)
}

func (p *tightFile) Abort(ctx context.Context) error {
	p.d.mu.Lock()
	p.d.room += p.taken
	p.taken = 0
	p.d.mu.Unlock()
	return p.Pending.Abort(ctx)
}

// Files that do not fit together are tried alone: those that fit arrive.
func TestFilesThatFitAlone(t *testing.T) {
	b := newBench(t)
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	b.to = &tight{Destination: dst, room: 8 << 10}
	b.src.Block = 100
	// All are begun before one is written to its end.
	var begun sync.WaitGroup
	begun.Add(6)
	first := map[string]*sync.Once{}
	for i := range 6 {
		name := fmt.Sprint(i)
		first[name] = new(sync.Once)
		b.src.Put(name, string(make([]byte, 6<<10)), old)
	}
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		first[e.Name].Do(func() { begun.Done(); begun.Wait() })
		return nil
	}
	r := b.pass(filesync.Automatic)
	if r.Files.Copied != 1 || r.Files.Failed != 5 || r.Outcome != filesync.Failed {
		t.Errorf("%s %+v %v", r.Outcome, r.Files, r.Err)
	}
}

// Many passes and requests on a destination that fills up: each ends by itself,
// with an answer for every file that it matches, and what fits arrives once.
func TestManyOnAFullDestinationEnd(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { manyOnAFullDestination(t, rand.New(rand.NewPCG(seed, 11))) })
		})
	}
}

func manyOnAFullDestination(t *testing.T, random *rand.Rand) {
	const files, passes = 12, 6
	b := newBench(t)
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	b.to = &tight{Destination: dst, room: 16 << 10}
	b.src.Block = 500
	for i := range files {
		b.src.Put(fmt.Sprintf("f%02d", i), string(make([]byte, 1000+random.IntN(7000))), old)
	}
	var mu sync.Mutex
	pause := func(most time.Duration) {
		mu.Lock()
		d := time.Duration(random.Int64N(int64(most)))
		mu.Unlock()
		time.Sleep(d)
	}
	b.src.OnFetch = func(filesync.Entry, int64) error { pause(time.Second); return nil }
	ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
	defer cancel()
	var all sync.WaitGroup
	copied := make([]map[string]int, passes)
	for i := range passes {
		mode, sel, matches := filesync.Request, selection(t, "regex:f.[0-"+fmt.Sprint(i+3)+"]", time.Time{}, time.Time{}), i+6
		if i == 0 {
			mode, sel, matches = filesync.Automatic, nil, files
		}
		all.Go(func() {
			pause(10 * time.Second)
			r, a := b.run(ctx, mode, sel)
			copied[i] = a.copied
			answered := len(a.names(filesync.StateDelivered, filesync.StatePresent, filesync.StateFailed, filesync.StateWaiting))
			if ctx.Err() != nil || answered != matches || r.Outcome == filesync.Failed && !errors.Is(r.Err, filesync.ErrFull) {
				t.Errorf("%s %d: %s, answers for %d files of %d, %v", mode, i, r.Outcome, answered, matches, r.Err)
			}
		})
	}
	all.Wait()
	times := map[string]int{}
	for _, c := range copied {
		for name, n := range c {
			if times[name] += n; times[name] > 1 {
				t.Errorf("%s was delivered %d times", name, times[name])
			}
		}
	}
	if len(times) == 0 {
		t.Error("nothing was delivered")
	}
	b.noPending()
}

// A pass that waits for one that hangs ends, as every wait has an end.
func TestWaitingForOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.src.Put("f", "data", old)
		begun, release := make(chan struct{}), make(chan struct{})
		b.src.OnFetch = func(filesync.Entry, int64) error {
			close(begun)
			<-release // whatever its context
			return errors.New("over")
		}
		var all sync.WaitGroup
		all.Go(func() { b.run(t.Context(), filesync.Automatic, nil) })
		<-begun
		started := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		r, _ := b.run(ctx, filesync.Request, selection(t, "f", time.Time{}, time.Time{}))
		if took := time.Since(started); r.Outcome != filesync.Failed || took > time.Hour || !status.Is(r.Err, status.ConnectionTimedOut) {
			t.Errorf("%s after %s: %v", r.Outcome, took, r.Err)
		}
		close(release)
		all.Wait()
	})
}

// One that waits for a slow one does not end before that: it makes progress.
func TestWaitingForASlowOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.src.Block = 1 << 10
		b.src.Put("f", bulk(100<<10), old)
		begun := make(chan struct{})
		var once sync.Once
		b.src.OnFetch = func(filesync.Entry, int64) error {
			once.Do(func() { close(begun) })
			time.Sleep(time.Minute)
			return nil
		}
		var all sync.WaitGroup
		all.Go(func() { b.run(t.Context(), filesync.Automatic, nil) })
		<-begun
		if r, a := b.request("f"); r.Outcome != filesync.Succeeded || a.there() != "f" {
			t.Errorf("%s %v", r.Outcome, r.Err)
		}
		all.Wait()
	})
}
