package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cheggaaa/pb/v3"

	"sftpconnector/connector"
	"sftpconnector/interapp"
)

// barTemplate: what runs, files, bytes, the bar, rate and time left.
const barTemplate = `{{string . "what"}} {{counters . }} {{bar . }} {{percent . }} {{speed . }} {{rtime . "%s left"}}`

// progresser looks at work under way; ok is false while there is nothing to see.
type progresser interface {
	progress(ctx context.Context, of string) (p interapp.Progress, ok bool)
}

// showProgress draws a bar over all the connectors that are applied, or the
// requests that are done, on a terminal; elsewhere it does nothing. Call stop
// before anything else is printed.
func (a *app) showProgress(ctx context.Context, by progresser, names []string) (stop func()) {
	if a.json || !terminal(a.stderr) {
		return func() {}
	}
	bar := pb.New64(0).Set(pb.Bytes, true).Set(pb.Terminal, true).SetWriter(a.person).SetTemplateString(barTemplate).SetRefreshRate(100 * time.Millisecond)
	bar.Set("what", "connecting").Start()
	ctx, cancel := context.WithCancel(ctx)
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				draw(ctx, bar, by, names)
			}
		}
	})
	return func() {
		cancel()
		drawing.Wait()
		bar.Finish()
	}
}

func draw(ctx context.Context, bar *pb.ProgressBar, by progresser, names []string) {
	var sum interapp.Progress
	running := 0
	for _, name := range names {
		p, ok := by.progress(ctx, name)
		if !ok {
			continue
		}
		running++
		sum.Seen += p.Seen
		sum.FilesDone += p.FilesDone
		sum.FilesFound += p.FilesFound
		sum.BytesDone += p.BytesDone
		sum.BytesFound += p.BytesFound
		sum.Doing = p.Doing
	}
	if running == 0 {
		return
	}
	what := fmt.Sprintf("%d/%d files", sum.FilesDone, sum.FilesFound)
	if sum.FilesFound == 0 {
		what = fmt.Sprintf("%d files seen, %s", sum.Seen, shown(cut(sum.Doing, 40)))
	}
	bar.Set("what", what).SetTotal(sum.BytesFound).SetCurrent(sum.BytesDone)
}

// runs are the passes of this process, by connector.
type runs struct {
	mu sync.Mutex
	by map[string]func() connector.PassReport
}

func newRuns() *runs { return &runs{by: map[string]func() connector.PassReport{}} }

func (r *runs) put(name string, e *connector.Element, run *connector.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.by[name] = func() connector.PassReport { return e.Look(run) }
}

func (r *runs) progress(name string) (interapp.Progress, bool) {
	r.mu.Lock()
	look := r.by[name]
	r.mu.Unlock()
	if look == nil {
		return interapp.Progress{}, false
	}
	p := look()
	if p.Progress == nil {
		return interapp.Progress{}, false
	}
	return interapp.Progress(*p.Progress), true
}
