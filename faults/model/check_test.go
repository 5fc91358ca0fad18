package model

import (
	"slices"
	"testing"
	"time"

	"sftpconnector/faults/schedule"
)

var start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func sum(text string) Sum {
	s := NewSummer()
	_, _ = s.Write([]byte(text))
	return s.Sum()
}

// good are the facts of a run in which all went well: one file that was
// rewritten once, one that was removed after its delivery, and one that grew.
func good() Facts {
	end := at(30)
	return Facts{
		Connector: schedule.Connector{Name: "c", Direction: "download", AfterCopy: "leave", Layout: "tree", Settle: time.Second, Interval: time.Second},
		Versions: []Version{
			{Path: "a/x", Sum: sum("first"), From: at(1), To: at(10), TakenBy: Suite},
			{Path: "a/x", Sum: sum("the second"), From: at(10)},
			{Path: "gone", Sum: sum("gone!!!"), From: at(1), To: at(20), TakenBy: Suite},
			{Path: "grown", Sum: sum("1"), From: at(5), To: at(5.5), TakenBy: Suite},
			{Path: "grown", Sum: sum("12"), From: at(5.5)},
		},
		Planted: map[string][]Sum{},
		Taken:   map[string]bool{},
		Seen: []Sight{
			{"a/x", sum("first"), at(3)}, {"gone", sum("gone!!!"), at(3)}, {"grown", sum("12"), at(8)}, {"a/x", sum("the second"), at(12)},
		},
		Standing: map[string]Sum{"a/x": sum("the second"), "gone": sum("gone!!!"), "grown": sum("12")},
		Source:   map[string]Sum{"a/x": sum("the second"), "grown": sum("12")},
		Files: []File{
			{Name: "a/x", State: "delivered", Size: 10, Target: "a/x"},
			{Name: "gone", State: "delivered", Size: 7, Target: "gone", Gone: true},
			{Name: "grown", State: "delivered", Size: 2, Target: "grown"},
		},
		Passes: []Pass{{Pass: "1", State: "succeeded", Started: at(25), Finished: &end}},
		Requests: []Request{{ID: "r", Filter: "*", Sent: at(14), Accepted: true, State: "replied", Finished: at(16), ReplyTo: true,
			Reply:  &Reply{ID: "r", Success: true, FileNames: []string{"a/x", "gone", "grown"}, Files: []ReplyFile{{"a/x", "a/x", 10, "present"}, {"gone", "gone", 7, "present"}, {"grown", "grown", 2, "copied"}}},
			Posted: []Reply{{ID: "r", Success: true, FileNames: []string{"a/x", "gone", "grown"}}},
		}},
		Posted: []Delivery{{1, "a/x", "a/x", 5}, {2, "gone", "gone", 7}, {3, "grown", "grown", 2}, {3, "grown", "grown", 2}, {4, "a/x", "a/x", 10}},
		Ended:  at(40),
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		change func(*Facts)
		want   string // the promise; empty: none is broken
	}{
		{"all is well", func(*Facts) {}, ""},
		{"half a file was seen", func(f *Facts) { f.Seen = append(f.Seen, Sight{"a/x", sum("the sec"), at(11)}) }, "only whole files"},
		{"another file's contents were seen", func(f *Facts) { f.Seen = append(f.Seen, Sight{"a/x", sum("gone!!!"), at(11)}) }, "only whole files"},
		{"a foreign file was seen where it was put", func(f *Facts) {
			f.Planted["a/x"] = []Sum{sum("foreign")}
			f.Seen = append(f.Seen, Sight{"a/x", sum("foreign"), at(11)})
		}, ""},
		{"a part of a growing file was delivered", func(f *Facts) { f.Seen = append(f.Seen, Sight{"grown", sum("1"), at(9)}) }, "only ready files"},
		{"a version was delivered too soon", func(f *Facts) { f.Seen[3].At = at(10.5) }, "only ready files"},
		{"an upload shows under its name while it is written", func(f *Facts) {
			f.Connector.Direction, f.Connector.UploadName = "upload", "direct"
			f.Seen = append(f.Seen, Sight{"a/x", sum("the sec"), at(11)})
		}, ""},
		{"a version did not arrive", func(f *Facts) { f.Standing["a/x"] = sum("first"); f.Files[0].Size = 5 }, "everything arrives"},
		{"it did not arrive, and is reported for no reason", func(f *Facts) { delete(f.Standing, "grown"); f.Files[2].State = "quarantined" }, "everything arrives"},
		{"it did not arrive, as a foreign file stands there, and is reported", func(f *Facts) {
			f.Planted["grown"] = []Sum{sum("foreign")}
			f.Standing["grown"] = sum("foreign")
			f.Files[2].State = "conflict"
		}, ""},
		{"a foreign file stands there, and nothing is reported", func(f *Facts) {
			f.Planted["grown"] = []Sum{sum("foreign")}
			f.Standing["grown"] = sum("foreign")
			f.Files = f.Files[:2]
		}, "everything arrives"},
		{"a link leads to a file over another link", func(f *Facts) {
			f.Links = map[string][]Link{"one": {{"another", at(2)}}, "another": {{"one", at(2)}, {"a/x", at(3)}}}
			f.Seen = append(f.Seen, Sight{"one", sum("the second"), at(12)})
			f.Standing["one"] = sum("the second")
			f.Files = append(f.Files, File{Name: "one", State: "delivered", Size: 10, Target: "one"})
			f.Posted = append(f.Posted, Delivery{5, "one", "one", 10})
		}, ""},
		{"a link leads elsewhere", func(f *Facts) {
			f.Links = map[string][]Link{"one": {{"grown", at(2)}}}
			f.Seen = append(f.Seen, Sight{"one", sum("the second"), at(12)})
			f.Standing["one"] = sum("the second")
			f.Files = append(f.Files, File{Name: "one", State: "delivered", Size: 10, Target: "one"})
			f.Posted = append(f.Posted, Delivery{5, "one", "one", 10})
		}, "only whole files"},
		{"what a new link leads to stands in the place of an original that was removed", func(f *Facts) {
			f.Connector.AfterCopy = "delete"
			f.Versions[1].To, f.Versions[1].TakenBy = at(20), Product
			f.Source = map[string]Sum{}
			f.Versions[4].To, f.Versions[4].TakenBy = at(20), Product
			f.Links = map[string][]Link{"grown": {{"a/x", at(12)}}}
			f.Standing["grown"] = sum("the second")
			f.Files[2].Size = 10
			f.Seen = append(f.Seen, Sight{"grown", sum("the second"), at(18)})
			f.Posted = append(f.Posted, Delivery{5, "grown", "grown", 10})
		}, ""},
		{"what an old link led to stands in the place of an original that was removed", func(f *Facts) {
			f.Connector.AfterCopy = "delete"
			f.Versions[1].To, f.Versions[1].TakenBy = at(20), Product
			f.Source = map[string]Sum{}
			f.Versions[4].To, f.Versions[4].TakenBy = at(20), Product
			f.Links = map[string][]Link{"grown": {{"a/x", at(3)}}}
			f.Versions[1].From, f.Versions[0].To = at(4), at(4)
			f.Standing["grown"] = sum("the second")
			f.Files[2].Size = 10
			f.Seen = append(f.Seen, Sight{"grown", sum("the second"), at(18)})
			f.Posted = append(f.Posted, Delivery{5, "grown", "grown", 10})
		}, "no original is lost"},
		{"a reply says of a file that it is there, and that it is not", func(f *Facts) {
			f.Requests[0].Reply.Success, f.Requests[0].Posted[0].Success = false, false
			f.Requests[0].Reply.Failed = []Problem{{Name: "a/x", Reason: "read: failure"}}
		}, "requests are answered"},
		{"a reply says that something else has come by the name of a file", func(f *Facts) {
			f.Requests[0].Reply.Success, f.Requests[0].Posted[0].Success = false, false
			f.Requests[0].Reply.Failed = []Problem{{Name: "a/x", Reason: "a version of it is there; what the source has now is not known: no size"}}
		}, ""},
		{"an original was removed that should be left", func(f *Facts) { f.Versions[2].TakenBy = Product }, "no original is lost"},
		{"an original was removed after its delivery", func(f *Facts) {
			f.Connector.AfterCopy = "delete"
			f.Versions[1].To, f.Versions[1].TakenBy = at(20), Product
			f.Versions[4].To, f.Versions[4].TakenBy = at(20), Product
			f.Source = nil
		}, ""},
		{"an original was removed without its copy", func(f *Facts) {
			f.Connector.AfterCopy = "delete"
			f.Versions[1].To, f.Versions[1].TakenBy = at(20), Product
			f.Versions[4].To, f.Versions[4].TakenBy = at(20), Product
			f.Source = nil
			delete(f.Standing, "grown")
		}, "no original is lost"},
		{"an original was moved away, and is nowhere", func(f *Facts) {
			f.Connector.AfterCopy = "move"
			f.Versions[1].To, f.Versions[1].TakenBy = at(20), Product
			f.Archive = []Sum{sum("gone!!!")}
			delete(f.Source, "a/x")
		}, "no original is lost"},
		{"an original is left that should be gone", func(f *Facts) { f.Connector.AfterCopy = "delete" }, "nothing is left"},
		{"an original is left, as its copy could not be verified", func(f *Facts) {
			f.Connector.AfterCopy = "delete"
			f.Files[0].Unverified, f.Files[2].Unverified = true, true
		}, ""},
		{"a row says more than is there", func(f *Facts) { delete(f.Standing, "gone") }, "records are true"},
		{"a row says another size", func(f *Facts) { f.Files[1].Size = 8 }, "records are true"},
		{"a file that no row knows", func(f *Facts) { f.Standing["other"] = sum("other") }, "records are true"},
		{"a pending file is left", func(f *Facts) { f.Pending = []string{"a/.x.1.part"} }, "nothing is left"},
		{"a pass succeeded in an outage with nothing to do", func(f *Facts) { f.Outages = []Span{{at(24), at(35), "the disk was full"}} }, ""},
		{"a pass succeeded in an outage with something to do", func(f *Facts) {
			f.Outages = []Span{{at(24), at(35), "the disk was full"}}
			f.Seen[3].At = at(36)
		}, "nothing green that is not"},
		{"the pass ended after the outage", func(f *Facts) {
			f.Outages = []Span{{at(24), at(29), "the disk was full"}}
			f.Seen[3].At = at(29.5)
			f.Requests = nil
		}, ""},
		{"a request has no answer", func(f *Facts) { f.Requests[0].State, f.Requests[0].Reply = "running", nil }, "requests are answered"},
		{"it was not accepted", func(f *Facts) { f.Requests[0].Accepted, f.Requests[0].Reply = false, nil }, ""},
		{"a request has two answers", func(f *Facts) {
			f.Requests[0].Posted = append(f.Requests[0].Posted, Reply{ID: "r", FileNames: []string{"a/x"}})
		}, "requests are answered"},
		{"a reply was not posted", func(f *Facts) { f.Requests[0].Posted = nil }, "requests are answered"},
		{"a reply names what was not there", func(f *Facts) { f.Seen[2].At = at(20) }, "requests are answered"},
		{"a reply is a success without one of the files", func(f *Facts) {
			f.Requests[0].Reply.Files = f.Requests[0].Reply.Files[:2]
		}, "requests are answered"},
		{"a subscriber was not told", func(f *Facts) { f.Posted = f.Posted[:4] }, "subscribers are told"},
		{"a subscriber was told of what never was", func(f *Facts) { f.Posted = append(f.Posted, Delivery{9, "a/x", "a/x", 6}) }, "subscribers are told"},
		{"a subscriber was not told of a copy that was replaced", func(f *Facts) { f.Posted = f.Posted[1:] }, "subscribers are told"},
		{"a subscriber was told in another order", func(f *Facts) { f.Posted[0], f.Posted[1] = f.Posted[1], f.Posted[0] }, "subscribers are told"},
		{"a copy was there before", func(f *Facts) { f.Files[1].State, f.Posted = "present", slices.Delete(f.Posted, 1, 2) }, ""},
		{"a pass succeeded without a version that was replaced later", func(f *Facts) {
			finished := at(9)
			f.Passes = append(f.Passes, Pass{Pass: "0", Mode: "automatic", State: "succeeded", Started: at(7), Finished: &finished})
			f.Seen, f.Posted = f.Seen[1:], f.Posted[1:]
		}, "a pass that succeeds has delivered"},
		{"it was waiting for that", func(f *Facts) {
			finished := at(9)
			f.Passes = append(f.Passes, Pass{Pass: "0", Mode: "automatic", State: "succeeded", Started: at(7), Finished: &finished, Files: Counts{Waiting: 1}})
			f.Seen, f.Posted = f.Seen[1:], f.Posted[1:]
		}, ""},
		{"a reply is a success with a file that failed", func(f *Facts) {
			f.Requests[0].Reply.Failed = []Problem{{Name: "other", Reason: "permission denied"}}
		}, "requests are answered"},
		{"a reply does not say why a file failed", func(f *Facts) {
			f.Requests[0].Reply.Success, f.Requests[0].Posted[0].Success = false, false
			f.Requests[0].Reply.Failed = []Problem{{Name: "other"}}
		}, "requests are answered"},
		{"a reply has a file twice", func(f *Facts) {
			f.Requests[0].Reply.Success, f.Requests[0].Posted[0].Success = false, false
			f.Requests[0].Reply.Waiting = []Problem{{Name: "grown", Reason: "not ready"}}
		}, "requests are answered"},
		{"one sequence is two deliveries", func(f *Facts) { f.Posted[3].Name = "a/x" }, "subscribers are told"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := good()
			c.change(&f)
			var promises []string
			for _, v := range Check(f) {
				promises = append(promises, v.Promise)
			}
			if c.want == "" && len(promises) > 0 || c.want != "" && !slices.Contains(promises, c.want) {
				t.Errorf("got %v, want %q", Check(f), c.want)
			}
		})
	}
}

