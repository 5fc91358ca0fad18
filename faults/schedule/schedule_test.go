package schedule

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func TestDrawIsRepeatable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		if a, b := Draw(seed), Draw(seed); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d gives %v and %v", seed, a, b)
		}
	}
}

// Over many seeds every action is drawn, and no two files of one seed have the
// same size.
func TestDraw(t *testing.T) {
	t.Parallel()
	drawn := map[Action]bool{}
	for seed := range uint64(2000) {
		s := Draw(seed)
		sizes := map[int64]bool{}
		for i, step := range s.Steps {
			drawn[step.Do] = true
			if i > 0 && step.At < s.Steps[i-1].At {
				t.Fatalf("seed %d: steps are not in the order of time", seed)
			}
			if step.Do == ResetAfter || step.Size == 0 {
				continue
			}
			if sizes[step.Size] {
				t.Fatalf("seed %d: two files have %d bytes", seed, step.Size)
			}
			sizes[step.Size] = true
		}
	}
	work := []Action{Write, Publish, Grow, Request, Apply, Upload}
	for _, do := range slices.Concat(Faults(), work) {
		if !drawn[do] {
			t.Errorf("%s is never drawn", do)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "schedule.json")
	want := Draw(7)
	if err := want.Save(file); err != nil {
		t.Fatal(err)
	}
	got, err := Load(file)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// A schedule that fails as long as two of its steps are in it is shrunk to these.
func TestShrink(t *testing.T) {
	t.Parallel()
	s := Draw(3)
	a, b := s.Steps[2], s.Steps[len(s.Steps)-3]
	fails := func(s Schedule) bool { return slices.Contains(s.Steps, a) && slices.Contains(s.Steps, b) }
	small := Shrink(s, 1000, fails)
	if want := []Step{a, b}; !slices.Equal(small.Steps, want) {
		t.Errorf("got %v, want %v", small.Steps, want)
	}
	for _, c := range small.Connectors {
		if c.Name != a.On && c.Name != b.On {
			t.Errorf("connector %s is left", c.Name)
		}
	}
	calls := 0
	Shrink(s, 5, func(Schedule) bool { calls++; return false })
	if calls != 5 {
		t.Errorf("called %d times, want 5", calls)
	}
}
