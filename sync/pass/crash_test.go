package pass_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// errKilled is what every operation answers with once the program is killed.
var errKilled = errors.New("killed")

// killer kills the program at its n-th step: before or after something that is
// written at the destination, in the ledger or at the source. From then on
// nothing changes any more. It also checks the order of the steps.
type killer struct {
	t *testing.T

	mu        sync.Mutex
	left      int // steps to go
	dead      bool
	where     string
	synced    map[string]bool // pending files by id
	published map[string]bool // targets
	committed map[string]bool // paths
	told      map[string]int  // of deliveries, by path
	uncertain bool            // removals were under way when it was killed
}

func newKiller(t *testing.T, step int) *killer {
	return &killer{t: t, left: step, synced: map[string]bool{}, published: map[string]bool{}, committed: map[string]bool{}, told: map[string]int{}}
}

// step is one point at which the program may be killed.
func (k *killer) step(where string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	if k.left--; k.left == 0 {
		k.dead, k.where = true, where
		return errKilled
	}
	return nil
}

// around does something between two steps.
func (k *killer) around(where string, do func() error) error {
	if err := k.step("before " + where); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return k.step("after " + where)
}

func (k *killer) note(in map[string]bool, name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	in[name] = true
}

// order fails the test if something was done before what it rests on.
func (k *killer) order(in map[string]bool, name, rule string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !in[name] {
		k.t.Errorf("%s: %s", name, rule)
	}
}

// mortalDestination is a destination of a program that can be killed.
type mortalDestination struct {
	filesync.Destination
	k *killer
}

type mortalPending struct {
	filesync.Pending
	k *killer
}

