package pass

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	filesync "sftpconnector/sync"
)

// The log tells of a failure once, of another cause, and of the end; a directory
// that cannot be read says nothing of what is below it.
func TestFailuresAreLoggedOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	shared := NewShared(0)
	pass := func(id string, mode filesync.Mode, failures ...filesync.FileFailure) string {
		log.Reset()
		began := shared.tracker.now()
		p := &report{tracker: &shared.tracker, o: Options{ID: id, Mode: mode, Log: slog.New(slog.NewTextHandler(&log, nil))}}
		for _, f := range failures {
			p.listFailure(f)
		}
		if mode == filesync.Automatic {
			shared.tracker.logEnded(p, began)
		}
		var said []string
		for line := range strings.Lines(log.String()) {
			_, message, _ := strings.Cut(line, "msg=")
			message, _, _ = strings.Cut(message, " hint=")
			message, _, _ = strings.Cut(message, " lasted=")
			said = append(said, strings.TrimSpace(message))
		}
		return strings.Join(said, "; ")
	}
	denied := filesync.FileFailure{Name: "below/a.csv", Error: "permission denied, 1 time"}
	again := filesync.FileFailure{Name: "below/a.csv", Error: "permission denied, 2 time"}
	other := filesync.FileFailure{Name: "below/a.csv", Error: "quarantined"}
	below := filesync.FileFailure{Name: "below", Error: "permission denied", Unlisted: true}
	for i, c := range []struct {
		mode     filesync.Mode
		failures []filesync.FileFailure
		want     string
	}{
		{filesync.Automatic, []filesync.FileFailure{denied}, `"file failed" file=below/a.csv error="permission denied, 1 time"`},
		{filesync.Automatic, []filesync.FileFailure{again}, ""},
		{filesync.Survey, []filesync.FileFailure{other}, ""},
		{filesync.Request, []filesync.FileFailure{other}, `"file failed" file=below/a.csv error=quarantined`},
		{filesync.Automatic, []filesync.FileFailure{below}, `"directory not read" directory=below error="permission denied"`},
	} {
		if got := pass(fmt.Sprint(i), c.mode, c.failures...); got != c.want {
			t.Errorf("pass %d tells %s, want %s", i, got, c.want)
		}
	}
	got := pass("last", filesync.Automatic)
	for _, want := range []string{`"file fails no more" file=below/a.csv was=quarantined`, `"directory read again" directory=below was="permission denied"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the last pass tells %s, want %s", got, want)
		}
	}
	if got := pass("well", filesync.Automatic); got != "" {
		t.Errorf("when all is well it tells %s", got)
	}
}

// A request that meets a failing file after the pass beside it has met it does not
// make the file one that fails no more.
func TestFailureOfSeveralPasses(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	shared := NewShared(0)
	pass := func(id string) *report {
		return &report{tracker: &shared.tracker, o: Options{ID: id, Log: slog.New(slog.NewTextHandler(&log, nil))}}
	}
	automatic, request, began := pass("1"), pass("2"), shared.tracker.now()
	automatic.list("a.csv", "denied", "")
	request.list("a.csv", "denied", "")
	shared.tracker.logEnded(automatic, began)
	if strings.Contains(log.String(), "fails no more") {
		t.Error(log.String())
	}
	shared.tracker.logEnded(pass("3"), shared.tracker.now())
	if n := strings.Count(log.String(), "fails no more"); n != 1 {
		t.Errorf("%d times: %s", n, log.String())
	}
}

func TestTrackedFailuresAreBounded(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := &report{tracker: &NewShared(0).tracker, o: Options{ID: "1", Log: slog.New(slog.NewTextHandler(&log, nil))}}
	for i := range filesync.MaxFailures + 10 {
		p.list(fmt.Sprint(i), "bad", "")
	}
	if n := strings.Count(log.String(), "\n"); n != filesync.MaxFailures+1 {
		t.Errorf("%d lines, want %d", n, filesync.MaxFailures+1)
	}
}
