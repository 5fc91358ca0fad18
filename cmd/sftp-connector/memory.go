package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The garbage collector's usual rule, a heap of twice what lives, makes it run
// hundreds of times in a pass over small files, whose heap is tiny, and lets
// large files take more than the 64 MiB that a small machine has to spare. So
// the heap may grow freely up to baseMemory, and from there on by that rule, but by
// no more than mostGarbage: a million files that wait to stand still live in 70 MB.
const (
	baseMemory   = 34 << 20 // bytes
	mostGarbage  = 32 << 20 // bytes
	freePercent  = 400
	tuneInterval = 250 * time.Millisecond
)

// tuneMemory keeps to that until ctx ends. It leaves a process alone whose
// environment says what it may take.
func tuneMemory(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent, limit := debug.SetGCPercent(freePercent), debug.SetMemoryLimit(baseMemory)
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(tuneInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			metrics.Read(live)
			lives := int64(live[0].Value.Uint64())
			debug.SetMemoryLimit(max(baseMemory, lives+min(lives, mostGarbage)))
		}
	}
}
