package main

import (
	"fmt"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	event := func(action, test, output string) string {
		return fmt.Sprintf("{\"Action\":%q,\"Package\":\"p\",\"Test\":%q,\"Output\":%q}\n", action, test, output)
	}
	closing := event("output", "", "PASS\n") + event("output", "", "ok  \tp\t0.1s\n") + event("pass", "", "")
	failing := event("output", "", "FAIL\tp\t0.1s\n") + event("fail", "", "")
	passed := event("run", "A", "") + event("output", "A", "chatter\n") + event("pass", "A", "")
	for name, c := range map[string]struct {
		in    string
		ok    bool
		shown []string
	}{
		"passed":      {passed + closing, true, []string{"ok  \tp\t0.1s\n", "1 tests passed, 0 failed, 0 skipped, in 1 packages"}},
		"failed":      {event("output", "A", "a_test.go:1: wrong\n") + event("fail", "A", "") + failing, false, []string{"a_test.go:1: wrong", "FAIL\tp"}},
		"skipped":     {event("output", "A", "a_test.go:1: no sshd\n") + event("skip", "A", "") + closing, false, []string{"no sshd", "1 skipped"}},
		"died":        {event("output", "A", "panic: x\n") + failing, false, []string{"panic: x"}},
		"build":       {`{"Action":"build-output","ImportPath":"p","Output":"x.go:1: syntax\n"}` + "\n" + failing, false, []string{"x.go:1: syntax"}},
		"no packages": {"go: no such module\n", false, []string{"go: no such module"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ok, err := report(strings.NewReader(c.in), &out)
			if err != nil || ok != c.ok {
				t.Errorf("report: %v, %v", ok, err)
			}
			for _, s := range c.shown {
				if !strings.Contains(out.String(), s) {
					t.Errorf("%q is not in:\n%s", s, &out)
				}
			}
			if strings.Contains(out.String(), "chatter") {
				t.Errorf("the output of a test that passed is shown:\n%s", &out)
			}
		})
	}
}
