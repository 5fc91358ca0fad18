package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// describe says what machine and programs these are.
func describe(o options) {
	fmt.Printf("%s/%s, %d processors, %s; copies in %s; %d runs each, medians\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), o.to, o.runs)
	for _, v := range [][]string{{"ssh", "-V"}, {"rsync", "--version"}, {"lftp", "--version"}, {o.rclone, "version"}} {
		if out, err := exec.Command(v[0], v[1:]...).CombinedOutput(); err == nil {
			fmt.Println(strings.SplitN(string(out), "\n", 2)[0])
		} else {
			fmt.Printf("%s: not found\n", v[0])
		}
	}
}

// print shows a work as a table.
func (r result) print() {
	fmt.Printf("\n%s: %s\n", r.work.name, r.work.about)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "program\twall s\tfrom\tto\tours/theirs\tprocessor s\tmemory MiB\t")
	mine := median(r.by[ours], wall)
	for _, tool := range r.tools {
		samples := r.by[tool.name]
		lowest, highest := time.Duration(math.MaxInt64), time.Duration(0)
		for _, s := range samples {
			lowest, highest = min(lowest, s.wall), max(highest, s.wall)
		}
		w := median(samples, wall)
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t\n", tool.name, w.Seconds(), lowest.Seconds(), highest.Seconds(),
			ratio(mine, w), median(samples, cpu).Seconds(), median(samples, memory)>>20)
	}
	t.Flush()
}

func ratio(a, b time.Duration) float64 { return a.Seconds() / b.Seconds() }

// target is a ratio that a work must reach: ours over that of the peers.
type target struct {
	work string
	peer string // a program, "best" of all, or "best sftp"
	most float64
}

// targets are what docs/performance.md promises.
func targets() []target {
	return []target{
		{"big", "best", 0.75}, {"big", "ssh cat", 1.25},
		{"mixed", "rsync", 1.25}, {"mixed", "best sftp", 0.5},
		{"small", "rsync", 1.6}, {"small", "best sftp", 0.25},
		{"small-far", "rsync", 1.3}, {"small-far", "best sftp", 0.1},
		{"big-far", "best", 0.45},
		{"list-far", "lftp -P4", 0.7},
		{"again", "rclone", 1.0}, {"again-far", "best sftp", 0.3},
	}
}

// maxMemory is what our program may need on any of the works.
const maxMemory = 64 << 20

// verdict holds the results against the targets.
func verdict(results []result) {
	fmt.Println("\ntargets")
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range results {
		mine := median(r.by[ours], wall)
		for _, g := range targets() {
			if g.work != r.work.name {
				continue
			}
			if w, name := r.peer(g.peer); w > 0 {
				got := ratio(mine, w)
				fmt.Fprintf(t, "%s\tof %s (%s)\t%.2f\tat most %.2f\t%s\n", g.work, g.peer, name, got, g.most, holds(got <= g.most))
			}
		}
		if peer := r.by["rclone tuned"]; peer != nil {
			a, b := median(r.by[ours], cpu), median(peer, cpu)
			fmt.Fprintf(t, "%s\tprocessor time of rclone tuned\t%.2f\tat most 1.00\t%s\n", r.work.name, ratio(a, b), holds(a <= b))
		}
		m := median(r.by[ours], memory)
		fmt.Fprintf(t, "%s\tmemory\t%d MiB\tat most %d MiB\t%s\n", r.work.name, m>>20, maxMemory>>20, holds(m <= maxMemory))
	}
	t.Flush()
}

func holds(ok bool) string {
	if ok {
		return "holds"
	}
	return "MISSED"
}

// peer gives the wall time of one program, or of the best of several. cat is
// no peer: it knows the name and checks nothing.
func (r result) peer(which string) (time.Duration, string) {
	var best time.Duration
	var name string
	for _, t := range r.tools {
		if t.name == ours || t.name != which && (t.name == "ssh cat" || !strings.HasPrefix(which, "best") || which == "best sftp" && !t.sftp) {
			continue
		}
		if w := median(r.by[t.name], wall); best == 0 || w < best {
			best, name = w, t.name
		}
	}
	return best, name
}
