package sftp

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/sshclient"
	"sftpconnector/store/sftp/wire"
)

// fakePool is a pool whose channels are opened by dial.
func fakePool(t *testing.T, limits *Limits, dial func() error) (*pool, *atomic.Int32) {
	var dials atomic.Int32
	return &pool{limits: limits, max: maxChannels, ctx: t.Context(), open: func(context.Context) (*dataChannel, error) {
		dials.Add(1)
		if err := dial(); err != nil {
			return nil, err
		}
		return &dataChannel{}, nil
	}}, &dials
}

// growAndWait opens one more channel as acquire and acquireMore do.
func growAndWait(p *pool, ctx context.Context) (*dataChannel, error) {
	p.opening++
	return p.grow(ctx)
}

// fillPool uses a pool until it stops growing.
func fillPool(t *testing.T, p *pool) int {
	t.Helper()
	if len(p.channels) == 0 {
		if _, err := growAndWait(p, t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var used []*dataChannel
	for range 2 * busyUses * maxChannels {
		used = append(used, p.acquire(1))
		waitFor(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.opening == 0 })
	}
	for _, ch := range used {
		p.release(ch, 1)
	}
	return len(p.all())
}

func TestPoolGrows(t *testing.T) {
	p, dials := fakePool(t, new(Limits), func() error { return nil })
	if _, err := growAndWait(p, t.Context()); err != nil {
		t.Fatal(err)
	}
	for range busyUses {
		p.acquire(1)
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("%d channels for a few uses", n)
	}
	if n := fillPool(t, p); n != maxChannels {
		t.Errorf("%d channels for many uses", n)
	}
	uses := 0
	for _, ch := range p.all() {
		uses += ch.load
	}
	if uses != busyUses {
		t.Errorf("%d uses are left", uses)
	}
}

// Files of a megabyte fill a channel's window, where small ones fill its packets.
func TestPoolGrowsForLargerFiles(t *testing.T) {
	p, _ := fakePool(t, new(Limits), func() error { return nil })
	if _, err := growAndWait(p, t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 80 {
		p.acquire(weight(1 << 20))
		waitFor(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.opening == 0 })
	}
	if n := len(p.all()); n != maxChannels {
		t.Errorf("%d channels for 80 files of 1 MiB", n)
	}
}

// A channelSet that grows by many at once has each channel once.
func TestChannelSetHasEachChannelOnce(t *testing.T) {
	for range 20 {
		p, _ := fakePool(t, new(Limits), func() error { return nil })
		first, err := growAndWait(p, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		set := &channelSet{channels: []*dataChannel{first}}
		var all sync.WaitGroup
		for range maxChannels - 1 {
			all.Go(func() { p.acquireMore(t.Context(), set) })
		}
		all.Wait()
		seen := map[*dataChannel]bool{}
		for _, ch := range set.channels {
			if seen[ch] {
				t.Fatal("a lane joined twice")
			}
			seen[ch] = true
		}
	}
}

func TestPoolRemembersRefusal(t *testing.T) {
	limits := new(Limits)
	left := 3
	refusing := func() error {
		if left--; left < 0 {
			return sshclient.ErrNoChannel
		}
		return nil
	}
	p, dials := fakePool(t, limits, refusing)
	if n := fillPool(t, p); n != 3 || dials.Load() != 4 {
		t.Errorf("%d channels after %d tries", n, dials.Load())
	}
	if n, known := limits.dataChannels(); n != 3 || !known {
		t.Errorf("%d channels are remembered", n)
	}
	left = 100
	p, dials = fakePool(t, limits, refusing)
	if n := fillPool(t, p); n != 3 || dials.Load() != 3 {
		t.Errorf("the next time: %d channels after %d tries", n, dials.Load())
	}
}

// A connection that is lost with a further channel may be chance, but not twice.
func TestPoolRemembersDrops(t *testing.T) {
	limits := new(Limits)
	for range 2 {
		if _, known := limits.dataChannels(); known {
			t.Error("one loss is taken for a rule")
		}
		p, _ := fakePool(t, limits, func() error { return errLostOpening })
		if _, err := growAndWait(p, t.Context()); !errors.Is(err, errLostOpening) {
			t.Error(err)
		}
	}
	if n, known := limits.dataChannels(); n != 0 || !known {
		t.Errorf("%d channels are remembered", n)
	}
}

// A caller that goes away says nothing about the server.
func TestPoolCancelled(t *testing.T) {
	limits := new(Limits)
	ctx, cancel := context.WithCancel(t.Context())
	p, _ := fakePool(t, limits, func() error { cancel(); return context.Canceled })
	growAndWait(p, ctx)
	if _, known := limits.dataChannels(); known {
		t.Error("a limit is remembered")
	}
}

func TestHandleLimiter(t *testing.T) {
	limits := new(Limits)
	h := newHandleLimiter(limits)
	ctx := t.Context()
	for range 3 {
		if err := h.acquire(ctx); err != nil {
			t.Fatal(err)
		}
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	never := func() bool { return false }
	if _, err := h.acquireExclusive(short, false, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("alone beside others: %v", err)
	}
	var alone sync.WaitGroup
	alone.Go(func() {
		if in, err := h.acquireExclusive(ctx, false, never); !in || err != nil {
			t.Error(in, err)
		}
	})
	waitFor(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.wantExclusive == 1 })
	if h.tryAcquire() {
		t.Error("somebody went past one who waits to be alone")
	}
	for range 3 {
		h.release()
	}
	alone.Wait()
	if h.used() != 1 || h.tryAcquire() {
		t.Error("it is not alone")
	}
	h.endExclusive()
	limits.openFiles.lower(2)
	if err := h.acquire(ctx); err != nil {
		t.Error(err)
	}
	short, cancel = context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := h.acquire(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the limit: %v", err)
	}
	h.release()
	if err := h.acquire(ctx); err != nil {
		t.Error(err)
	}
}

func TestMeter(t *testing.T) {
	now := time.Now()
	const limit = time.Minute
	for name, test := range map[string]struct {
		turn, heard time.Duration // ago
		coming      bool
		want        bool
	}{
		"just asked":                 {time.Second, time.Hour, false, false},
		"silent":                     {2 * time.Minute, time.Hour, false, true},
		"others are answered":        {2 * time.Minute, time.Second, false, true},
		"in parts":                   {2 * time.Minute, time.Second, true, false},
		"in parts, and then no more": {2 * time.Minute, 61 * time.Second, true, true},
	} {
		m := &meter{start: now.Add(-2 * time.Hour)}
		m.heard.Store(int64(2*time.Hour - test.heard))
		if got := m.stalled(wire.Unanswered{Since: now.Add(-test.turn), Coming: test.coming}, limit); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLimits(t *testing.T) {
	var l Limits
	if n := l.readSizeFor(255 << 10); n != 255<<10 {
		t.Errorf("READs of %d bytes", n)
	}
	l.shrinkReads(100 << 10)
	l.shrinkReads(200 << 10)
	if n := l.readSizeFor(255 << 10); n != 100<<10 {
		t.Errorf("READs of %d bytes", n)
	}
	if n := l.readSizeFor(32 << 10); n != 100<<10 {
		t.Errorf("READs of %d bytes on a channel that does not know what others were offered", n)
	}
	if n := new(Limits).readSizeFor(32 << 10); n != 32<<10 {
		t.Errorf("READs of %d bytes", n)
	}
	l.noteRoundTrip(20 * time.Millisecond)
	l.noteRoundTrip(30 * time.Millisecond)
	if !l.far() {
		t.Error("20 ms are not far")
	}
	l.noteRoundTrip(time.Millisecond)
	if l.far() {
		t.Error("1 ms is far")
	}
}

func TestBlocks(t *testing.T) {
	b := newBlocks(10, 35)
	var got []int
	for b.left() > 0 {
		off, n := b.take(10)
		got = append(got, int(off), n)
	}
	if _, n := b.take(10); n != 0 || len(got) != 6 || got[4] != 30 || got[5] != 5 {
		t.Errorf("the ranges are %v", got)
	}
}
