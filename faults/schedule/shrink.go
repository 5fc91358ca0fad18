package schedule

import "slices"

// Shrink looks for a smaller schedule that still fails. It leaves out parts of
// the steps, then connectors and Spaces of which nothing is left. A run depends
// on timing, so fails should run a schedule more than once before it says no; it
// is called at most tries times.
func Shrink(s Schedule, tries int, fails func(Schedule) bool) Schedule {
	for part := max(len(s.Steps)/2, 1); ; part /= 2 {
		for from := 0; from < len(s.Steps); {
			if tries--; tries < 0 {
				return s
			}
			smaller := s.without(from, min(from+part, len(s.Steps)))
			if fails(smaller) {
				s = smaller
			} else {
				from += part
			}
		}
		if part <= 1 {
			return s
		}
	}
}

// without leaves out steps, and what no step is about any more.
func (s Schedule) without(from, to int) Schedule {
	s.Steps = slices.Delete(slices.Clone(s.Steps), from, to)
	about := func(name string) bool {
		return slices.ContainsFunc(s.Steps, func(step Step) bool { return step.On == name })
	}
	s.Connectors = slices.DeleteFunc(slices.Clone(s.Connectors), func(c Connector) bool { return !about(c.Name) })
	s.Spaces = slices.DeleteFunc(slices.Clone(s.Spaces), func(p Space) bool { return !about(p.ID) })
	return s
}
