package pass

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	filesync "sftpconnector/sync"
)

func TestReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const settle = 5 * time.Second
		l := newObservations()
		l.begin()
		e := filesync.Entry{Name: "a", Size: 1, ModTime: time.Now()}
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
		if ready, _, _ := l.ready(filesync.Entry{Name: "off", ModTime: time.Now()}, 0); !ready {
			t.Error("settle is off")
		}
		// No age excuses a file from the second look: clocks and times may be wrong.
		for _, age := range []time.Duration{-48 * time.Hour, 0, 24*time.Hour + time.Second, 365 * 24 * time.Hour} {
			if ready, wait, _ := l.ready(filesync.Entry{Name: fmt.Sprint(age), ModTime: time.Now().Add(-age)}, settle); ready || wait != settle {
				t.Errorf("one look at a file %v old: %v, %v", age, ready, wait)
			}
		}
		if ready, _, _ := l.ready(filesync.Entry{Name: "no time"}, settle); ready {
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
	l := newObservations()
	l.max = 1000
	l.begin()
	now := time.Now()
	for i := range l.max {
		l.ready(filesync.Entry{Name: fmt.Sprint(i), ModTime: now}, time.Hour)
	}
	ready, wait, reason := l.ready(filesync.Entry{Name: "one more", ModTime: now}, time.Hour)
	if ready || wait != 0 || reason == "" || len(l.seen) != l.max {
		t.Errorf("%v %v %q, %d looks", ready, wait, reason, len(l.seen))
	}
	// Those that are known go on, and make room.
	if ready, _, reason := l.ready(filesync.Entry{Name: "7", ModTime: now}, time.Hour); ready || reason == "" {
		t.Error("a known one is ready too soon")
	}
	l.forget("7")
	if _, wait, _ := l.ready(filesync.Entry{Name: "one more", ModTime: now}, time.Hour); wait < time.Hour || wait > time.Hour+timeStep {
		t.Errorf("no room: %v", wait)
	}
}

// A look is kept for longer than its time can be told.
func TestLooksOutliveTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newObservations()
		e := filesync.Entry{Name: "a"}
		l.ready(filesync.Entry{Name: "b"}, time.Minute)
		time.Sleep(250 * 24 * time.Hour)
		if ready, wait, _ := l.ready(filesync.Entry{Name: "b"}, time.Minute); !ready {
			t.Errorf("one that stood still for 250 days waits %v", wait)
		}
		for _, after := range []time.Duration{0, 300 * 24 * time.Hour, 3 * 365 * 24 * time.Hour} {
			time.Sleep(after)
			l.forget("a")
			if ready, wait, _ := l.ready(e, time.Minute); ready || wait != time.Minute {
				t.Errorf("%v: %v, %v", after, ready, wait)
			}
			time.Sleep(time.Minute + timeStep)
			if ready, _, _ := l.ready(e, time.Minute); !ready {
				t.Errorf("%v: not ready after the time", after)
			}
		}
	})
}
