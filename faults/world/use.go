//go:build linux

package world

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// measureEach is how often it is looked what the daemon uses. Runs of seeds are
// too short for it.
const measureEach = time.Minute

// Use is what the daemon used at a time.
type Use struct {
	At          time.Duration // since the run began
	Start       int           // which start of the daemon it was
	Memory      int64         // resident, in bytes
	Descriptors int
	Goroutines  int
	Disk        int64 // of the data directory, in bytes
}

func (u Use) String() string {
	return fmt.Sprintf("  after %6s: start %d, %d MB of memory, %d descriptors, %d goroutines, %d MB in the data directory",
		u.At.Round(time.Second), u.Start, u.Memory>>20, u.Descriptors, u.Goroutines, u.Disk>>20)
}

// measure notes what the daemon uses, until ctx ends.
func (w *world) measure(ctx context.Context) {
	began := time.Now()
	tick := time.NewTicker(measureEach)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		use, err := w.use(ctx)
		if err != nil {
			continue // it is ended at the moment, or stands still
		}
		use.At = time.Since(began)
		w.notes.mu.Lock()
		w.notes.use = append(w.notes.use, use)
		w.notes.mu.Unlock()
	}
}

func (w *world) use(ctx context.Context) (Use, error) {
	pid, start := w.daemon.running()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	u := Use{Start: start}
	text, err := os.ReadFile(filepath.Join(proc, "statm"))
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return u, fmt.Errorf("statm: %q", text)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return u, err
	}
	u.Memory = pages * int64(os.Getpagesize())
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return u, err
	}
	u.Descriptors = len(open)
	if u.Goroutines, err = w.api.metric(ctx, "go_goroutines"); err != nil {
		return u, err
	}
	err = filepath.WalkDir(w.path("data/connector"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it goes meanwhile
		}
		if info, err := d.Info(); err == nil {
			u.Disk += info.Size()
		}
		return nil
	})
	return u, err
}

// metric reads a metric without labels.
func (a *api) metric(ctx context.Context, name string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := a.text(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			return int(f), err
		}
	}
	return 0, fmt.Errorf("no metric %s", name)
}

// checkUse compares what the last start of the daemon used early and late. All
// of it goes up and down with the work, so the least
// of a third is compared: a leak lifts that.
func (w *world) checkUse() {
	w.notes.mu.Lock()
	all := w.notes.use
	w.notes.mu.Unlock()
	if len(all) == 0 {
		return
	}
	last := all[len(all)-1].Start
	for len(all) > 0 && all[0].Start != last {
		all = all[1:]
	}
	third := len(all) / 3
	if third < 3 {
		return
	}
	early, late := least(all[:third]), least(all[len(all)-third:])
	for _, c := range []struct {
		what        string
		early, late int64
		slack       int64
	}{
		{"memory", early.Memory, late.Memory, early.Memory/2 + 32<<20},
		{"descriptors", int64(early.Descriptors), int64(late.Descriptors), int64(early.Descriptors)/4 + 20},
		{"bytes in the data directory", early.Disk, late.Disk, early.Disk + 64<<20}, // rows of files and passes are kept for days
		{"goroutines", int64(early.Goroutines), int64(late.Goroutines), int64(early.Goroutines)/4 + 50},
	} {
		if c.late > c.early+c.slack {
			w.notes.violation("nothing leaks", fmt.Sprintf("%s: %d at first, %d at last", c.what, c.early, c.late))
		}
	}
}

// least is the least of each figure.
func least(all []Use) Use {
	u := all[0]
	for _, o := range all[1:] {
		u.Memory = min(u.Memory, o.Memory)
		u.Descriptors = min(u.Descriptors, o.Descriptors)
		u.Goroutines = min(u.Goroutines, o.Goroutines)
		u.Disk = min(u.Disk, o.Disk)
	}
	return u
}
