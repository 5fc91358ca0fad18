package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/transfer"
)

// model knows what a queue must not do, and fails at random what it is asked for.
type model struct {
	t      *testing.T
	random func(n int) int

	mu       sync.Mutex
	writing  map[string]bool // names that are being written
	reading  map[string]bool // versions that are being read
	arrived  map[string]bool // versions that were read to the end and are delivered
	room     int64           // bytes that fit beside each other
	lost     bool            // the destination's connection
	failures bool
}

func version(e filesync.Entry) string { return fmt.Sprint(e.Name, " ", e.Size) }

// fails draws whether something fails, one time in n.
func (m *model) fails(n int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failures && m.random(n) == 0
}

// source is a source that the model watches.
type source struct {
	*storetest.Memory
	m *model
}

func (s source) Fetch(ctx context.Context, e filesync.Entry, from int64, w io.WriterAt) (filesync.Entry, error) {
	s.m.mu.Lock()
	if s.m.reading[version(e)] || s.m.arrived[version(e)] {
		s.m.t.Errorf("%s is read twice", version(e))
	}
	s.m.reading[version(e)] = true
	pause := time.Duration(s.m.random(3000)) * time.Millisecond
	s.m.mu.Unlock()
	defer func() {
		s.m.mu.Lock()
		defer s.m.mu.Unlock()
		delete(s.m.reading, version(e))
	}()
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return filesync.Entry{}, context.Cause(ctx)
	}
	switch {
	case s.m.fails(8):
		return filesync.Entry{}, errors.New("read: failure")
	case s.m.fails(30):
		return filesync.Entry{}, &status.Error{Word: status.ConnectionLost, Op: "read", Err: io.ErrUnexpectedEOF}
	}
	return s.Memory.Fetch(ctx, e, from, w)
}

// destination is a directory that the model watches.
type destination struct {
	filesync.Destination
	m *model
}

func (d destination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	d.m.mu.Lock()
	lost, taken, fits := d.m.lost, d.m.writing[e.Name], d.m.room >= e.Size
	d.m.writing[e.Name] = true
	if fits {
		d.m.room -= e.Size
	}
	d.m.mu.Unlock()
	switch {
	case lost:
		return nil, errLost
	case taken:
		d.m.t.Errorf("%s has two writers", e.Name)
	case !fits:
		d.m.end(e, false)
		return nil, fmt.Errorf("begin: %w", filesync.ErrFull)
	case d.m.fails(20):
		d.m.end(e, true)
		return nil, errors.New("begin: failure")
	}
	p, err := d.Destination.Begin(ctx, e, resume)
	if err != nil {
		d.m.end(e, true)
		return nil, err
	}
	return &watched{Pending: p, m: d.m, e: e}, nil
}

// end notes that a name is written no more.
func (m *model) end(e filesync.Entry, gives bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.writing, e.Name)
	if gives {
		m.room += e.Size
	}
}

// errLost is the loss of a destination's connection.
var errLost = fmt.Errorf("%w: %w", filesync.ErrDisconnected, &status.Error{Word: status.ConnectionLost, Op: "write"})

func (d destination) Sync(ctx context.Context, batch []filesync.Pending) []error {
	inner := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		inner[i] = p.(*watched).Pending
	}
	errs := d.Destination.Sync(ctx, inner)
	for i := range errs {
		if d.m.fails(20) {
			errs[i] = errors.New("sync: failure")
		}
	}
	return errs
}

func (d destination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	d.m.mu.Lock()
	lost := d.m.lost
	d.m.mu.Unlock()
	errs := make([]error, len(batch))
	for i, p := range batch {
		mine := p.Pending.(*watched)
		if errs[i] = errLost; lost {
			continue
		}
		errs[i] = d.Destination.Publish(ctx, []filesync.Publication{{Pending: mine.Pending, Replaces: p.Replaces}})[0]
		if errs[i] == nil {
			d.m.end(mine.e, true)
			d.m.mu.Lock()
			d.m.arrived[version(mine.source)] = true
			d.m.mu.Unlock()
		}
	}
	return errs
}

// watched is a pending file that the model watches.
type watched struct {
	filesync.Pending
	m      *model
	e      filesync.Entry
	source filesync.Entry
	once   sync.Once
}

func (p *watched) Finish(ctx context.Context) (filesync.Entry, error) {
	p.source = p.e
	return p.Pending.Finish(ctx)
}

func (p *watched) Abort(ctx context.Context) error {
	p.once.Do(func() { p.m.end(p.e, true) })
	return p.Pending.Abort(ctx)
}

func (p *watched) Keep() error {
	p.once.Do(func() { p.m.end(p.e, true) })
	return p.Pending.Keep()
}

// submitter is a pass that knows how many answers it waits for.
type submitter struct {
	t      *testing.T
	ledger transfer.Ledger
	abort  context.CancelCauseFunc

	mu    sync.Mutex
	queue *transfer.Client
	waits map[string]int // answers by name
}

func (s *submitter) file(e filesync.Entry, now int64) transfer.File {
	return transfer.File{Entry: e, Name: e.Name, Decided: now}
}

