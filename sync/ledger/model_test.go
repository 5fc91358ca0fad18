package ledger_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// model is what a ledger has to do, in the plainest way.
type model struct {
	rows        map[string]filesync.Record // with Failure empty
	failures    map[string]filesync.Record // with Delivery empty
	checkpoints map[string]filesync.Interrupted
	intents     map[int64][]filesync.Delivery
	sequence    int64
	failed      map[string]int64 // the sequences of failures
	pause       ledger.Pause
	outboxModel
}

func (m *model) find(path string) filesync.Record {
	r, f := m.rows[path], m.failures[path]
	r.FailureID, r.Failure = f.FailureID, f.Failure
	return r
}

func (m *model) commit(ids []int64, batch []filesync.Delivery) {
	before := m.outboxModel.sequence
	for i, d := range batch {
		if m.checkpoints[d.Source.Name].Checkpoint.ID == d.PendingID {
			delete(m.checkpoints, d.Source.Name)
		}
		d.PendingID = "" // of an intent alone
		m.sequence++
		d.Sequence = m.sequence
		m.rows[d.Source.Name] = filesync.Record{ID: ids[i], Delivery: d, After: d.After}
		delete(m.failures, d.Source.Name)
		m.log(d)
	}
	m.logged(before)
}

// owner is the record of a living row with this key, else of any, else none.
func (m *model) owner(key string, got filesync.Record) bool {
	living, any := false, false
	for _, r := range m.rows {
		if r.Delivery.Key == key {
			any = true
			living = living || !r.Gone && r.After != filesync.AfterDone
		}
	}
	if !any {
		return got.ID == 0
	}
	r := m.rows[got.Delivery.Source.Name]
	isLiving := !r.Gone && r.After != filesync.AfterDone
	return got.ID == r.ID && r.Delivery.Key == key && isLiving == living
}

// A ledger does what its model does, through reopenings, beside another connector.
func TestLedgerIsItsModel(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		ok(t, err)
		ctx := context.Background()
		s := &subject{t: t, ctx: ctx, dir: dir}
		s.open()
		defer func() { s.l.Close() }()
		m := &model{rows: map[string]filesync.Record{}, failures: map[string]filesync.Record{},
			checkpoints: map[string]filesync.Interrupted{}, intents: map[int64][]filesync.Delivery{}, failed: map[string]int64{}, outboxModel: outboxModel{now: long}}
		t.Repeat(map[string]func(*rapid.T){
			"commit":     func(t *rapid.T) { s.commit(t, m) },
			"intend":     func(t *rapid.T) { s.intend(t, m) },
			"end intent": func(t *rapid.T) { s.endIntent(t, m) },
			"fail":       func(t *rapid.T) { s.fail(t, m) },
			"gone":       func(t *rapid.T) { s.gone(t, m) },
			"after":      func(t *rapid.T) { s.setAfter(t, m) },
			"after if":   func(t *rapid.T) { s.setAfterIf(t, m) },
			"checkpoint": func(t *rapid.T) { s.checkpoint(t, m) },

			"accept request": func(t *rapid.T) { s.accept(t, &m.outboxModel) },
			"run request":    func(t *rapid.T) { s.run(t, &m.outboxModel) },
			"finish request": func(t *rapid.T) { s.finish(t, &m.outboxModel) },
			"post":           func(t *rapid.T) { s.send(t, &m.outboxModel) },
			"subscribe":      func(t *rapid.T) { s.subscribe(t, &m.outboxModel) },
			"unsubscribe":    func(t *rapid.T) { s.unsubscribe(t, &m.outboxModel) },
			"drop pending":   func(t *rapid.T) { s.drop(t, &m.outboxModel) },
			"forget":         func(t *rapid.T) { s.forget(t, &m.outboxModel) },
			"send reply":     func(t *rapid.T) { s.sendReply(t, &m.outboxModel) },
			"send pending":   func(t *rapid.T) { s.sendDeliveries(t, &m.outboxModel) },
			"pause":          func(t *rapid.T) { s.pause(t, m) },
			"reopen": func(*rapid.T) {
				s.l.Close()
				s.open()
			},
			"": func(t *rapid.T) {
				s.compare(t, m)
				s.compareOutbox(t, &m.outboxModel)
			},
		})
	})
}

