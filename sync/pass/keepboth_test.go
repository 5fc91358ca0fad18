package pass_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

func keepingBoth(o *pass.Options) {
	o.Once, o.Overwrite, o.KeepBoth, o.AfterCopy.Remove = true, true, true, true
}

// The next number of a name costs few looks, however many there are.
func TestKeepBothOfMany(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 1000, 100_000} {
		b, d := newFoldingBench(t)
		for i := 1; i <= n; i++ {
			d.Put(filesync.Entry{Name: filesync.Numbered("data.csv", i), ModTime: old}, "earlier")
		}
		b.src.Put("data.csv", "the next", old)
		b.want(b.pass(filesync.Automatic, keepingBoth), filesync.Succeeded, "copied=1")
		name := filesync.Numbered("data.csv", n+1)
		if all := d.Files(); len(all) != n+1 || all[name] != "the next" {
			t.Errorf("%d files after %d, %s is %q", len(all), n, name, all[name])
		}
		if looked := d.Looked.Load(); looked > 40 {
			t.Errorf("%d names were looked at after %d files", looked, n)
		}
	}
}

// Whatever numbers are taken, nothing that stands is touched.
func TestKeepBothAmongGaps(t *testing.T) {
	const names = 200
	random := rand.New(rand.NewPCG(1, 2))
	b, d := newFoldingBench(t)
	before := 0
	for i := range names {
		name := fmt.Sprintf("x%d.csv", i)
		for n := 1; n < 40; n++ {
			if random.IntN(40) > i/5 {
				d.Put(filesync.Entry{Name: filesync.Numbered(name, n), ModTime: old}, "earlier")
				before++
			}
		}
		b.src.Put(name, "now", old)
	}
	b.want(b.pass(filesync.Automatic, keepingBoth), filesync.Succeeded, fmt.Sprintf("copied=%d", names))
	earlier := 0
	all := d.Files()
	for _, data := range all {
		if data == "earlier" {
			earlier++
		}
	}
	if earlier != before || len(all) != before+names {
		t.Errorf("%d of %d earlier files stand among %d", earlier, before, len(all))
	}
	if looked := d.Looked.Load(); looked > names*14 {
		t.Errorf("%d names were looked at", looked)
	}
}

// Files of free names are looked at together.
func TestKeepBothOfFreeNames(t *testing.T) {
	b, d := newFoldingBench(t)
	for i := range 300 {
		b.src.Put(fmt.Sprintf("x%d.csv", i), "data", old)
	}
	b.want(b.pass(filesync.Automatic, keepingBoth), filesync.Succeeded, "copied=300")
	if n := d.Stats.Load(); n > 10 {
		t.Errorf("%d looks for 300 files", n)
	}
}

// crowded is a destination where another program takes a name as soon as a pass
// has seen that it is free.
type crowded struct {
	*storetest.Folding
	once atomic.Bool
}

func (d *crowded) Stat(ctx context.Context, names []string) ([]filesync.StatResult, error) {
	stats, err := d.Folding.Stat(ctx, names)
	if d.once.CompareAndSwap(false, true) {
		d.Put(filesync.Entry{Name: names[0], ModTime: old.Add(time.Hour)}, "theirs")
	}
	return stats, err
}

func TestKeepBothReplacesNothingThatComesBetween(t *testing.T) {
	b, d := newFoldingBench(t)
	b.to = &crowded{Folding: d}
	b.src.Put("x.csv", "ours", old)
	b.want(b.pass(filesync.Automatic, keepingBoth), filesync.Partial, "conflict=1")
	wantFolding(t, d, map[string]string{"x.csv": "theirs"})
	b.want(b.pass(filesync.Automatic, keepingBoth), filesync.Succeeded, "copied=1")
	wantFolding(t, d, map[string]string{"x.csv": "theirs", "x (2).csv": "ours"})
}
