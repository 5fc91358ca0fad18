package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cheggaaa/pb/v3"

	"sftpconnector/interapp"
)

// barTemplate: what runs, files, bytes, the bar, rate and time left.
const barTemplate = `{{string . "what"}} {{counters . }} {{bar . }} {{percent . }} {{speed . }} {{rtime . "%s left"}}`

// progressFunc gives the progress of work under way; nil while there is nothing to see.
type progressFunc func(ctx context.Context, of string) *interapp.Progress

// showProgress draws a bar over all the connectors that are applied, or the
// requests that are done, on a terminal; elsewhere it does nothing. Call stop
// before anything else is printed.
func (o *output) showProgress(ctx context.Context, at progressFunc, names []string) (stop func()) {
	if o.json || !terminal(o.stderr) {
		return func() {}
	}
	bar := pb.New64(0).Set(pb.Bytes, true).Set(pb.Terminal, true).SetWriter(o.console).SetTemplateString(barTemplate).SetRefreshRate(100 * time.Millisecond)
	bar.Set("what", "connecting").Start()
	ctx, cancel := context.WithCancel(ctx)
	seen := make([]interapp.Progress, len(names)) // what has ended counts on
	var drawing sync.WaitGroup
	drawing.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				for i, name := range names {
					if p := at(ctx, name); p != nil {
						seen[i] = *p
					}
				}
				draw(bar, seen)
			}
		}
	})
	return func() {
		cancel()
		drawing.Wait()
		bar.Finish()
	}
}

// draw shows the sum of what was seen.
func draw(bar *pb.ProgressBar, seen []interapp.Progress) {
	var sum interapp.Progress
	for _, p := range seen {
		sum.Seen += p.Seen
		sum.FilesDone += p.FilesDone
		sum.FilesFound += p.FilesFound
		sum.BytesDone += p.BytesDone
		sum.BytesFound += p.BytesFound
		if p.Doing != "" {
			sum.Doing = p.Doing
		}
	}
	if sum == (interapp.Progress{}) {
		return
	}
	what := fmt.Sprintf("%d/%d files", sum.FilesDone, sum.FilesFound)
	if sum.FilesFound == 0 {
		what = fmt.Sprintf("%d files seen, %s", sum.Seen, shown(cut(sum.Doing, 40)))
	}
	bar.Set("what", what).SetTotal(sum.BytesFound).SetCurrent(sum.BytesDone)
}