func (s *submitter) DecideAgain(ctx context.Context, e filesync.Entry) (transfer.File, bool, error) {
	now := s.queue.Now()
	recs, err := s.ledger.Find(ctx, []string{e.Name})
	if err != nil {
		return transfer.File{}, false, err
	}
	f := s.file(e, now)
	if r := recs[0]; r.ID != 0 {
		f.Replaces = &r.Delivery.Target
		return f, !r.Delivered(e), nil
	}
	return f, true, nil
}

func (s *submitter) Done(r transfer.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits[r.Entry.Name]--
	if s.waits[r.Entry.Name] < 0 {
		s.t.Errorf("%s is answered twice", r.Entry.Name)
	}
}

func (s *submitter) Recovered(filesync.Delivery)                  {}
func (s *submitter) OriginalLeft(filesync.Entry, error, string)   {}
func (s *submitter) OriginalDiffers(filesync.Entry, error, int64) {}
func (s *submitter) Doing(string)                                 {}
func (s *submitter) Wrote(int64)                                  {}
func (s *submitter) End(err error)                                { s.abort(err) }

// Many passes submit the same files, in versions of their own, while reads and writes
// fail, the destination is full or lost, and passes are cancelled: each pass that stays
// has an answer for every file, no name has two writers, no version is read again once
// it is delivered, and nothing is left when all have gone.
func TestQueueModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runModel(t, seed) })
		})
	}
}

func runModel(t *testing.T, seed uint64) {
	drawn := rand.New(rand.NewPCG(seed, 7))
	m := &model{t: t, random: rand.New(rand.NewPCG(seed, 8)).IntN, writing: map[string]bool{}, reading: map[string]bool{}, arrived: map[string]bool{}, room: 1 << 30, failures: seed%4 != 0}
	if seed%3 == 0 {
		m.room = 60 << 10
	}
	memory := storetest.NewMemory()
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	const files = 8
	var entries []filesync.Entry
	for i := range files {
		name := fmt.Sprintf("f%02d", i)
		data := make([]byte, (1+drawn.IntN(30))<<10)
		memory.Put(name, string(data), when)
		entries = append(entries, filesync.Entry{Name: name, Size: int64(len(data)), ModTime: when})
	}
	var changing sync.Mutex
	entry := func(i int) filesync.Entry {
		changing.Lock()
		defer changing.Unlock()
		return entries[i]
	}
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	records, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := local.Open(t.TempDir(), pending.NewOwner(l.Owner(), "c", 0))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	q := transfer.New(0)
	var all sync.WaitGroup
	for n := range 2 + drawn.IntN(9) {
		delay := time.Duration(drawn.IntN(5000)) * time.Millisecond
		patience := time.Hour
		if drawn.IntN(4) == 0 {
			patience = time.Duration(drawn.IntN(4000)) * time.Millisecond
		}
		mode := []filesync.Mode{filesync.Automatic, filesync.Apply, filesync.Request}[drawn.IntN(3)]
		thinks := time.Duration(drawn.IntN(800)) * time.Millisecond
		chosen := drawn.Perm(files)[:1+drawn.IntN(files)]
		all.Go(func() {
			time.Sleep(delay)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ctx, abort := context.WithCancelCause(ctx)
			defer abort(nil)
			s := &submitter{t: t, ledger: records, abort: abort, waits: map[string]int{}}
			open := func(context.Context) (filesync.Source, error) { return source{memory, m}, nil }
			first, _ := open(ctx)
			c, err := q.Join(ctx, transfer.Ends{
				Source: transfer.NewReopeningSource(first, open, nil, nil), Destination: destination{dir, m}, Ledger: records,
			}, s, transfer.Options{Pass: fmt.Sprint(n), Mode: mode})
			if err != nil {
				return
			}
			s.queue = c
			submitted := true
			for _, i := range chosen {
				f, ok, err := s.DecideAgain(ctx, entry(i))
				if err != nil {
					break
				}
				if !ok {
					continue
				}
				s.mu.Lock()
				s.waits[f.Entry.Name]++
				s.mu.Unlock()
				time.Sleep(thinks)
				if c.Submit(ctx, f) != nil {
					submitted = false
					break
				}
			}
			if err = c.Wait(ctx); patience == time.Hour && errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("pass %d waits for ever", n)
			}
			s.mu.Lock()
			for name, n := range s.waits {
				if submitted && err == nil && n != 0 {
					t.Errorf("pass has no answer for %s", name)
				}
			}
			s.mu.Unlock()
			c.Leave()
		})
	}
	for range drawn.IntN(20) {
		i, after := drawn.IntN(files), time.Duration(drawn.IntN(6000))*time.Millisecond
		data := make([]byte, (31+drawn.IntN(30))<<10)
		all.Go(func() {
			time.Sleep(after)
			changing.Lock()
			defer changing.Unlock()
			memory.Put(entries[i].Name, string(data), when)
			entries[i].Size = int64(len(data))
		})
	}
	if seed%5 == 1 {
		all.Go(func() {
			time.Sleep(2 * time.Second)
			m.mu.Lock()
			m.lost = true
			m.mu.Unlock()
		})
	}
	all.Wait()
	if len(m.reading) > 0 {
		t.Errorf("still read: %v", m.reading)
	}
}