func TestCheckSpace(t *testing.T) {
	t.Parallel()
	facts := func(keepBoth bool) SpaceFacts {
		f := SpaceFacts{ID: "s", KeepBoth: keepBoth,
			Uploads: []Upload{
				{"a", sum("one"), at(1), at(2), Acknowledged},
				{"a", sum("four"), at(3), at(4), Acknowledged},
				{"b", sum("fiver"), at(5), at(6), Cut},
				{"c", sum("sixsix"), at(5), at(6), Unknown},
			},
			Seen:     []Sight{{"a", sum("one"), at(3)}},
			Standing: map[string]Sum{"a": sum("four")},
			Posted:   []Delivery{{1, "a", "a", 3}, {2, "a", "a", 4}, {2, "a", "a", 4}},
		}
		if keepBoth {
			f.Standing = map[string]Sum{"a": sum("one"), "a (2)": sum("four")}
		}
		return f
	}
	for _, c := range []struct {
		name     string
		keepBoth bool
		change   func(*SpaceFacts)
		want     string
	}{
		{"all is well", false, func(*SpaceFacts) {}, ""},
		{"all is well, both kept", true, func(*SpaceFacts) {}, ""},
		{"one was replaced before its import", false, func(f *SpaceFacts) { f.Posted = f.Posted[1:] }, ""},
		{"one was lost, both kept", true, func(f *SpaceFacts) { f.Posted = f.Posted[1:] }, "every upload is imported once"},
		{"the last was lost", false, func(f *SpaceFacts) { f.Posted = f.Posted[:1] }, "every upload is imported once"},
		{"one was imported twice", false, func(f *SpaceFacts) { f.Posted = append(f.Posted, Delivery{3, "a", "a", 4}) }, "every upload is imported once"},
		{"a cut one was imported", false, func(f *SpaceFacts) { f.Posted = append(f.Posted, Delivery{3, "b", "b", 5}) }, "a cut upload is not imported"},
		{"one of which nobody knows was imported", false, func(f *SpaceFacts) { f.Posted = append(f.Posted, Delivery{3, "c", "c", 6}) }, ""},
		{"half a file was seen", false, func(f *SpaceFacts) { f.Seen = append(f.Seen, Sight{"b", sum("fiv"), at(7)}) }, "only whole files"},
		{"an older one stands", false, func(f *SpaceFacts) { f.Standing["a"] = sum("one") }, "every upload is imported once"},
		{"one stands nowhere, both kept", true, func(f *SpaceFacts) { delete(f.Standing, "a") }, "every upload is imported once"},
		{"the inbox is not empty", false, func(f *SpaceFacts) { f.Inbox = []string{"a"} }, "nothing is left"},
		{"a pending file is left", false, func(f *SpaceFacts) { f.Pending = []string{".a.1.part"} }, "nothing is left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := facts(c.keepBoth)
			c.change(&f)
			var promises []string
			for _, v := range CheckSpace(f) {
				promises = append(promises, v.Promise)
			}
			if c.want == "" && len(promises) > 0 || c.want != "" && !slices.Contains(promises, c.want) {
				t.Errorf("got %v, want %q", CheckSpace(f), c.want)
			}
		})
	}
}
