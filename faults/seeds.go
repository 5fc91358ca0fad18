//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"sftpconnector/faults/product"
	"sftpconnector/faults/schedule"
	"sftpconnector/faults/world"
)

// options are those of the command line.
type options struct {
	seeds     int
	first     uint64
	jobs      int
	state     string
	keep      string
	schedule  string
	shrink    bool
	tries     int
	stopAfter time.Duration
	endurance time.Duration
	binary    string // the product; empty: it is built
}

// state is what is kept between runs of the command.
type state struct {
	Product string              `json:"product"` // the SHA-256 of the program that the seeds were run with
	Sums    world.Sums          `json:"sums"`
	Done    map[uint64]bool     `json:"done"`
	Bad     map[uint64][]string `json:"bad,omitempty"` // violations by seed
}

func (o options) run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		if o.binary, err = product.Build(ctx, dir); err != nil {
			return err
		}
	}
	if o.schedule != "" {
		return o.runSchedule(ctx, out, dir)
	}
	if o.endurance > 0 {
		return o.runOne(ctx, out, dir, schedule.Endurance(o.first, o.endurance, 50, 10))
	}
	return o.runSeeds(ctx, out, dir)
}

// runOne runs a schedule and prints its figures.
func (o options) runOne(ctx context.Context, out io.Writer, dir string, s schedule.Schedule) error {
	report, err := o.one(ctx, dir, s)
	if err != nil {
		return err
	}
	var sums state
	sums.Sums.Add(report.Sums)
	for _, v := range report.Violations {
		fmt.Fprintln(out, v)
	}
	sums.print(out)
	if len(report.Violations) > 0 {
		return errViolations
	}
	return nil
}

