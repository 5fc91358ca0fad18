//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// errViolations is what a run with violations ends with.
var errViolations = errors.New("promises were not kept")

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.IntVar(&o.seeds, "seeds", 10, "how many seeds to run")
	flags.Uint64Var(&o.first, "from", 1, "the first `seed`")
	flags.IntVar(&o.jobs, "jobs", 8, "how many run side by side")
	flags.StringVar(&o.state, "state", "", "`file` that keeps the sums and the seeds that are done; a later run goes on from it")
	flags.StringVar(&o.keep, "keep", "", "`directory` that keeps what is left of runs with violations")
	flags.StringVar(&o.schedule, "schedule", "", "run this `file` instead of seeds")
	flags.BoolVar(&o.shrink, "shrink", false, "look for the smallest schedule that still fails, of the -schedule or of each bad seed that is kept")
	flags.IntVar(&o.tries, "tries", 3, "when shrinking: runs of a schedule before it counts as good")
	flags.DurationVar(&o.endurance, "endurance", 0, "instead of seeds, one run of so long with 50 connectors and 10 Spaces")
	flags.DurationVar(&o.stopAfter, "stop-after", 0, "begin no more seeds after so long; 0: go on to the last")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return o.run(ctx, os.Stdout)
}
