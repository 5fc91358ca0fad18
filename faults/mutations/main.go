package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutations:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	only    string
	state   string
	list    bool
	verbose bool
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.only, "only", "", "numbers and names, with `*`, separated by commas; all unless given")
	flag.StringVar(&o.state, "state", "", "a `file` of results: what was caught before is not run again")
	flag.BoolVar(&o.list, "list", false, "prints the mutations and runs none")
	flag.BoolVar(&o.verbose, "v", false, "prints what the tests say of what is not caught")
	flag.Parse()
	all, err := mutations(lists)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m mutation) bool { return !m.among(o.only) })
	if o.list {
		for _, m := range all {
			fmt.Printf("%3d  %s (%s)\n     %s\n", m.number, m.name, m.file, m.breaks)
		}
		return nil
	}
	return o.runAll(ctx, all)
}

// among reports whether the mutation is one of those asked for.
func (m mutation) among(only string) bool {
	if only == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(only, ","), func(want string) bool {
		fits, err := path.Match(want, m.name)
		return err == nil && fits || want == strconv.Itoa(m.number)
	})
}

// runAll tries the mutations in a copy of the module around the working directory.
func (o options) runAll(ctx context.Context, all []mutation) error {
	done, err := load(o.state)
	if err != nil {
		return err
	}
	top, err := moduleTop(ctx)
	if err != nil {
		return err
	}
	to, err := os.MkdirTemp("", "mutations-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(to)
	r, err := newRunner(top, to)
	if err != nil {
		return err
	}
	began, sums := time.Now(), map[verdict]int{}
	for _, m := range all {
		result, old := done[m.name]
		if old = old && result.Text == m.digest(); !old {
			if result, err = o.one(ctx, r, m); err != nil {
				return err
			}
		}
		sums[result.Verdict]++
		print(m, result, old)
	}
	fmt.Printf("%d mutations in %s:", len(all), time.Since(began).Round(time.Second))
	for _, v := range []verdict{caught, survived, noCompile, noFit, noBaseline} {
		fmt.Printf(" %d %s;", sums[v], v)
	}
	fmt.Println()
	if sums[caught] < len(all) {
		return errors.New("not all mutations were caught")
	}
	return nil
}

// one tries a mutation and saves what became of it.
func (o options) one(ctx context.Context, r *runner, m mutation) (outcome, error) {
	began := time.Now()
	v, err := r.try(ctx, m)
	if err != nil {
		return outcome{}, err
	}
	result := outcome{Name: m.name, Text: m.digest(), Verdict: v, Seconds: time.Since(began).Seconds()}
	if v == caught {
		result.Noticed = r.noticed()
	} else if o.verbose {
		fmt.Println(r.last)
	}
	return result, save(o.state, result)
}

func print(m mutation, o outcome, old bool) {
	from := ""
	if old {
		from = ", before"
	}
	by := "a test that did not end"
	if len(o.Noticed) > 0 {
		by = o.Noticed[0]
	}
	switch o.Verdict {
	case caught:
		fmt.Printf("%3d  %-16s %5.0fs%s  %s, by %s\n", m.number, o.Verdict, o.Seconds, from, m.name, by)
	default:
		fmt.Printf("%3d  %-16s %5.0fs%s  %s (%s): %s\n", m.number, o.Verdict, o.Seconds, from, m.name, m.file, m.breaks)
	}
}

// moduleTop is the directory of the module's go.mod.
func moduleTop(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
