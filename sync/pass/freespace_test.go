package pass_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sftpconnector/status"
	"sftpconnector/store/local"
	"sftpconnector/store/pending"
	filesync "sftpconnector/sync"
)

// counting notes which files are begun.
type counting struct {
	*tight
	mu    sync.Mutex
	begun []string
}

func (d *counting) Begin(ctx context.Context, e filesync.Entry, resume *filesync.Checkpoint) (filesync.Pending, error) {
	d.mu.Lock()
	d.begun = append(d.begun, e.Name)
	d.mu.Unlock()
	return d.tight.Begin(ctx, e, resume)
}

// times is how often a file was begun.
func (d *counting) times(name string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.begun {
		if b == name {
			n++
		}
	}
	return n
}

// telling is a destination that tells its room. Directories may have their own.
type telling struct {
	*counting
	total int64
	own   map[string]filesync.Room
}

func (d *telling) Room(ctx context.Context, dir string) (filesync.Room, error) {
	if own, ok := d.own[dir]; ok {
		return own, nil
	}
	d.tight.mu.Lock()
	defer d.tight.mu.Unlock()
	return filesync.Room{Free: d.tight.room, Total: d.total}, nil
}

// little is a destination with little room.
func (b *bench) little(room int64) *counting {
	b.t.Helper()
	dst, err := local.Open(b.dir, pending.NewOwner(b.ledger.Owner(), "c", 0))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { dst.Close() })
	return &counting{tight: &tight{Destination: dst, room: room}}
}

const (
	unit = 16 << 10
	mib  = 1 << 20
)

// What does not fit is not begun, whatever the number of passes, and is no try;
// all that fits arrives, the reserve stays, and with room again it is all there.
func TestWhatDoesNotFitIsNotBegun(t *testing.T) {
	b := newBench(t)
	d := &telling{counting: b.little(5 * unit), total: 10 * unit}
	b.to = d
	b.src.Put("large", bulk(6*unit), old)
	for i := range 300 { // more than a pass writes in vain
		b.src.Put(fmt.Sprintf("a/large%03d", i), bulk(5*unit), old)
	}
	b.src.Put("small", "fits", old)
	b.src.Put("z/small", "fits", old)
	for range 3 {
		for _, mode := range []filesync.Mode{filesync.Automatic, filesync.Apply} {
			r, _ := b.run(t.Context(), mode, nil)
			if r.Outcome != filesync.Failed || !status.Is(r.Err, status.DestinationUnavailable) || !errors.Is(r.Err, filesync.ErrFull) || r.Files.Failed != 301 {
				t.Fatalf("%s %+v %v", r.Outcome, r.Files, r.Err)
			}
			i := slices.IndexFunc(r.Failures, func(f filesync.FileFailure) bool { return f.Name == "large" })
			if i < 0 || !strings.Contains(r.Failures[i].Error, "it needs 98.3 kB, and 81.9 kB are free") || !strings.Contains(r.Failures[i].Hint, "Free space") {
				t.Errorf("failures: %+v", r.Failures[max(0, i)])
			}
		}
	}
	if got := len(d.begun); got != 2 || d.times("small") != 1 || d.times("z/small") != 1 {
		t.Errorf("begun: %q", d.begun)
	}
	recs, err := b.memory.Find(t.Context(), []string{"large", "small"})
	if err != nil || recs[0].FailureID != 0 || recs[1].ID == 0 {
		t.Errorf("%+v %v", recs, err)
	}
	d.tight.mu.Lock()
	d.tight.room, d.total = 4000*unit, 8000*unit
	d.tight.mu.Unlock()
	r, _ := b.run(t.Context(), filesync.Apply, nil)
	b.want(r, filesync.Succeeded, "copied=301 present=2")
}

// Files that are written side by side do not take each other's room: as many are
// begun as fit, no write fails, and the rest waits for what they leave.
func TestRoomIsPromisedOnce(t *testing.T) {
	b := newBench(t)
	d := &telling{counting: b.little(20 * unit), total: 20 * unit}
	b.to = d
	b.src.Block = 1 << 10
	for i := range 50 {
		b.src.Put(fmt.Sprintf("d%d/f%02d", i%3, i), bulk(unit), old)
	}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			mode, sel := filesync.Automatic, (*filesync.Selection)(nil)
			if i > 0 {
				mode, sel = filesync.Request, selection(t, fmt.Sprintf("f*%d", i), time.Time{}, time.Time{})
			}
			b.run(t.Context(), mode, sel)
		})
	}
	all.Wait()
	if len(d.begun) != 19 || d.tight.room != unit || d.failed > 0 {
		t.Errorf("%d files were begun, %d writes failed, %d bytes are left", len(d.begun), d.failed, d.tight.room)
	}
}

