//go:build linux

package operator

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// page is what the operator reads.
var page = filepath.Join("..", "..", "docs", "troubleshooting.md")

// columns are those of each table of the page.
var columns = []string{"Fault", "Shown as", "Cause", "Hint", "Log at its beginning", "Log at its end", "What to do"}

// row is one fault as the page tells of it.
type row struct {
	fault  string
	kind   string // where it is shown: "status", "file", "exit", "reply", "client", "log"
	word   string // what is shown there
	cause  string // … stands for what differs
	hint   string
	begins logPattern
	ends   logPattern
	line   int
}

// logPattern is a line of the log: "WARN connection status".
type logPattern struct{ level, message string }

func (p logPattern) String() string { return p.level + " " + p.message }

// readTable gives the rows of all tables of the page that have these columns.
func readTable(t *testing.T) map[string]row {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]row{}
	inTable := false
	for i, line := range strings.Split(string(text), "\n") {
		cells := cellsOf(line)
		switch {
		case cells == nil:
			inTable = false
		case slices.Equal(cells, columns):
			inTable = true
		case !inTable || strings.HasPrefix(cells[0], "---"):
		default:
			r, err := rowOf(cells)
			if _, twice := rows[r.fault]; err == nil && twice {
				err = fmt.Errorf("the fault %q is there twice", r.fault)
			}
			if err != nil {
				t.Fatalf("%s:%d: %v", page, i+1, err)
			}
			r.line = i + 1
			rows[r.fault] = r
		}
	}
	return rows
}

// cellsOf gives the cells of a line of a Markdown table; nil for any other line.
func cellsOf(line string) []string {
	line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
	if !ok {
		return nil
	}
	var cells []string
	for cell := range strings.SplitSeq(strings.TrimSuffix(line, "|"), "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	return cells
}

func rowOf(cells []string) (row, error) {
	if len(cells) != len(columns) || slices.Contains(cells, "") {
		return row{}, fmt.Errorf("a row has %d cells, none of them empty", len(columns))
	}
	r := row{fault: cells[0], cause: plain(cells[2]), hint: plain(cells[3])}
	where, word, ok := strings.Cut(strings.TrimSuffix(cells[1], "`"), "`")
	if r.kind, r.word = strings.TrimSpace(where), word; !ok {
		r.kind, r.word = cells[1], ""
	}
	if r.kind == "" {
		r.kind = "status"
	}
	if !slices.Contains([]string{"status", "file", "exit", "reply", "client", "log"}, r.kind) {
		return r, fmt.Errorf("%q is shown as none of what there is", cells[1])
	}
	r.begins, r.ends = patternOf(cells[4]), patternOf(cells[5])
	return r, nil
}

// plain is a cell without the marks of code; "" for a dash.
func plain(cell string) string {
	if cell == "—" {
		return ""
	}
	return strings.ReplaceAll(cell, "`", "")
}

func patternOf(cell string) logPattern {
	if cell == "—" {
		return logPattern{}
	}
	level, message, _ := strings.Cut(plain(cell), " ")
	return logPattern{level, message}
}

// matches reports whether a text is what a cell says, in which … stands for
// anything and the end may be left out.
func matches(cell, text string) bool {
	for i, part := range strings.Split(cell, "…") {
		part = strings.TrimSpace(part)
		at := strings.Index(text, part)
		if at < 0 || i == 0 && at > 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return true
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cell, text string
		want       bool
	}{
		{"a … c", "a b c", true}, {"a … c", "a c d", true}, {"a … c", "a b", false},
		{"b", "a b", false}, {"… b", "a b", true}, {"", "anything", true},
	} {
		if got := matches(c.cell, c.text); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.cell, c.text, got)
		}
	}
}
