package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// sample is one run of a program.
type sample struct {
	wall, cpu time.Duration
	memory    int64 // bytes, of its largest process
}

// measure runs a command and reads what the kernel counted for it and the
// processes that it waited for.
func measure(ctx context.Context, argv []string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	start := time.Now()
	err := cmd.Run()
	s := sample{wall: time.Since(start)}
	if err != nil {
		return s, fmt.Errorf("%q: %w: %s", argv, err, errors.String())
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.memory = peak(cmd.ProcessState)
	return s, nil
}

// result is one work done by every program.
type result struct {
	work  work
	tools []tool
	by    map[string][]sample
}

// compare lets every program do the work, in turns.
func compare(ctx context.Context, o options, s *sshServer, w work, temp string) (result, error) {
	r := result{work: w, by: map[string][]sample{}}
	from := filepath.Join(o.from, w.name)
	if err := w.build(from); err != nil {
		return r, err
	}
	defer os.RemoveAll(from)
	near := s
	s, stop, err := s.via(ctx, w.rtt)
	if err != nil {
		return r, err
	}
	defer stop()
	for _, t := range tools(o, temp) {
		if t.found() && (t.name == ours || o.tools.MatchString(t.name)) && t.command(w.kind, s, from, filepath.Join(o.to, "x")) != nil {
			r.tools = append(r.tools, t)
		}
	}
	for i := range o.runs + o.warmup {
		for _, t := range r.tools {
			got, err := once(ctx, o, near, s, w, t, from)
			if err != nil {
				return r, err
			}
			if i >= o.warmup { // which warms the caches
				r.by[t.name] = append(r.by[t.name], got)
			}
		}
	}
	return r, nil
}

// once is one run of one program, from an empty destination. What it looks at
// again it has copied over the short line.
func once(ctx context.Context, o options, near, s *sshServer, w work, t tool, from string) (sample, error) {
	to := filepath.Join(o.to, "copy")
	defer func() {
		for _, p := range []string{to, to + ".data", to + ".yaml"} {
			os.RemoveAll(p)
		}
	}()
	if err := os.Mkdir(to, 0o755); err != nil {
		return sample{}, err
	}
	if w.kind == again {
		if _, err := measure(ctx, t.command(w.kind, near, from, to)); err != nil {
			return sample{}, err
		}
	}
	return measure(ctx, t.command(w.kind, s, from, to))
}

// median of one figure of the samples.
func median[T int64 | time.Duration](samples []sample, figure func(sample) T) T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = figure(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func wall(s sample) time.Duration { return s.wall }
func cpu(s sample) time.Duration  { return s.cpu }
func memory(s sample) int64       { return s.memory }
