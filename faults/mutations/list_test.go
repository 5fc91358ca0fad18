package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Fifty are what the suite promises; the list may grow.
const least = 50

// A mutation that does not fit any more finds nothing: the list has to follow the code.
func TestEveryMutationStillApplies(t *testing.T) {
	t.Parallel()
	all, err := mutations(lists)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < least {
		t.Errorf("there are %d mutations, want %d or more", len(all), least)
	}
	top := filepath.Join("..", "..")
	for _, m := range all {
		mutated, original, err := m.apply(top)
		if err != nil {
			t.Errorf("%d, %s: %v", m.number, m.name, err)
			continue
		}
		if string(mutated) == string(original) {
			t.Errorf("%s changes nothing", m.name)
		}
		if !strings.HasSuffix(m.file, ".go") || strings.HasSuffix(m.file, "_test.go") {
			t.Errorf("%s changes %s, which is no code of the product", m.name, m.file)
		}
		for _, tests := range m.tests {
			pkg, _, _ := strings.Cut(tests, " ")
			found, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(pkg), "*_test.go"))
			if err != nil || len(found) == 0 {
				t.Errorf("%s: no tests in %s", m.name, pkg)
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const good = "A remark.\n\n## one\nFile: a.go\nTests: ./a -run X\nTests: ./b\nBreaks: All.\n-\nold\nlines\n+\nnew\n\n## two\nFile: b.go\nTests: ./b\nBreaks: It.\n-\ntaken out\n+\n"
	list, err := parse(good)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	if m := list[0]; m.name != "one" || m.file != "a.go" || len(m.tests) != 2 || m.breaks != "All." || m.old != "old\nlines" || m.new != "new" {
		t.Errorf("read %+v", m)
	}
	if m := list[1]; m.old != "taken out" || m.new != "" {
		t.Errorf("read %+v", m)
	}
	for _, bad := range []string{
		"", "no mutation", "## a\nFile: a.go\n", "## a\nFile: a.go\nTests: ./a\nBreaks: It.\n-\nx\n",
		"## a\nFile: a.go\nTests: ./a\n-\nx\n+\ny\n", "## a\nFile: a.go\nTests: ./a\nBreaks: It.\nWhy: so\n-\nx\n+\ny\n",
		"## a\nFile: a.go\nTests: ./a\nBreaks: It.\n-\nx\n+\nx\n",
	} {
		if list, err := parse(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, list)
		}
	}
}
