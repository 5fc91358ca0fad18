package pass_test

import (
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	filesync "sftpconnector/sync"
)

// A name is one name, in whichever of Unicode's forms a server or a filter has it.
func TestFiltersKnowBothFormsOfAName(t *testing.T) {
	for pattern, name := range map[string]string{
		"Bücher/*.csv":           "Bücher/Ergebnis.csv",
		"*é.csv":                 "d/café.csv",
		"caf?.csv":               "café.csv",
		"ca[a-z][é-ë].csv":       "café.csv",
		"regex:^Ång.*ö$":         "Ångström.ö",
		"/Bücher/**":             "Bücher/a/b",
		"ガ*":                     "ガス.csv",
		"{Bücher,Hefte}/**/한글.*": "Bücher/x/한글.csv",
	} {
		for _, p := range []string{pattern, norm.NFD.String(pattern)} {
			if p != pattern && pattern == "ca[a-z][é-ë].csv" {
				continue // a range of letters and accents is none of letters
			}
			for _, n := range []string{name, norm.NFD.String(name)} {
				e := filesync.Entry{Name: n, ModTime: old}
				if f, err := filesync.NewFilter(filesync.FilterOptions{Include: []string{p}}); err != nil || f.Excluded(e) != "" {
					t.Errorf("include %+q does not find %+q: %v", p, n, err)
				}
				if f, err := filesync.NewFilter(filesync.FilterOptions{Exclude: []string{p}}); err != nil || f.Excluded(e) == "" {
					t.Errorf("exclude %+q does not find %+q: %v", p, n, err)
				}
				if s := selection(t, p, time.Time{}, time.Time{}); !s.Match(e) {
					t.Errorf("a request for %+q does not find %+q", p, n)
				}
			}
		}
	}
}

// A request finds directories of either form, and files keep the names that they have.
func TestRequestForTheOtherForm(t *testing.T) {
	b := newBench(t)
	one, other := norm.NFD.String("Bücher/é.csv"), norm.NFC.String("Bücher/ü.csv")
	b.src.Put(one, "1", old)
	b.src.Put(other, "2", old)
	b.src.Put("Hefte/é.csv", "3", old)
	for _, pattern := range []string{norm.NFC.String("Bücher/*.csv"), norm.NFD.String("Bücher/*.csv")} {
		if r, a := b.request(pattern); r.Err != nil || a.there() != one+" "+other {
			t.Errorf("%+q: %+q %v", pattern, a.there(), r.Err)
		}
	}
	b.wantFile(one, "1", old)
	b.wantFile(other, "2", old)
}

// Who copies a path from another program has it from the root of the server.
func TestAbsolutePathsBelowTheSource(t *testing.T) {
	for pattern, want := range map[string][]string{
		"/results/a/*.csv":          {"a/x.csv", "results/a/x.csv"},
		"/results/*.csv":            {"x.csv", "results/x.csv"},
		"/results/**":               {"a/x.csv", "x.csv", "results/x.csv", "results/a/x.csv", "resultsets/x.csv2"},
		"/a/*.csv":                  {"a/x.csv"},
		"a/*.csv":                   {"a/x.csv"},
		"/resultsets/*.csv":         {},
		`regex:^/results/a/x\.csv$`: {"a/x.csv"},
	} {
		s := selection(t, pattern, time.Time{}, time.Time{}).Below("/results/")
		f, err := filesync.NewFilter(filesync.FilterOptions{Include: []string{pattern}, Root: "/results"})
		if err != nil {
			t.Fatal(err)
		}
		wanted := map[string]bool{}
		for _, name := range want {
			wanted[name] = true
		}
		for _, name := range []string{"a/x.csv", "x.csv", "results/a/x.csv", "results/x.csv", "resultsets/x.csv2"} {
			e := filesync.Entry{Name: name, ModTime: old}
			if got := s.Match(e); got != wanted[name] {
				t.Errorf("a request for %s finds %s: %v", pattern, name, got)
			}
			if got := f.Excluded(e) == ""; got != wanted[name] {
				t.Errorf("include %s finds %s: %v", pattern, name, got)
			}
			if dir := name[:max(0, len(name)-len("/x.csv"))]; wanted[name] && !s.MayHold(dir) {
				t.Errorf("a request for %s does not enter %s", pattern, dir)
			}
		}
	}
	if s := selection(t, "/results/a/*.csv", time.Time{}, time.Time{}).Below("/results"); s.MayHold("b") || !s.MayHold("a") || !s.MayHold("results/a") {
		t.Error("a request enters other directories than it has to")
	}
	// To exclude all below the source cannot be meant.
	f, err := filesync.NewFilter(filesync.FilterOptions{Exclude: []string{"/results/**", "/results/old/*.csv"}, Root: "/results"})
	if err != nil {
		t.Fatal(err)
	}
	for name, out := range map[string]bool{"x.csv": false, "results/x.csv": true, "old/x.csv": true, "old/y": false} {
		if got := f.Excluded(filesync.Entry{Name: name}) != ""; got != out {
			t.Errorf("%s is excluded: %v", name, got)
		}
	}
}