// runSeeds runs the seeds that are not done yet, several side by side.
func (o options) runSeeds(ctx context.Context, out io.Writer, dir string) error {
	s, err := load(o.state)
	if err != nil {
		return err
	}
	product, err := digest(o.binary)
	if err != nil {
		return err
	}
	if s.Product != product { // what another program has held to says nothing of this one
		s = &state{Product: product, Done: map[uint64]bool{}, Bad: map[uint64][]string{}}
	}
	began := time.Now()
	seeds := make(chan uint64)
	var mu sync.Mutex
	var errs []error
	var group sync.WaitGroup
	for range o.jobs {
		group.Go(func() {
			for seed := range seeds {
				report, err := o.one(ctx, dir, schedule.Draw(seed))
				mu.Lock()
				if err != nil && ctx.Err() == nil {
					errs = append(errs, fmt.Errorf("seed %d: %w", seed, err))
					fmt.Fprintf(out, "seed %d: the suite: %v\n", seed, err)
				} else if err == nil && ctx.Err() == nil {
					s.note(out, seed, report)
					err = s.save(o.state)
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range o.seeds {
		seed := o.first + uint64(i)
		if ctx.Err() != nil || (o.stopAfter > 0 && time.Since(began) > o.stopAfter) {
			break
		}
		mu.Lock()
		done := s.Done[seed]
		mu.Unlock()
		if !done {
			seeds <- seed
		}
	}
	close(seeds)
	group.Wait()
	s.print(out)
	if o.shrink && o.keep != "" {
		for _, seed := range slices.Sorted(maps.Keys(s.Bad)) {
			fmt.Fprintf(out, "seed %d: looking for the smallest schedule that still fails\n", seed)
			small := o.smallest(ctx, dir, schedule.Draw(seed))
			errs = append(errs, small.Save(filepath.Join(o.keep, fmt.Sprintf("seed%d", seed), "small.json")))
		}
	}
	if len(s.Bad) > 0 {
		errs = append(errs, fmt.Errorf("%w: seeds %v", errViolations, slices.Sorted(maps.Keys(s.Bad))))
	}
	return errors.Join(errs...)
}

// one runs a schedule in a directory of its own, which is kept if asked for.
func (o options) one(ctx context.Context, dir string, s schedule.Schedule) (world.Report, error) {
	home, err := os.MkdirTemp(dir, "run")
	if err != nil {
		return world.Report{}, err
	}
	report, err := world.Run(ctx, world.Options{Binary: o.binary, Dir: home}, s)
	if o.keep != "" && (err != nil || len(report.Violations) > 0) {
		err = errors.Join(err, keep(filepath.Join(o.keep, fmt.Sprintf("seed%d", s.Seed)), home, s, report))
	}
	return report, errors.Join(err, os.RemoveAll(home))
}

// keep saves the schedule and the log of a run.
func keep(dir, home string, s schedule.Schedule, report world.Report) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	log, err := os.ReadFile(filepath.Join(home, "daemon.log"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var violations []byte
	for _, v := range report.Violations {
		violations = append(violations, v.String()+"\n"...)
	}
	return errors.Join(
		s.Save(filepath.Join(dir, "schedule.json")),
		os.WriteFile(filepath.Join(dir, "daemon.log"), log, 0o644),
		os.WriteFile(filepath.Join(dir, "violations"), violations, 0o644),
	)
}

// runSchedule runs one schedule that was kept, and shrinks it if asked to.
func (o options) runSchedule(ctx context.Context, out io.Writer, dir string) error {
	s, err := schedule.Load(o.schedule)
	if err != nil {
		return err
	}
	if o.shrink {
		s = o.smallest(ctx, dir, s)
		if err := s.Save(o.schedule + ".small"); err != nil {
			return err
		}
		fmt.Fprintf(out, "%d steps are left\n", len(s.Steps))
	}
	return o.runOne(ctx, out, dir, s)
}

// shrinkTries bounds how many schedules are tried to find a smaller one.
const shrinkTries = 60

// smallest shrinks a schedule that fails.
func (o options) smallest(ctx context.Context, dir string, s schedule.Schedule) schedule.Schedule {
	o.keep = ""
	return schedule.Shrink(s, shrinkTries, func(s schedule.Schedule) bool {
		for range o.tries {
			report, err := o.one(ctx, dir, s)
			if ctx.Err() != nil {
				return false
			}
			if err == nil && len(report.Violations) > 0 {
				return true
			}
		}
		return false
	})
}

func load(file string) (*state, error) {
	s := &state{Done: map[uint64]bool{}, Bad: map[uint64][]string{}}
	if file == "" {
		return s, nil
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if s.Bad == nil {
		s.Bad = map[uint64][]string{}
	}
	return s, nil
}

func (s *state) save(file string) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// digest is the SHA-256 of a file.
func digest(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// note adds a run to the sums. A seed with violations is not done.
func (s *state) note(out io.Writer, seed uint64, report world.Report) {
	s.Sums.Add(report.Sums)
	s.Done[seed] = len(report.Violations) == 0
	delete(s.Bad, seed)
	for _, v := range report.Violations {
		s.Bad[seed] = append(s.Bad[seed], v.String())
		fmt.Fprintf(out, "seed %d: %s\n", seed, v)
	}
	if len(report.Violations) == 0 {
		fmt.Fprintf(out, "seed %d: good, %.0f s\n", seed, report.Sums.Seconds)
	}
}

// print shows the sums.
func (s *state) print(out io.Writer) {
	fmt.Fprintf(out, "\n%d seeds: %d kills, %d power cuts that forgot %d writes and names\n", s.Sums.Seeds, s.Sums.Kills, s.Sums.PowerCuts, s.Sums.Lost)
	fmt.Fprintf(out, "%d passes, %d versions at sources, %d contents compared (%.1f GB), %d uploads, %d requests, %d deliveries told\n",
		s.Sums.Passes, s.Sums.Versions, s.Sums.Files, float64(s.Sums.Bytes)/1e9, s.Sums.Uploads, s.Sums.Requests, s.Sums.Deliveries)
	fmt.Fprintf(out, "recovered after %.1f intervals at most\n", s.Sums.Recovery)
	for _, use := range s.Sums.Use {
		fmt.Fprintln(out, use)
	}
	for _, kind := range slices.Sorted(maps.Keys(s.Sums.Faults)) {
		fmt.Fprintf(out, "  %-28s %d\n", kind, s.Sums.Faults[kind])
	}
}