func ok(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// subject is the ledger under test.
type subject struct {
	t   *rapid.T
	ctx context.Context
	dir string
	l   *ledger.Ledger
	c   *ledger.Connector
}

func (s *subject) open() {
	var err error
	s.l, err = ledger.Open(s.ctx, s.dir)
	ok(s.t, err)
	s.c, err = s.l.Connector(s.ctx, "c")
	ok(s.t, err)
	// A neighbour with rows of the same paths, which must stay its own.
	d, err := s.l.Connector(s.ctx, "d")
	ok(s.t, err)
	_, err = d.Commit(s.ctx, nil, []filesync.Delivery{{Source: entry("p0", 77), Target: entry("p0", 77), Key: "k0", Pass: "9", At: day, After: filesync.AfterOwed}})
	ok(s.t, err)
}

func paths() []string { return []string{"p0", "p1", "p2", "p3", "p4", "dir/p5"} }

func drawEntry(t *rapid.T) filesync.Entry {
	return filesync.Entry{Name: rapid.SampledFrom(paths()).Draw(t, "path"), Size: rapid.Int64Range(0, 3).Draw(t, "size"),
		ModTime: day.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "time")) * time.Second)}
}

// drawPending draws the id of a pending file of the path.
func drawPending(t *rapid.T, path string) string {
	return path + rapid.SampledFrom([]string{" first", " second"}).Draw(t, "pending")
}

// drawBatch draws deliveries of different paths.
func drawBatch(t *rapid.T) []filesync.Delivery {
	one := rapid.Custom(func(t *rapid.T) filesync.Delivery {
		d := filesync.Delivery{Source: drawEntry(t), Pass: fmt.Sprint(rapid.IntRange(1, 9).Draw(t, "pass")),
			At:  rapid.SampledFrom([]time.Time{day, long}).Draw(t, "at"),
			Key: rapid.SampledFrom([]string{"", "k0", "k1"}).Draw(t, "key"), Adopted: rapid.Bool().Draw(t, "adopted"),
			After: rapid.SampledFrom([]filesync.After{filesync.AfterNone, filesync.AfterOwed, filesync.AfterCompare}).Draw(t, "after")}
		d.PendingID = drawPending(t, d.Source.Name)
		d.Target = d.Source
		if rapid.Bool().Draw(t, "other name") {
			d.Target.Name = "flat"
		}
		return d
	})
	return rapid.SliceOfNDistinct(one, 0, 4, func(d filesync.Delivery) string { return d.Source.Name }).Draw(t, "batch")
}

func (s *subject) commit(t *rapid.T, m *model) {
	batch := drawBatch(t)
	ids, err := s.c.Commit(s.ctx, nil, batch)
	ok(t, err)
	m.commit(ids, batch)
}

func (s *subject) intend(t *rapid.T, m *model) {
	batch := drawBatch(t)
	for i := range batch {
		batch[i].Adopted = false // what stood at the destination already needs no intent
	}
	id, err := s.c.Intend(s.ctx, batch)
	ok(t, err)
	if batch == nil {
		batch = []filesync.Delivery{}
	}
	m.sequence++
	for i := range batch {
		batch[i].Sequence = m.sequence
	}
	m.intents[id] = batch
}

func (s *subject) endIntent(t *rapid.T, m *model) {
	for id, batch := range m.intents {
		batch = batch[:rapid.IntRange(0, len(batch)).Draw(t, "published")]
		ids, err := s.c.Commit(s.ctx, []int64{id}, batch)
		ok(t, err)
		m.commit(ids, batch)
		delete(m.intents, id)
		return
	}
}

func (s *subject) fail(t *rapid.T, m *model) {
	e := drawEntry(t)
	f := filesync.Failure{Source: e, Tries: rapid.IntRange(1, 5).Draw(t, "tries"), Next: day, Quarantined: rapid.Bool().Draw(t, "quarantined"),
		Conflict: rapid.Bool().Draw(t, "conflict"), Error: "no", At: day}
	ids, err := s.c.Fail(s.ctx, []filesync.Failure{f})
	ok(t, err)
	m.failures[e.Name] = filesync.Record{FailureID: ids[0], Failure: f}
	m.sequence++
	m.failed[e.Name] = m.sequence
}

func (s *subject) gone(t *rapid.T, m *model) {
	there := rapid.SliceOf(rapid.SampledFrom(paths())).Draw(t, "there")
	seen := filesync.NewSeen()
	recs, err := s.c.Find(s.ctx, there)
	ok(t, err)
	for _, r := range recs {
		seen.Add(r)
	}
	last, err := s.c.Sequence(s.ctx)
	ok(t, err)
	if last != m.sequence {
		t.Fatalf("the last sequence is %d, want %d", last, m.sequence)
	}
	since := rapid.Int64Range(0, last).Draw(t, "since")
	ok(t, s.c.Gone(s.ctx, seen, since, day))
	for p, r := range m.rows {
		gone := !slices.Contains(there, p)
		if gone && r.Delivery.Sequence > since {
			continue
		}
		if gone && !r.Gone && (r.After == filesync.AfterOwed || r.After == filesync.AfterTrying || r.After == filesync.AfterCompare) {
			r.After, r.Delivery.After = filesync.AfterDone, filesync.AfterDone
		}
		r.Gone = gone
		m.rows[p] = r
	}
	for p := range m.failures {
		if !slices.Contains(there, p) && m.failed[p] <= since {
			delete(m.failures, p)
		}
	}
}

