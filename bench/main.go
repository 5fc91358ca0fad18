// Command bench compares sftp-connector with what its users would pick
// instead: OpenSSH's sftp, rsync over ssh, lftp and rclone. It starts an sshd
// on loopback, builds source trees, runs every program found on every work in
// turn, and prints a table of medians, ratios, processor time and memory.
//
// docs/performance.md explains the works and has the results.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	runs   int
	warmup int
	scale  float64
	only   *regexp.Regexp
	tools  *regexp.Regexp
	to     string
	from   string
	sftp   string
	rclone string
	trees  string
	daemon string
}

func flags() (options, error) {
	var o options
	var only, tools string
	flag.IntVar(&o.runs, "runs", 3, "counted runs of each program on each work")
	flag.IntVar(&o.warmup, "warmup", 1, "runs that go first, uncounted")
	flag.Float64Var(&o.scale, "scale", 1, "size of the trees: 0.1 for a quick look")
	flag.StringVar(&only, "only", ".", "works whose name matches this regular expression")
	flag.StringVar(&tools, "tools", ".", "programs whose name matches this regular expression; ours always runs")
	flag.StringVar(&o.to, "to", "/dev/shm", "directory for the copies: memory by default, a disk to see what durability costs")
	flag.StringVar(&o.from, "from", "", "directory for the source trees (default: a temporary one)")
	flag.StringVar(&o.sftp, "binary", "", "our program (default: built from this checkout)")
	flag.StringVar(&o.rclone, "rclone", "rclone", "rclone's program")
	flag.StringVar(&o.trees, "trees", "", "look again at trees of these sizes instead, such as 10000,100000,1000000")
	flag.StringVar(&o.daemon, "connectors", "", "run a daemon instead with so many polling and so many idle connectors, such as 1000,10000")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return o, err
	}
	if o.tools, err = regexp.Compile(tools); err != nil {
		return o, err
	}
	if o.runs < 1 || o.scale <= 0 {
		return o, errors.New("-runs and -scale must be positive")
	}
	return o, nil
}

func run(ctx context.Context) error {
	o, err := flags()
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if o.from == "" {
		o.from = filepath.Join(temp, "source")
	}
	if o.to, err = os.MkdirTemp(o.to, "bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.to)
	if o.sftp == "" {
		o.sftp = filepath.Join(temp, "sftp-connector")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.sftp, "./cmd/sftp-connector")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	srv, err := startServer(ctx, temp)
	if err != nil {
		return err
	}
	defer srv.stop()
	describe(o)
	switch {
	case o.trees != "":
		sizes, err := numbers(o.trees)
		if err != nil {
			return err
		}
		return trees(ctx, o, srv, sizes)
	case o.daemon != "":
		n, err := numbers(o.daemon)
		if err != nil || len(n) != 2 {
			return errors.New("-connectors takes two numbers")
		}
		return connectors(ctx, o, srv, n[0], n[1])
	}
	var results []result
	for _, w := range works(o.scale) {
		if !o.only.MatchString(w.name) {
			continue
		}
		r, err := compare(ctx, o, srv, w, temp)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		r.print()
		results = append(results, r)
	}
	verdict(results)
	return nil
}

// numbers reads a list with commas.
func numbers(text string) ([]int, error) {
	var list []int
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}