func (d mortalDestination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (p filesync.Pending, err error) {
	err = d.k.around("begin", func() error {
		if p, err = d.Destination.Begin(ctx, e, resume); err == nil {
			p = mortalPending{p, d.k}
		}
		return err
	})
	if err != nil && p != nil {
		p.Keep()
		p = nil
	}
	return p, err
}

func (p mortalPending) WriteAt(b []byte, off int64) (int, error) {
	if err := p.k.step("write"); err != nil {
		p.Pending.WriteAt(b[:len(b)/2], off)
		return 0, err
	}
	return p.Pending.WriteAt(b, off)
}

func (p mortalPending) Finish(ctx context.Context) (e filesync.Entry, err error) {
	err = p.k.around("finish", func() error {
		e, err = p.Pending.Finish(ctx)
		return err
	})
	return e, err
}

func (p mortalPending) Abort(ctx context.Context) error {
	if p.k.step("abort") != nil {
		return p.Keep() // the kernel closes it, nobody removes it
	}
	return p.Pending.Abort(ctx)
}

// answers makes an answer for each of n out of one error.
func answers(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (d mortalDestination) Sync(ctx context.Context, batch []filesync.Pending) []error {
	inner := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		inner[i] = p.(mortalPending).Pending
	}
	if err := d.k.step("before sync"); err != nil {
		return answers(len(batch), err)
	}
	errs := d.Destination.Sync(ctx, inner)
	for i, p := range inner {
		if errs[i] == nil {
			d.k.note(d.k.synced, p.ID())
		}
	}
	if err := d.k.step("after sync"); err != nil {
		return answers(len(batch), err)
	}
	return errs
}

// Publish publishes one by one, so that a kill may come in the middle of a batch.
func (d mortalDestination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	errs := make([]error, len(batch))
	for i, p := range batch {
		if errs[i] = d.k.step("before publish"); errs[i] != nil {
			p.Pending.Keep()
			continue
		}
		inner := p
		inner.Pending = p.Pending.(mortalPending).Pending
		d.k.order(d.k.synced, inner.Pending.ID(), "published before its contents were durable")
		errs[i] = d.Destination.Publish(ctx, []filesync.Publication{inner})[0]
	}
	if err := d.k.step("after publish"); err != nil {
		return answers(len(batch), err)
	}
	return errs
}

// mortalLedger is a ledger of a program that can be killed.
type mortalLedger struct {
	pass.Ledger
	k    *killer
	dest string
}

func (l mortalLedger) Find(ctx context.Context, paths []string) ([]filesync.Record, error) {
	if err := l.k.step("find"); err != nil {
		return nil, err
	}
	return l.Ledger.Find(ctx, paths)
}

func (l mortalLedger) Intend(ctx context.Context, batch []filesync.Delivery) (id int64, err error) {
	err = l.k.around("intend", func() error { id, err = l.Ledger.Intend(ctx, batch); return err })
	return id, err
}

func (l mortalLedger) Commit(ctx context.Context, intents []int64, batch []filesync.Delivery) (ids []int64, err error) {
	err = l.k.around("commit", func() error {
		for _, d := range batch {
			if info, err := os.Stat(filepath.Join(l.dest, d.Target.Name)); err != nil || info.Size() != d.Source.Size {
				l.k.t.Errorf("%s: a row without a file (%v)", d.Source.Name, err)
			}
		}
		if ids, err = l.Ledger.Commit(ctx, intents, batch); err == nil {
			for _, d := range batch {
				l.k.note(l.k.committed, d.Source.Name)
			}
		}
		return err
	})
	return ids, err
}

func (l mortalLedger) SetAfter(ctx context.Context, ids []int64, after filesync.After) error {
	if len(ids) == 0 {
		return l.Ledger.SetAfter(ctx, ids, after)
	}
	return l.k.around(fmt.Sprint("after_copy ", after), func() error {
		err := l.Ledger.SetAfter(ctx, ids, after)
		l.k.mu.Lock()
		defer l.k.mu.Unlock()
		l.k.uncertain = after == filesync.AfterTrying
		return err
	})
}

func (l mortalLedger) SetAfterIf(ctx context.Context, read map[int64]filesync.After, after filesync.After) (mine []int64, err error) {
	if len(read) == 0 {
		return l.Ledger.SetAfterIf(ctx, read, after)
	}
	err = l.k.around(fmt.Sprint("after_copy ", after), func() error {
		mine, err = l.Ledger.SetAfterIf(ctx, read, after)
		l.k.mu.Lock()
		defer l.k.mu.Unlock()
		l.k.uncertain = after == filesync.AfterTrying
		return err
	})
	return mine, err
}

func (l mortalLedger) Fail(ctx context.Context, batch []filesync.Failure) (ids []int64, err error) {
	err = l.k.around("fail", func() error { ids, err = l.Ledger.Fail(ctx, batch); return err })
	return ids, err
}

func (l mortalLedger) Gone(ctx context.Context, seen *filesync.Seen, since int64, at time.Time) error {
	return l.k.around("gone", func() error { return l.Ledger.Gone(ctx, seen, since, at) })
}

// mortalSource is a source that a killed program no longer reaches.
type mortalSource struct {
	*storetest.Memory
	k *killer
}

func (s mortalSource) RemoveIf(ctx context.Context, e filesync.Entry) error {
	return s.k.around("remove", func() error {
		s.k.order(s.k.committed, e.Name, "removed before its row was written")
		return s.Memory.RemoveIf(ctx, e)
	})
}

func (s mortalSource) MoveIf(ctx context.Context, e filesync.Entry, dir string) error {
	return s.k.around("move", func() error {
		s.k.order(s.k.committed, e.Name, "moved before its row was written")
		return s.Memory.MoveIf(ctx, e, dir)
	})
}

// mortalPass runs a pass that is killed at a step; it says whether it was.
func (b *bench) mortalPass(k *killer, o pass.Options) bool {
	b.t.Helper()
	id, unclean, err := b.memory.StartPass(b.t.Context(), filesync.Automatic, time.Now(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		b.t.Fatal(err)
	}
	defer dst.Close()
	o.ID, o.Sweep, o.Mode = id, unclean, filesync.Automatic
	o.OnDelivered = func(d filesync.Delivered) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.told[d.Delivery.Source.Name]++
	}
	open := func(context.Context) (filesync.Source, error) { return nil, errKilled }
	r := pass.New(mortalSource{b.src, k}, open, mortalDestination{dst, k}, mortalLedger{b.memory, k, b.dir}, b.shared, o).Run(b.t.Context())
	if !k.dead {
		if r.Outcome != filesync.Succeeded {
			b.t.Errorf("a pass that was not killed: %s %v %v", r.Outcome, r.Err, r.Failures)
		}
		if err := b.memory.FinishPass(b.t.Context(), id, r, ""); err != nil {
			b.t.Fatal(err)
		}
	}
	return k.dead
}

// Whenever a pass is killed, the promises hold, and the next one finishes the job.
func TestKilledAtEachStep(t *testing.T) {
	filter, err := filesync.NewFilter(filesync.FilterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"a": "one", "d/b": "a second file", "d/e/c": "", "z": "the last of them"}
	for name, o := range map[string]pass.Options{
		"leave":  {},
		"delete": {AfterCopy: filesync.AfterCopy{Remove: true}},
		"move":   {AfterCopy: filesync.AfterCopy{MoveTo: "done"}, Skip: "done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Filter = filter
			first := newBench(t)
			for step, killed := 1, true; killed; step++ {
				b := first.next(step)
				for name, data := range files {
					b.src.Put(name, data, old)
				}
				k := newKiller(t, step)
				killed = b.mortalPass(k, o)
				b.promises(files, o, k.where)
				told := k.told
				b.shared = pass.NewShared(0)
				// Killed once more, in what follows a kill.
				again := newKiller(t, step%13+1)
				again.committed = k.committed
				again.told = told
				b.mortalPass(again, o)
				b.promises(files, o, k.where+", "+again.where)
				last := newKiller(t, -1)
				last.committed, last.told = again.committed, told
				b.mortalPass(last, o)
				b.allDone(files, o, k.where+", "+again.where)
				// An original whose removal was under way, and that is there still,
				// may be a new file: it is copied once more before it is removed.
				most := 1
				for _, k := range []*killer{k, again} {
					if k.uncertain {
						most++
					}
				}
				for name, n := range told {
					if n > most {
						t.Errorf("%s was told of %d times", name, n)
					}
				}
				if t.Failed() {
					t.Fatalf("killed %s, and then %s", k.where, again.where)
				}
				if step > 500 {
					t.Fatal("the pass never ends")
				}
			}
		})
	}
}