func (s *subject) setAfter(t *rapid.T, m *model) {
	after := filesync.After(rapid.IntRange(0, 5).Draw(t, "after"))
	var ids []int64
	for _, p := range rapid.SliceOfDistinct(rapid.SampledFrom(paths()), func(p string) string { return p }).Draw(t, "rows") {
		if r, there := m.rows[p]; there {
			ids = append(ids, r.ID)
			r.After, r.Delivery.After = after, after
			m.rows[p] = r
		}
	}
	ok(t, s.c.SetAfter(s.ctx, ids, after))
}

func (s *subject) setAfterIf(t *rapid.T, m *model) {
	after := filesync.After(rapid.IntRange(0, 5).Draw(t, "after"))
	read := map[int64]filesync.After{}
	var want []int64
	for _, p := range rapid.SliceOfDistinct(rapid.SampledFrom(paths()), func(p string) string { return p }).Draw(t, "rows") {
		r, there := m.rows[p]
		if !there {
			continue
		}
		read[r.ID] = filesync.After(rapid.IntRange(0, 5).Draw(t, "read"))
		if r.After == read[r.ID] {
			want = append(want, r.ID)
			r.After, r.Delivery.After = after, after
			m.rows[p] = r
		}
	}
	changed, err := s.c.SetAfterIf(s.ctx, read, after)
	ok(t, err)
	slices.Sort(changed)
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		t.Fatalf("changed %v, want %v", changed, want)
	}
}

func (s *subject) checkpoint(t *rapid.T, m *model) {
	e := drawEntry(t)
	pending := drawPending(t, e.Name)
	if rapid.Bool().Draw(t, "drop") {
		ok(t, s.c.DropCheckpoint(s.ctx, e.Name, pending))
		if m.checkpoints[e.Name].Checkpoint.ID == pending {
			delete(m.checkpoints, e.Name)
		}
		return
	}
	k := filesync.Checkpoint{ID: pending, Prefix: rapid.Int64().Draw(t, "prefix")}
	ok(t, s.c.SaveCheckpoint(s.ctx, filesync.Interrupted{Source: e, Checkpoint: k}))
	m.checkpoints[e.Name] = filesync.Interrupted{Source: e, Checkpoint: k}
}

func (s *subject) pause(t *rapid.T, m *model) {
	if rapid.Bool().Draw(t, "resume") {
		ok(t, s.c.Resume(s.ctx))
		m.pause = ledger.Pause{}
		return
	}
	at := day.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "at")) * time.Second)
	if m.pause.Since.IsZero() {
		m.pause.Since = at
	}
	m.pause.By, m.pause.Reason = "token", rapid.StringN(0, 9, -1).Draw(t, "reason")
	ok(t, s.c.Pause(s.ctx, at, m.pause.By, m.pause.Reason))
}

// compare looks at all that both know.
func (s *subject) compare(t *rapid.T, m *model) {
	asked := append(paths(), "unknown")
	recs, err := s.c.Find(s.ctx, asked)
	ok(t, err)
	for i, p := range asked {
		if want := m.find(p); !reflect.DeepEqual(recs[i], want) {
			t.Fatalf("%s: %+v\nwant %+v", p, recs[i], want)
		}
	}
	if pause, err := s.c.Paused(s.ctx); err != nil || pause != m.pause {
		t.Fatalf("%+v %v, want %+v", pause, err, m.pause)
	}
	keys := []string{"k0", "k1", "k2"}
	owners, err := s.c.Owners(s.ctx, keys)
	ok(t, err)
	for i, k := range keys {
		if !m.owner(k, owners[i]) {
			t.Fatalf("owner of %s: %+v", k, owners[i])
		}
	}
	intents, err := s.c.Intents(s.ctx)
	ok(t, err)
	checkpoints, err := s.c.Checkpoints(s.ctx)
	ok(t, err)
	if !reflect.DeepEqual(intents, m.intents) || !reflect.DeepEqual(checkpoints, m.checkpoints) {
		t.Fatalf("intents %v, want %v; checkpoints %v, want %v", intents, m.intents, checkpoints, m.checkpoints)
	}
	var want []filesync.Record
	for _, r := range m.rows {
		switch r.After {
		case filesync.AfterOwed, filesync.AfterTrying, filesync.AfterCompare:
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b filesync.Record) int { return cmp.Compare(a.ID, b.ID) })
	var got []filesync.Record
	for from := int64(0); ; {
		page, err := s.c.Outstanding(s.ctx, from, 2)
		ok(t, err)
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
		from = page[len(page)-1].ID
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("outstanding %+v\nwant %+v", got, want)
	}
}
