package sync

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const settle = 5 * time.Second
		l := newLooks()
		l.begin()
		e := Entry{Name: "a", Size: 1, ModTime: time.Now()}
		for i, c := range []struct {
			sleep time.Duration
			size  int64
			ready bool
			wait  time.Duration
		}{
			{0, 1, false, settle},
			{2 * time.Second, 1, false, 3 * time.Second},
			{2 * time.Second, 2, false, settle}, // it changed: from the start
			{4 * time.Second, 2, false, time.Second},
			{time.Second, 2, true, 0},
			{time.Minute, 2, true, 0},
			{0, 3, false, settle},
		} {
			time.Sleep(c.sleep)
			e.Size = c.size
			ready, wait, reason := l.ready(e, settle)
			if ready != c.ready || wait != c.wait || ready != (reason == "") {
				t.Errorf("look %d: %v, %v, %q; want %v, %v", i+1, ready, wait, reason, c.ready, c.wait)
			}
		}
		if ready, _, _ := l.ready(Entry{Name: "off", ModTime: time.Now()}, 0); !ready {
			t.Error("settle is off")
		}
		for age, want := range map[time.Duration]bool{24*time.Hour + time.Second: true, 24*time.Hour - time.Second: false, -48 * time.Hour: false} {
			if ready, _, _ := l.ready(Entry{Name: fmt.Sprint(age), ModTime: time.Now().Add(-age)}, settle); ready != want {
				t.Errorf("one look at a file %v old: %v", age, ready)
			}
		}
		if ready, _, _ := l.ready(Entry{Name: "no time"}, settle); ready {
			t.Error("one look at a file without a time is enough")
		}
		// A pass that does not come across a file forgets it.
		l.begin()
		l.end()
		if len(l.seen) != 0 {
			t.Errorf("%d looks are left", len(l.seen))
		}
	})
}

func TestLooksAreBounded(t *testing.T) {
	l := newLooks()
	l.begin()
	now := time.Now()
	for i := range maxLooks {
		l.ready(Entry{Name: fmt.Sprint(i), ModTime: now}, time.Hour)
	}
	ready, wait, reason := l.ready(Entry{Name: "one more", ModTime: now}, time.Hour)
	if ready || wait != 0 || reason == "" || len(l.seen) != maxLooks {
		t.Errorf("%v %v %q, %d looks", ready, wait, reason, len(l.seen))
	}
	// Those that are known go on, and make room.
	if ready, _, _ := l.ready(Entry{Name: "7", ModTime: now}, time.Nanosecond); !ready {
		t.Error("a known one is not ready")
	}
	l.forget("7")
	if _, wait, _ := l.ready(Entry{Name: "one more", ModTime: now}, time.Hour); wait != time.Hour {
		t.Errorf("no room: %v", wait)
	}
}
