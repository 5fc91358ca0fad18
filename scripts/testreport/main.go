// Testreport reads what go test -json writes and prints what a person wants of
// it: the output of tests that failed or were skipped, the closing line of each
// package, and a summary. It exits with 1 when anything failed, and also when a
// test was skipped: one that must run and does not is worth nothing.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	ok, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
}

// totals counts tests; subtests count.
type totals struct{ passed, failed, skipped, packages, failedPackages int }

// report reports whether every test passed and none was skipped.
func report(in io.Reader, out io.Writer) (bool, error) {
	var n totals
	output := map[[2]string]*strings.Builder{} // of each test that runs, by package and name
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // not from a test: go itself complains
			continue
		}
		key := [2]string{e.Package, e.Test}
		if output[key] == nil {
			output[key] = &strings.Builder{}
		}
		switch e.Action {
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "output":
			output[key].WriteString(e.Output)
		case "pass", "fail", "skip":
			n.end(out, e, output[key].String())
			delete(output, key)
		}
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	for key, o := range output { // a test binary that died leaves its tests without an end
		if key[1] != "" {
			n.failed++
			fmt.Fprintf(out, "did not end: %s %s\n%s", key[0], key[1], o)
		}
	}
	fmt.Fprintf(out, "%d tests passed, %d failed, %d skipped, in %d packages, of which %d failed\n",
		n.passed, n.failed, n.skipped, n.packages, n.failedPackages)
	if n.skipped > 0 {
		fmt.Fprintln(out, "FAIL: a skipped test counts as failed: install what it needs, or remove it")
	}
	return n.failed+n.failedPackages+n.skipped == 0 && n.packages > 0, nil
}

// end counts the end of a test, or of a package when it names no test, and
// prints what is to be seen of it.
func (n *totals) end(out io.Writer, e event, output string) {
	if e.Test == "" {
		if e.Action == "skip" {
			return // a package without tests
		}
		n.packages++
		if e.Action == "fail" {
			n.failedPackages++
		} else {
			output = closingLine(output)
		}
		fmt.Fprint(out, output)
		return
	}
	switch e.Action {
	case "pass":
		n.passed++
		return
	case "fail":
		n.failed++
	case "skip":
		n.skipped++
	}
	fmt.Fprint(out, output)
}

// closingLine is the last line, "ok  package  1.2s"; what test binaries print
// besides stays out.
func closingLine(output string) string {
	output = strings.TrimSuffix(output, "\n")
	return output[strings.LastIndexByte(output, '\n')+1:] + "\n"
}
