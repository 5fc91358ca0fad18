package main

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed lists/*.txt
var lists embed.FS

// mutation is one change that the tests have to notice.
type mutation struct {
	number int // from 1, over all lists
	name   string
	file   string   // slash path below the top of the module
	tests  []string // arguments of go test, one run each
	breaks string
	old    string // occurs once in the file
	new    string
}

// mutations reads all lists, in the order of their names.
func mutations(from fs.FS) ([]mutation, error) {
	names, err := fs.Glob(from, "lists/*.txt")
	if err != nil {
		return nil, err
	}
	var all []mutation
	for _, name := range names {
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, err
		}
		list, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, list...)
	}
	seen := map[string]bool{}
	for i := range all {
		if all[i].number = i + 1; seen[all[i].name] {
			return nil, fmt.Errorf("two mutations are called %s", all[i].name)
		}
		seen[all[i].name] = true
	}
	return all, nil
}

// parse reads one list.
func parse(text string) ([]mutation, error) {
	var all []mutation
	_, text, _ = strings.Cut("\n"+text, "\n## ")
	if text == "" {
		return nil, fmt.Errorf("has no mutation")
	}
	for each := range strings.SplitSeq(text, "\n## ") {
		m, err := parseOne(each)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// parseOne reads a mutation without the mark before its name.
func parseOne(text string) (mutation, error) {
	name, text, _ := strings.Cut(text, "\n")
	m := mutation{name: strings.TrimSpace(name)}
	head, change, ok := strings.Cut(text, "\n-\n")
	if !ok {
		return m, fmt.Errorf("has no line that is just -")
	}
	if m.old, m.new, ok = strings.Cut(change, "\n+\n"); !ok {
		return m, fmt.Errorf("has no line that is just +")
	}
	m.new = strings.TrimRight(m.new, "\n")
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "File":
			m.file = value
		case "Tests":
			m.tests = append(m.tests, value)
		case "Breaks":
			m.breaks = value
		default:
			return m, fmt.Errorf("has a line that is none of File, Tests and Breaks: %q", line)
		}
	}
	if m.file == "" || len(m.tests) == 0 || m.breaks == "" || m.old == "" || m.old == m.new {
		return m, fmt.Errorf("lacks one of File, Tests, Breaks, an old text and another new one")
	}
	return m, nil
}

// apply gives the mutated contents of m's file, and those without it.
func (m mutation) apply(top string) (mutated, original []byte, err error) {
	original, err = os.ReadFile(filepath.Join(top, filepath.FromSlash(m.file)))
	if err != nil {
		return nil, nil, err
	}
	if n := strings.Count(string(original), m.old); n != 1 {
		return nil, nil, fmt.Errorf("%s has the old text %d times, not once", m.file, n)
	}
	return []byte(strings.Replace(string(original), m.old, m.new, 1)), original, nil
}
