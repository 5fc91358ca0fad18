package spool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/space/spool"
	"sftpconnector/store/local"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// mortal is an import that is killed at its n-th step: from then on nothing it does has
// any effect.
type mortal struct {
	mu    sync.Mutex
	left  int
	dead  bool
	where string
	// published is called for each file that has got its name.
	published func(name string)
}

var errKilled = errors.New("killed")

func (m *mortal) step(where string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left == 0 {
		m.dead, m.where = true, where
	}
	if m.dead {
		return errKilled
	}
	return nil
}

func (m *mortal) around(what string, do func() error) error {
	if err := m.step("before " + what); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return m.step("after " + what)
}

type mortalDestination struct {
	*local.Destination
	m    *mortal
	link bool
}

type mortalPending struct {
	filesync.Pending
	m *mortal
}

func (p mortalPending) Abort(ctx context.Context) error {
	if p.m.step("abort") != nil {
		return p.Keep()
	}
	return p.Pending.Abort(ctx)
}

func (d mortalDestination) pending(what string, begin func() (filesync.Pending, error)) (p filesync.Pending, err error) {
	err = d.m.around(what, func() error {
		p, err = begin()
		return err
	})
	if err != nil {
		if p != nil {
			p.Keep()
		}
		return nil, err
	}
	return mortalPending{p, d.m}, nil
}

func (d mortalDestination) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	return d.pending("begin", func() (filesync.Pending, error) { return d.Destination.Begin(ctx, e, resume) })
}

func (d mortalDestination) BeginLink(ctx context.Context, from string, e filesync.Entry) (filesync.Pending, error) {
	if !d.link {
		return nil, errors.ErrUnsupported
	}
	return d.pending("link", func() (filesync.Pending, error) { return d.Destination.BeginLink(ctx, from, e) })
}

func bare(batch []filesync.Pending) []filesync.Pending {
	inner := make([]filesync.Pending, len(batch))
	for i, p := range batch {
		inner[i] = p.(mortalPending).Pending
	}
	return inner
}

