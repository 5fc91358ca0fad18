package edit

import "slices"

// op says what becomes of a line.
type op byte

const (
	kept op = ' '
	gone op = '-'
	come op = '+'
)

// step is one line of a comparison: an index into the lines before, after, or both.
type step struct {
	op            op
	before, after int
}

// maxCompared bounds the table of a comparison, in cells. Beyond it all lines that are
// not at the same start or end count as others.
const maxCompared = 4 << 20

// compare gives the fewest lines that go and come from a to b, in their order.
func compare(a, b []string) []step {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var steps []step
	for i := range head {
		steps = append(steps, step{kept, i, i})
	}
	for _, s := range longest(a[head:len(a)-tail], b[head:len(b)-tail]) {
		steps = append(steps, step{s.op, s.before + head, s.after + head})
	}
	for i := range tail {
		steps = append(steps, step{kept, len(a) - tail + i, len(b) - tail + i})
	}
	return steps
}

// longest keeps the longest common subsequence.
func longest(a, b []string) []step {
	var steps []step
	i, j := 0, 0
	if len(a)*len(b) <= maxCompared {
		lengths := make([][]int32, len(a)+1)
		for i := range lengths {
			lengths[i] = make([]int32, len(b)+1)
		}
		for i, x := range slices.Backward(a) {
			for j, y := range slices.Backward(b) {
				if x == y {
					lengths[i][j] = lengths[i+1][j+1] + 1
				} else {
					lengths[i][j] = max(lengths[i+1][j], lengths[i][j+1])
				}
			}
		}
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				steps = append(steps, step{kept, i, j})
				i, j = i+1, j+1
			case lengths[i+1][j] >= lengths[i][j+1]:
				steps = append(steps, step{gone, i, j})
				i++
			default:
				steps = append(steps, step{come, i, j})
				j++
			}
		}
	}
	for ; i < len(a); i++ {
		steps = append(steps, step{gone, i, j})
	}
	for ; j < len(b); j++ {
		steps = append(steps, step{come, i, j})
	}
	return steps
}

// Line is a line that goes or comes.
type Line struct {
	Number int  // before, if it goes; after, if it comes
	Comes  bool // else it goes
	Text   string
}

// Diff gives the lines that go and come between two documents, secrets hidden. A secret
// that becomes another one is a line that goes and one that comes, though both look
// the same.
func Diff(before, after *Document) ([]Line, error) {
	a, err := before.masked()
	if err != nil {
		return nil, err
	}
	b, err := after.masked()
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, s := range compare(a.keys(), b.keys()) {
		switch s.op {
		case gone:
			lines = append(lines, Line{Number: a.lines[s.before].number, Text: a.lines[s.before].text})
		case come:
			lines = append(lines, Line{Number: b.lines[s.after].number, Comes: true, Text: b.lines[s.after].text})
		}
	}
	return lines, nil
}
