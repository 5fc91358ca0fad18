//go:build linux

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"sftpconnector/faults/model"
	"sftpconnector/faults/world"
)

// What is kept between two runs of the command is what they have done together.
func TestStateGoesOn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	var out bytes.Buffer
	for seed := range uint64(3) {
		s, err := load(file)
		if err != nil {
			t.Fatal(err)
		}
		report := world.Report{Sums: world.Sums{Seeds: 1, Kills: 2, Faults: map[string]int{"kill": 2}}}
		if seed == 1 {
			report.Violations = []model.Violation{{Promise: "nothing is left", Detail: "x"}}
		}
		s.note(&out, seed, report)
		if err := s.save(file); err != nil {
			t.Fatal(err)
		}
	}
	s, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	if s.Sums.Seeds != 3 || s.Sums.Kills != 6 || s.Sums.Faults["kill"] != 6 {
		t.Errorf("the sums are %+v", s.Sums)
	}
	if !s.Done[0] || s.Done[1] || !s.Done[2] || len(s.Bad) != 1 {
		t.Errorf("done %v, bad %v", s.Done, s.Bad)
	}
	s.note(&out, 1, world.Report{Sums: world.Sums{Seeds: 1}})
	if !s.Done[1] || len(s.Bad) != 0 {
		t.Errorf("after a good run: done %v, bad %v", s.Done, s.Bad)
	}
	if !strings.Contains(out.String(), "seed 1: nothing is left: x") {
		t.Errorf("printed %s", out.String())
	}
}