// next is a bench with nothing on it, beside this one in its ledger.
func (b *bench) next(n int) *bench {
	b.t.Helper()
	c := &bench{t: b.t, src: storetest.NewMemory(), dir: filepath.Join(b.t.TempDir(), "to"), ledger: b.ledger, shared: pass.NewShared(0)}
	var err error
	if c.memory, err = b.ledger.Connector(b.t.Context(), fmt.Sprint("c", n)); err != nil {
		b.t.Fatal(err)
	}
	return c
}

// promises checks what holds at every moment.
func (b *bench) promises(files map[string]string, o pass.Options, where string) {
	b.t.Helper()
	for name, data := range files {
		got, err := os.ReadFile(filepath.Join(b.dir, name))
		stands := err == nil
		if stands && string(got) != data {
			b.t.Errorf("killed %s: %s stands with %q", where, name, got)
		}
		recs, ferr := b.memory.Find(b.t.Context(), []string{name})
		if ferr != nil {
			b.t.Fatal(ferr)
		}
		if recs[0].ID != 0 && !stands {
			b.t.Errorf("killed %s: %s has a row and no file", where, name)
		}
		there := b.src.Has(name)
		if !there && (!stands || recs[0].ID == 0) {
			b.t.Errorf("killed %s: the original of %s is gone, its copy stands: %v, its row: %v", where, name, stands, recs[0].ID != 0)
		}
		if there && o.AfterCopy.MoveTo != "" && b.src.Has(o.AfterCopy.MoveTo+"/"+name) {
			b.t.Errorf("killed %s: %s is there twice", where, name)
		}
	}
}

// allDone checks what holds once a pass was not killed.
func (b *bench) allDone(files map[string]string, o pass.Options, where string) {
	b.t.Helper()
	b.noPending()
	for name, data := range files {
		b.wantFile(name, data, old)
		if gone := o.AfterCopy.Remove || o.AfterCopy.MoveTo != ""; b.src.Has(name) == gone {
			b.t.Errorf("killed %s: the original of %s is there: %v", where, name, !gone)
		}
	}
	if want := len(files); o.AfterCopy.Remove {
		if b.src.Len() != 0 {
			b.t.Errorf("killed %s: %d originals are left", where, b.src.Len())
		}
	} else if b.src.Len() != want {
		b.t.Errorf("killed %s: %d originals, want %d", where, b.src.Len(), want)
	}
	if intents, err := b.memory.Intents(b.t.Context()); err != nil || len(intents) != 0 {
		b.t.Errorf("killed %s: intents left: %v %v", where, intents, err)
	}
	rows, _, err := b.memory.Files(b.t.Context(), ledger.Query{Limit: 1000})
	if err != nil || len(rows) != len(files) {
		b.t.Errorf("killed %s: %d rows, want %d (%v)", where, len(rows), len(files), err)
	}
	for _, r := range rows {
		if a := r.Record.After; a != filesync.AfterNone && a != filesync.AfterDone {
			b.t.Errorf("killed %s: %s still owes its after_copy (%d)", where, r.Record.Delivery.Source.Name, a)
		}
	}
}