func (d mortalDestination) Sync(ctx context.Context, batch []filesync.Pending) []error {
	errs := make([]error, len(batch))
	err := d.m.around("sync", func() error { return errors.Join(d.Destination.Sync(ctx, bare(batch))...) })
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (d mortalDestination) Publish(ctx context.Context, batch []filesync.Publication) []error {
	errs := make([]error, len(batch))
	for i, p := range batch {
		inner := p.Pending.(mortalPending).Pending
		errs[i] = d.m.around("publish", func() error {
			if err := d.Destination.Publish(ctx, []filesync.Publication{{Pending: inner, Replaces: p.Replaces}})[0]; err != nil {
				return err
			}
			d.m.published(inner.ID())
			return nil
		})
	}
	return errs
}

func (d mortalDestination) Recorded(ctx context.Context, batch []filesync.Pending) {
	for _, p := range bare(batch) {
		_ = d.m.around("forgetting a proof", func() error {
			d.Destination.Recorded(ctx, []filesync.Pending{p})
			return nil
		})
	}
}

func (d mortalDestination) Sweep(ctx context.Context, keep func(string) bool) error {
	return d.m.around("sweep", func() error { return d.Destination.Sweep(ctx, keep) })
}

type mortalLedger struct {
	pass.Ledger
	m *mortal
}

func (l mortalLedger) Intend(ctx context.Context, batch []filesync.Delivery) (id int64, err error) {
	err = l.m.around("intend", func() error { id, err = l.Ledger.Intend(ctx, batch); return err })
	return id, err
}

func (l mortalLedger) Commit(ctx context.Context, intents []int64, batch []filesync.Delivery) (ids []int64, err error) {
	err = l.m.around("commit", func() error { ids, err = l.Ledger.Commit(ctx, intents, batch); return err })
	return ids, err
}

func (l mortalLedger) Fail(ctx context.Context, batch []filesync.Failure) (ids []int64, err error) {
	err = l.m.around("fail", func() error { ids, err = l.Ledger.Fail(ctx, batch); return err })
	return ids, err
}

func (l mortalLedger) SetAfter(ctx context.Context, ids []int64, after filesync.After) error {
	return l.m.around(fmt.Sprint("after_copy ", after), func() error { return l.Ledger.SetAfter(ctx, ids, after) })
}

func (l mortalLedger) SetAfterIf(ctx context.Context, read map[int64]filesync.After, after filesync.After) (mine []int64, err error) {
	err = l.m.around(fmt.Sprint("trying after_copy ", after), func() error {
		mine, err = l.Ledger.SetAfterIf(ctx, read, after)
		return err
	})
	return mine, err
}

type mortalSource struct {
	*spool.Source
	m *mortal
}

func (s mortalSource) RemoveIf(ctx context.Context, e filesync.Entry) error {
	return s.m.around("remove", func() error { return s.Source.RemoveIf(ctx, e) })
}

// mortalPass runs an import that is killed at a step, and reports whether it was.
func (s *space) mortalPass(m *mortal, link bool) bool {
	s.Helper()
	s.source = func() filesync.Source { return mortalSource{s.src, m} }
	s.wrap = func(d *local.Destination) filesync.Destination { return mortalDestination{d, m, link} }
	s.journal = func(l pass.Ledger) pass.Ledger { return mortalLedger{l, m} }
	r := s.run(func() bool { return m.dead })
	if !m.dead && r.Outcome != filesync.Succeeded {
		s.Errorf("an import that was not killed: %s %v %v", r.Outcome, r.Err, r.Failures)
	}
	return m.dead
}

// proves reports whether the file system of a directory can prove that a file was
// renamed. It asks the kernel: the code under test may be wrong.
func (s *space) proves() bool {
	dir := s.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	s.must(os.WriteFile(from, nil, 0o600))
	return renameWhiteout(from, to) == nil
}

// Whenever an import is killed, and killed again, each upload arrives once, linked or
// copied, also where its reader takes the file, or writes to it, as soon as it has its
// name, and where its client renames the upload after the kill.
func TestImportKilledAtEachStep(t *testing.T) {
	uploads := map[string]string{"a": "one", "b": "the second"}
	for _, link := range []bool{true, false} {
		for _, reader := range []string{"leaves", "takes", "edits"} {
			t.Run(fmt.Sprint(reader, ", linked ", link), func(t *testing.T) {
				t.Parallel()
				for step, killed := 1, true; killed; step++ {
					if step > 100 {
						t.Fatal("the import never ends")
					}
					s := newSpace(t)
					s.shared = nil
					c := s.connect()
					for name, data := range uploads {
						s.putAt(c, name, data, then)
					}
					got := map[string]int{} // contents
					read := func(string) {
						for name := range uploads {
							for _, path := range []string{filepath.Join(s.to, name), filepath.Join(s.to, "new "+name)} {
								s.reads(reader, path, got)
							}
						}
					}
					m := &mortal{left: step, published: read}
					killed = s.mortalPass(m, link)
					s.again()
					c = s.connect()
					_ = c.Rename("a", "new a") // it may be gone
					again := &mortal{left: step%11 + 1, published: read}
					s.mortalPass(again, link)
					s.again()
					s.mortalPass(&mortal{left: -1, published: read}, link)
					s.collect(got)
					for _, data := range uploads {
						if n := got[data]; n != 1 && (n != 2 || s.proves()) {
							t.Errorf("%q has arrived %d times", data, n)
						}
						delete(got, data)
					}
					if len(got) > 0 {
						t.Errorf("something else has arrived: %v", got)
					}
					s.wantReady()
					s.wantUsage(0, 0)
					if intents, err := s.memory.Intents(t.Context()); err != nil || len(intents) > 0 {
						t.Errorf("intents are left: %v, %v", intents, err)
					}
					if t.Failed() {
						t.Fatalf("killed %s, and then %s", m.where, again.where)
					}
				}
			})
		}
	}
}

// reads is what a reader does to a file of the destination, if that is there.
func (s *space) reads(how, path string, got map[string]int) {
	data, err := os.ReadFile(path)
	if err != nil || how == "leaves" || strings.HasSuffix(string(data), " edited") {
		return
	}
	if how == "takes" {
		got[string(data)]++
		s.must(os.Remove(path))
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	s.must(err)
	_, err = f.WriteString(" edited")
	s.must(errors.Join(err, f.Close(), os.Chtimes(path, time.Now(), time.Now())))
}

// collect counts what stands at the destination, by its contents; there must be nothing
// but that.
func (s *space) collect(got map[string]int) {
	s.Helper()
	all, err := os.ReadDir(s.to)
	s.must(err)
	for _, e := range all {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			s.Errorf("%s is left at the destination", e.Name())
			continue
		}
		data, err := os.ReadFile(filepath.Join(s.to, e.Name()))
		s.must(err)
		got[strings.TrimSuffix(string(data), " edited")]++
	}
}
