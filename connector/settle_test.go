package connector_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/config"
	"sftpconnector/store/sftp/sftptest"
	filesync "sftpconnector/sync"
)

// Files that are being written are not copied half, as long as no pause of
// their writer is longer than settle; after a longer one, the later version
// replaces the earlier. SOAK=1: with the default settle and a writer of 30 s.
func TestSettle(t *testing.T) {
	t.Parallel()
	settle, rounds := 2*time.Second, 15
	if os.Getenv("SOAK") != "" {
		settle, rounds = 5*time.Second, 30
	}
	e := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{}).Endpoint
	r := newRig(t, e, func(r *rig) { r.cfg.Files.Settle = config.Duration(settle) })
	w := &writers{t: t, dir: e.Root, step: settle / 5, rounds: rounds,
		pauses: map[string]time.Duration{}, earlier: map[string]int{}}
	w.start(settle)
	watched := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(r.dir, watched) })

	r.every("1s")
	writing := make(chan struct{})
	go func() {
		w.all.Wait()
		close(writing)
	}()
	for done := false; !done; {
		select {
		case <-writing:
			done = true
		case <-r.passes: // an Apply between the ticks
			r.apply()
		}
	}
	r.settled()
	p := r.apply()
	if p.Result.Outcome != filesync.Succeeded || p.Result.Files.Waiting != 0 || p.Result.Files.Copied+p.Result.Files.Present != 20 {
		t.Errorf("the last Apply: %s %+v %v", p.Result.Outcome, p.Result.Files, p.Result.Failures)
	}
	close(watched)
	watching.Wait()
	sftptest.CompareTrees(t, e.Root, r.dir)
	steady := 0
	for name, pause := range w.pauses {
		switch size, seen := w.earlier[name]; {
		case pause >= settle: // its writer meant to, or the machine stood still
		case seen:
			t.Errorf("%s stood at the destination with %d bytes; its writer's longest pause was %v", name, size, pause)
		default:
			steady++
		}
	}
	if steady == 0 || len(w.earlier) == 0 {
		t.Errorf("%d files were written steadily, %d stood in an earlier version: the test saw nothing", steady, len(w.earlier))
	}
}

// writers append to 20 files side by side: ten without a pause that is as
// long as settle, ten with one that lasts until an earlier version stands at the
// destination.
type writers struct {
	t      *testing.T
	dir    string
	step   time.Duration
	rounds int
	all    sync.WaitGroup

	mu      sync.Mutex
	pauses  map[string]time.Duration // the longest of each file as it really was
	earlier map[string]int           // bytes of files that stood in an earlier version
}

// line is what is appended in a round.
func line(round int) string { return fmt.Sprintf("line %d of the file\n", round) }

func (w *writers) start(settle time.Duration) {
	for i := range 20 {
		if i%2 == 1 {
			name := fmt.Sprintf("pausing-%d.csv", i)
			w.all.Go(func() { w.write(name, i, func() { w.untilDelivered(name) }) })
		} else {
			w.all.Go(func() { w.write(fmt.Sprintf("steady-%d.csv", i), i, func() { <-time.After(settle * 7 / 10) }) })
		}
	}
}

// write is one writer. Its pace is the input of the test, not a wait for anything.
func (w *writers) write(name string, i int, pause func()) {
	f, err := os.Create(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer f.Close()
	last := time.Now()
	for round := range w.rounds {
		if _, err := f.WriteString(line(round)); err != nil {
			w.t.Error(err)
			return
		}
		w.mu.Lock()
		w.pauses[name] = max(w.pauses[name], time.Since(last))
		w.mu.Unlock()
		last = time.Now()
		if round == w.rounds/2-i%5 { // not all at one time
			pause()
		} else {
			<-time.After(w.step)
		}
	}
}

// untilDelivered waits until the watcher has seen an earlier version of a file.
func (w *writers) untilDelivered(name string) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for late := time.After(time.Minute); ; {
		w.mu.Lock()
		_, seen := w.earlier[name]
		w.mu.Unlock()
		if seen {
			return
		}
		select {
		case <-look.C:
		case <-late:
			w.t.Errorf("%s was not delivered while its writer paused", name)
			return
		}
	}
}

// watch looks all the time at what stands at the destination.
func (w *writers) watch(dir string, done <-chan struct{}) {
	var whole bytes.Buffer
	for round := range w.rounds {
		whole.WriteString(line(round))
	}
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-done:
			return
		case <-look.C:
		}
		entries, _ := os.ReadDir(dir) // there is none at first
		for _, e := range entries {
			name := e.Name()
			if strings.HasSuffix(name, ".part") {
				continue
			}
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil || bytes.Equal(got, whole.Bytes()) {
				continue
			}
			if !bytes.HasPrefix(whole.Bytes(), got) {
				w.t.Errorf("%s is no version that ever was", name)
				return
			}
			w.mu.Lock()
			w.earlier[name] = len(got)
			w.mu.Unlock()
		}
	}
}
