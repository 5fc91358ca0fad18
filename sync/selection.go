package sync

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/text/unicode/norm"
)

// Bounds on a pattern that comes from another program. A glob is tried once for
// every way through its alternatives, {a,b}{c,d} for four; a regular expression
// takes time in proportion to its compiled length.
const (
	maxPattern      = 1000 // bytes
	maxAlternatives = 256
	maxSteps        = 1000
)

// Selection is what a request asks for: files by path and modification time.
// Make one with NewSelection; it may be used concurrently.
type Selection struct {
	names    []pattern // the readings of the pattern; none: all
	from, to time.Time
	start    string     // all matches lie below it
	ways     [][]string // the directories of each reading, "**" last where more may follow
}

// NewSelection compiles a request's filters. name is a glob as in files.include
// or "regex:" and a regular expression for the path; "" is all files. A file
// matches when it was modified at from or later and before to; a zero time is
// no bound. The error is a sentence for whoever wrote the filters.
func NewSelection(name string, from, to time.Time) (*Selection, error) {
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return nil, fmt.Errorf("from (%s) has to be before to (%s)", from.Format(time.RFC3339), to.Format(time.RFC3339))
	}
	s := &Selection{from: from, to: to, ways: [][]string{{"**"}}}
	if name == "" || name == "**" {
		return s, nil
	}
	if len(name) > maxPattern {
		return nil, fmt.Errorf("the pattern has %d bytes; allowed: %d", len(name), maxPattern)
	}
	check, text := checkGlob, name
	if expr, ok := strings.CutPrefix(name, "regex:"); ok {
		check, text = checkExpression, expr
	}
	if err := check(text); err != nil {
		return nil, fmt.Errorf("pattern %.60q: %w", name, err)
	}
	p, err := compileText(name)
	if err != nil {
		return nil, err
	}
	s.names = []pattern{p}
	s.findWays()
	return s, nil
}

// Below gives the selection for a source of which the path is root: a name that is
// an absolute path below that means the path below the source, too.
func (s *Selection) Below(root string) *Selection {
	if len(s.names) == 0 {
		return s
	}
	names, err := compileOne(s.names[0].text, root)
	if err != nil || len(names) == 1 {
		return s
	}
	below := *s
	below.names, below.start, below.ways = names, "", [][]string{{"**"}}
	below.findWays()
	return &below
}

// findWays finds the directories that lead to what matches.
func (s *Selection) findWays() {
	ways := make([][]string, len(s.names))
	for i, p := range s.names {
		if p.regex != nil || p.base {
			return // to all
		}
		ways[i] = directoriesOf(p.glob)
	}
	s.ways = ways
	if len(ways) > 1 {
		return
	}
	for _, d := range ways[0] {
		// What Unicode can write in two ways may stand there in either, or in both.
		if strings.ContainsAny(d, "*?") || !norm.NFD.IsNormalString(d) || !norm.NFC.IsNormalString(d) {
			return
		}
		s.start = Join(s.start, d)
	}
}

// checkExpression refuses an expression that is costly to compile or to match.
func checkExpression(expr string) error {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return err
	}
	if n := steps(parsed); n > maxSteps {
		return fmt.Errorf("its repetitions multiply to more than %d steps; allowed: fewer or smaller ones", maxSteps)
	}
	return nil
}

// steps is about how many instructions an expression is compiled to, as far as
// that is of interest: a{1000} is a thousand.
func steps(e *syntax.Regexp) int {
	n := 1
	if e.Op == syntax.OpLiteral {
		n = len(e.Rune)
	}
	for _, part := range e.Sub {
		if n += steps(part); n > maxSteps {
			return n
		}
	}
	if e.Op == syntax.OpRepeat {
		n *= max(e.Min, e.Max, 1)
	}
	return n
}

// checkGlob refuses what is costly, and what matches no file for a reason that
// who wrote it would want to know.
func checkGlob(glob string) error {
	const below = "; a pattern is a path below the source directory, or a base name"
	switch {
	case alternatives(glob) > maxAlternatives:
		return fmt.Errorf("its alternatives in braces multiply to more than %d", maxAlternatives)
	case !doublestar.ValidatePattern(glob):
		return errors.New(`a [ or { is not closed, or a \ stands last; write \[ or \{ for the character itself`)
	case strings.HasSuffix(glob, "/"):
		return errors.New("it ends in a slash, and so matches no file: add * for the files in it, or ** for all below it")
	}
	for _, d := range strings.Split(glob, "/") {
		if d == "." || d == ".." {
			return fmt.Errorf("%q is no directory of a listing%s", d, below)
		}
	}
	for i := 0; i+1 < len(glob); i++ {
		if glob[i] != '\\' {
			continue
		}
		i++
		if c := glob[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return fmt.Errorf(`directories are separated by /; \ takes %q as it is`, c)
		}
	}
	return nil
}

// alternatives is how many ways lead through a glob's braces, at most.
func alternatives(glob string) int {
	n, open := 1, []int{}
	for i := 0; i < len(glob) && n <= maxAlternatives; i++ {
		switch glob[i] {
		case '\\':
			i++
		case '{':
			open = append(open, 1)
		case ',':
			if len(open) > 0 {
				open[len(open)-1]++
			}
		case '}':
			if last := len(open) - 1; last >= 0 {
				n *= open[last]
				open = open[:last]
			}
		}
	}
	return n
}

// directoriesOf are the components of a glob's path before the last.
func directoriesOf(glob string) []string {
	if unsure := strings.IndexAny(glob, `{[\`); unsure >= 0 {
		// These may hold slashes: only what comes before them is sure.
		glob = glob[:unsure]
		return append(strings.Split(glob, "/")[:strings.Count(glob, "/")], "**")
	}
	all := strings.Split(glob, "/")
	for i, d := range all {
		if d == "**" {
			return all[:i+1]
		}
	}
	return all[:len(all)-1]
}

// Start is the directory that all matches lie below; "" for the root.
func (s *Selection) Start() string { return s.start }

// Times are the bounds on the modification times; a zero one is none.
func (s *Selection) Times() (from, to time.Time) { return s.from, s.to }

// Match reports whether a file is asked for.
func (s *Selection) Match(e Entry) bool {
	if len(s.names) > 0 && match(s.names, e.Name) == "" {
		return false
	}
	if s.from.IsZero() && s.to.IsZero() {
		return true
	}
	return !e.ModTime.IsZero() && !e.ModTime.Before(s.from) && (s.to.IsZero() || e.ModTime.Before(s.to))
}

// MayHold reports whether files that match can lie in dir or below it.
func (s *Selection) MayHold(dir string) bool {
	if dir == "" {
		return true
	}
	parts := strings.Split(composed(dir), "/")
	return slices.ContainsFunc(s.ways, func(way []string) bool { return leadsBy(way, parts) })
}

// leadsBy reports whether a way goes through the directory of these components, or
// ends further up with "**".
func leadsBy(way, parts []string) bool {
	for i, name := range parts {
		switch {
		case i >= len(way):
			return false
		case way[i] == "**":
			return true
		case !doublestar.MatchUnvalidated(way[i], name):
			return false
		}
	}
	return true
}

// checkPath checks each component of a path.
func CheckPath(name string) error {
	for component := range strings.SplitSeq(name, "/") {
		if err := CheckName(component); err != nil {
			return err
		}
	}
	return nil
}
