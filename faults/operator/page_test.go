//go:build linux

package operator

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"
)

// together is how many scenarios run at a time: most of them wait most of the time.
const together = 8

// scenario starts the daemon and makes a fault of the page. What it gives ends that.
type scenario func(*rig) (end func())

// slow are the faults in which the program gives the other side up to a minute.
// They cost nothing meanwhile, and run beside the others.
func slow(fault string) bool {
	return slices.Contains([]string{"Server silent", "Ledger locked", "Connection times out"}, fault)
}

// scenarios are the faults by their names on the page.
func scenarios() map[string]scenario {
	all := map[string]scenario{}
	for _, some := range []map[string]scenario{connectionFaults(), loginFaults(), fileFaults(), destinationFaults(), programFaults(), spaceFaults()} {
		maps.Copy(all, some)
	}
	return all
}

// Every fault of the page is injected, and shows as the page says; and what is
// injected is on the page.
func TestThePageTellsTheTruth(t *testing.T) {
	t.Parallel()
	rows, all := readTable(t), scenarios()
	for fault := range all {
		if _, ok := rows[fault]; !ok {
			t.Errorf("%s does not have the fault %q", page, fault)
		}
	}
	slots := make(chan struct{}, together)
	for fault, row := range rows {
		s, ok := all[fault]
		if !ok {
			t.Errorf("%s:%d: nothing here injects %q", page, row.line, fault)
			continue
		}
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if slow(fault) {
				r.patience = 2 * time.Minute
			} else {
				slots <- struct{}{}
				defer func() { <-slots }()
			}
			end := s(r)
			began := r.appears(row)
			end()
			r.passes(row, began)
		})
	}
}

// shown is what the program says of a fault.
type shown struct{ Word, Cause, Hint string }

func (w shown) is(want row) bool {
	return w.Word == want.word && matches(want.cause, w.Cause) && matches(want.hint, w.Hint)
}

// appears waits until the fault is shown, and logged, as the row says. It gives
// how many lines the log has then.
func (r *rig) appears(want row) int {
	r.Helper()
	var now []shown
	r.until("it is shown as the page says", func() bool {
		now = r.shown(want)
		for _, w := range now {
			if w.is(want) {
				r.Logf("shown: %+q", w)
				return true
			}
		}
		return false
	}, func() string {
		return fmt.Sprintf("want %q, cause %q, hint %q\nnow  %+q\n%s", want.word, want.cause, want.hint, now, r.daemon.stderr.String())
	})
	if want.begins.level == "" {
		return 0
	}
	r.until("its beginning is logged as the page says: "+want.begins.String(), func() bool {
		return len(r.beginnings(want)) > 0
	}, r.daemon.stderr.String)
	r.Logf("logged: %v", r.beginnings(want)[0])
	return len(r.daemon.log())
}

// passes waits until the end of the fault is shown and logged.
func (r *rig) passes(want row, began int) {
	r.Helper()
	if want.ends.level != "" {
		r.until("its end is logged as the page says: "+want.ends.String(), func() bool {
			for _, l := range r.daemon.log()[began:] {
				if r.ends(want, l) {
					return true
				}
			}
			return false
		}, r.daemon.stderr.String)
	}
	if want.kind == "status" {
		r.until("all is well", func() bool {
			now := r.shown(want)
			return len(now) == 1 && now[0] == shown{Word: "Connection Valid"}
		}, r.daemon.stderr.String)
	}
	if n := len(r.beginnings(want)); n > 1 {
		r.Errorf("its beginning is logged %d times:\n%s", n, r.daemon.stderr.String())
	}
}

// beginnings are the lines of the log that tell of the fault.
func (r *rig) beginnings(want row) (lines []record) {
	for _, l := range r.daemon.log() {
		if !l.is(want.begins) || want.kind != "client" && !matches(want.cause, l.text("error")) || !matches(want.hint, l.text("hint")) {
			continue
		}
		if want.kind == "status" && (l.text("status") != want.word || l.text("connector") != "results") {
			continue
		}
		lines = append(lines, l)
	}
	return lines
}

// ends reports whether a line tells of the end of this fault. That of a status says how
// long it lasted. A busy machine may have a pass meet what comes between the fault and
// its end, a port where nothing listens, say: the line then tells of that, too.
func (r *rig) ends(want row, l record) bool {
	if want.kind != "status" {
		return l.is(want.ends)
	}
	_, lasted := l["lasted"]
	return l.text("msg") == want.ends.message && l.text("was") == want.word && lasted
}

// apiConnector is what the API says of a connector, or of a Space.
type apiConnector struct {
	ConnectionStatus string  `json:"connection_status"`
	Error            string  `json:"error"`
	Hint             string  `json:"hint"`
	HeldUntil        *string `json:"held_until"`
	LastPass         *struct {
		State    string                         `json:"state"`
		Files    map[string]int64               `json:"files"`
		Failures []struct{ Error, Hint string } `json:"failures"`
	} `json:"last_pass"`
}

// shown gives what is shown where a row says that it is.
func (r *rig) shown(want row) []shown {
	switch want.kind {
	case "exit":
		return []shown{{Word: fmt.Sprint(r.ended()), Cause: r.daemon.stderr.String()}}
	case "client":
		return []shown{{Cause: r.said}}
	case "log":
		return []shown{{Cause: want.cause, Hint: want.hint}} // which the log tells, for itself
	case "reply":
		return r.posting(want.hint)
	}
	var e apiConnector
	if r.get("/api/v1/connectors/results", &e) != nil {
		return nil
	}
	if want.kind == "status" {
		return []shown{{e.ConnectionStatus, e.Error, e.Hint}}
	}
	if e.LastPass == nil || e.LastPass.Files[want.word] == 0 {
		return nil
	}
	if want.cause == "" {
		return []shown{{Word: want.word}}
	}
	var all []shown
	for _, f := range e.LastPass.Failures {
		all = append(all, shown{want.word, f.Error, f.Hint})
	}
	return all
}

// posting is how the posting of a reply goes. The hint is in the log only.
func (r *rig) posting(hint string) []shown {
	var q struct {
		Posting *struct {
			Done  bool
			Error string
		}
	}
	if r.get("/api/v1/requests/"+url.PathEscape(r.posted), &q) != nil || q.Posting == nil {
		return nil
	}
	word := "waiting"
	if q.Posting.Done {
		word = "done"
	}
	return []shown{{Word: word, Cause: q.Posting.Error, Hint: hint}}
}
