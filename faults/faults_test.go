//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"sftpconnector/faults/product"
	"sftpconnector/faults/schedule"
	"sftpconnector/faults/world"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Some seeds, and the schedules of testdata, in each of which a promise was once
// broken. FAULTS_SEEDS says how many seeds there are, and that all schedules of
// testdata are run; else there are two seeds, and no more.
func TestPromisesHold(t *testing.T) {
	t.Parallel()
	seeds, all := 2, false
	if text := os.Getenv("FAULTS_SEEDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		seeds, all = n, true
	}
	binary, err := product.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for seed := range seeds {
		s := schedule.Draw(uint64(1 + seed))
		t.Run("seed "+strconv.FormatUint(s.Seed, 10), func(t *testing.T) { holds(t, binary, s) })
	}
	kept, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range kept {
		s, err := schedule.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if all {
			t.Run(filepath.Base(file), func(t *testing.T) { holds(t, binary, s) })
		}
	}
}

func holds(t *testing.T, binary string, s schedule.Schedule) {
	t.Parallel()
	dir := t.TempDir()
	report, err := world.Run(t.Context(), world.Options{Binary: binary, Dir: dir}, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Violations {
		t.Error(v)
	}
	if t.Failed() {
		log, _ := os.ReadFile(filepath.Join(dir, "daemon.log"))
		t.Logf("the daemon's log:\n%s", log[max(0, len(log)-20_000):])
	}
}