// A directory may be on another file system.
func TestRoomOfEachDirectory(t *testing.T) {
	b := newBench(t)
	d := &telling{counting: b.little(100 * unit), total: 100 * unit, own: map[string]filesync.Room{
		"full":    {Free: 1000, Total: 100 * unit},
		"unknown": {},
	}}
	b.to = d
	for _, dir := range []string{"full", "unknown", "roomy", ""} {
		b.src.Put(path.Join(dir, "f"), bulk(unit), old)
	}
	r, a := b.run(t.Context(), filesync.Automatic, nil)
	if got := a.there(); got != "f roomy/f unknown/f" || !errors.Is(r.Err, filesync.ErrFull) {
		t.Errorf("there: %s; %v", got, r.Err)
	}
}

// Where others take the room meanwhile, a file is given up before the last byte.
func TestOthersTakeTheRoom(t *testing.T) {
	b := newBench(t)
	d := &telling{counting: b.little(20 * mib), total: 40 * mib} // 2 MiB are kept
	b.to = d
	b.src.Block = 64 << 10
	b.src.Put("large", bulk(12*mib), old)
	least := int64(20 * mib)
	b.src.OnFetch = func(e filesync.Entry, off int64) error {
		d.tight.mu.Lock()
		defer d.tight.mu.Unlock()
		if off == 2*mib {
			d.tight.room -= 8 * mib
		}
		least = min(least, d.tight.room)
		return nil
	}
	r, _ := b.run(t.Context(), filesync.Automatic, nil)
	if r.Outcome != filesync.Failed || !errors.Is(r.Err, filesync.ErrFull) || !strings.Contains(r.Err.Error(), "others have written") || d.failed > 0 {
		t.Errorf("%s %v; %d writes failed", r.Outcome, r.Err, d.failed)
	}
	if least <= 0 || d.tight.room != 12*mib {
		t.Errorf("%d bytes were left, and %d are now", least, d.tight.room)
	}
	b.noPending()
}

// A destination that cannot tell is not filled by each pass: a file that found no
// room, and larger ones beside it, wait as failed files do, and are never put into quarantine.
func TestFullDestinationThatCannotTell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		d := b.little(unit)
		b.to = d
		b.src.Put("d/large", bulk(2*unit), old)
		started := time.Now()
		var tried []time.Duration
		for range 240 { // every minute
			n := d.times("d/large")
			r, a := b.run(t.Context(), filesync.Automatic, nil)
			if r.Outcome != filesync.Failed || !status.Is(r.Err, status.DestinationUnavailable) || strings.Join(a.names(filesync.StateFailed), " ") != "d/large" {
				t.Fatalf("%s %v", r.Outcome, r.Err)
			}
			if d.times("d/large") > n {
				tried = append(tried, time.Since(started).Round(time.Minute))
			}
			time.Sleep(time.Minute)
		}
		if want := "[0s 1m0s 3m0s 7m0s 15m0s 31m0s 1h3m0s 2h3m0s 3h3m0s]"; fmt.Sprint(tried) != want {
			t.Errorf("tried after %v, want %s", tried, want)
		}
		// Others are not held back, nor is who asks.
		b.src.Put("d/larger", bulk(3*unit), old)
		b.src.Put("d/small", "x", old)
		b.src.Put("e/large", bulk(2*unit), old)
		d.begun = nil
		_, a := b.run(t.Context(), filesync.Automatic, nil)
		if d.times("d/larger")+d.times("d/large") > 0 || d.times("e/large") == 0 || a.there() != "d/small" {
			t.Errorf("begun: %q; there: %s", d.begun, a.there())
		}
		d.tight.room = 100 * unit
		r, _ := b.run(t.Context(), filesync.Apply, nil)
		b.want(r, filesync.Succeeded, "copied=3 present=1")
		b.src.Put("d/next", bulk(2*unit), old)
		r, _ = b.run(t.Context(), filesync.Automatic, nil)
		b.want(r, filesync.Succeeded, "copied=1 present=4")
	})
}

// farRoom is a destination on another machine.
type farRoom struct {
	*counting
	asked atomic.Int64
}

func (d *farRoom) Room(context.Context, string) (filesync.Room, error) {
	d.asked.Add(1)
	return filesync.Room{Free: 1 << 40, Total: 1 << 41, Remote: true}, nil
}

// The room of another machine has no reserve: it is asked for once, not as a file grows.
func TestRoomOfAnotherMachineIsAskedOnce(t *testing.T) {
	b := newBench(t)
	d := &farRoom{counting: b.little(1 << 40)}
	b.to = d
	b.src.Block = 32 << 10
	b.src.Put("large", strings.Repeat("x", 16<<20), old)
	b.want(b.pass(filesync.Apply), filesync.Succeeded, "copied=1")
	if n := d.asked.Load(); n > 2 {
		t.Errorf("asked %d times for 16 MiB", n)
	}
}
