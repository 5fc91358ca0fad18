package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// verdict is what became of a mutation.
type verdict string

const (
	caught     verdict = "caught"
	survived   verdict = "survived"
	noCompile  verdict = "does not compile"
	noFit      verdict = "no longer applies"
	noBaseline verdict = "tests fail without it"
)

// testTime bounds one go test.
const testTime = 15 * time.Minute

// runner applies mutations to a copy of the module, one at a time.
type runner struct {
	top  string          // of the copy
	good map[string]bool // tests that passed, or did not, without a mutation
	last string          // output of the last go test
}

// newRunner copies the module at top to a directory that has to be removed.
func newRunner(top, to string) (*runner, error) {
	return &runner{top: to, good: map[string]bool{}}, copyTree(top, to)
}

// copyTree copies files and directories, but hidden ones at the top, such as .git.
func copyTree(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case strings.HasPrefix(name, "."):
		case e.IsDir():
			err = os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name)))
		case e.Type().IsRegular():
			var data []byte
			if data, err = os.ReadFile(filepath.Join(from, name)); err == nil {
				err = os.WriteFile(filepath.Join(to, name), data, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// try gives the verdict about one mutation. Its error is one of the runner's own.
func (r *runner) try(ctx context.Context, m mutation) (v verdict, err error) {
	mutated, original, err := m.apply(r.top)
	if err != nil {
		r.last = err.Error()
		return noFit, nil
	}
	for _, tests := range m.tests {
		if !r.passes(ctx, tests) {
			return noBaseline, ctx.Err()
		}
		v, err := r.against(ctx, m, tests, mutated, original)
		if err != nil || v != survived {
			return v, err
		}
	}
	return survived, nil
}

// passes reports whether tests pass without a mutation. It remembers that.
func (r *runner) passes(ctx context.Context, tests string) bool {
	good, known := r.good[tests]
	if !known {
		good = r.test(ctx, tests) == nil
		r.good[tests] = good
	}
	return good
}

// against gives the verdict of one line of tests.
func (r *runner) against(ctx context.Context, m mutation, tests string, mutated, original []byte) (v verdict, err error) {
	file := filepath.Join(r.top, filepath.FromSlash(m.file))
	if err := os.WriteFile(file, mutated, 0o600); err != nil {
		return "", err
	}
	defer func() {
		if werr := os.WriteFile(file, original, 0o600); err == nil {
			err = werr
		}
	}()
	for range surely {
		if r.test(ctx, tests) == nil {
			return survived, nil
		}
		if strings.Contains(r.last, "[build failed]") {
			return noCompile, ctx.Err()
		}
		if r.again(ctx, tests) {
			return caught, ctx.Err()
		}
	}
	return survived, ctx.Err()
}

// surely is how often tests may fail by chance until they count as not failing.
const surely = 3

// again reports whether the tests that failed last fail a second time: on a machine
// with much to do others may run out of time.
func (r *runner) again(ctx context.Context, tests string) bool {
	names := r.noticed()
	if len(names) == 0 {
		return true // it hangs, or ends in a panic
	}
	pkg, _, _ := strings.Cut(tests, " ")
	return r.test(ctx, pkg+" -run ^("+strings.Join(names, "|")+")$") != nil
}

// test runs go test with the arguments of a Tests line. A test that hangs has noticed.
func (r *runner) test(ctx context.Context, args string) error {
	return r.run(ctx, append([]string{"test", "-count=1", "-failfast", "-timeout", (testTime - time.Minute).String()}, strings.Fields(args)...)...)
}

func (r *runner) run(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	var output bytes.Buffer
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir, command.Stdout, command.Stderr = r.top, &output, &output
	err := command.Run()
	if r.last = output.String(); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// noticed gives the names of the tests that failed last, without those below them.
func (r *runner) noticed() []string {
	var names []string
	for line := range strings.SplitSeq(r.last, "\n") {
		if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		}
	}
	return names
}
