package requests_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sftpconnector/connector"
	"sftpconnector/interapp"
	"sftpconnector/interapp/requests"
	"sftpconnector/status"
	filesync "sftpconnector/sync"
)

func TestReplyNamesTheFiles(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.src.Put("a.csv", "12345", old)
	w.src.Put("d/b.csv", "1", old.Add(time.Hour))
	w.src.Put("c.txt", "1", old)
	w.src.Put("x.no", "1", old)
	s := w.ended(w.accept(interapp.Request{ID: "one", Source: "element 925/187", FileNameFilter: "*.csv"}).ID)
	got, _ := json.Marshal(s.Reply)
	want := fmt.Sprintf(`{"id":"one","connector":"c","source":"element 925/187","success":true,"description":"2 files copied","destination_directory_path":%q,`+
		`"file_names":["a.csv","d/b.csv"],"files":[{"name":"a.csv","source_name":"a.csv","size":5,"mod_time":"2020-01-02T03:04:05Z","status":"copied"},`+
		`{"name":"d/b.csv","source_name":"d/b.csv","size":1,"mod_time":"2020-01-02T04:04:05Z","status":"copied"}],"waiting":[],"failed":[]}`, w.dir)
	if string(got) != want || s.State != interapp.RequestReplied || s.Finished == nil || s.Posting != nil {
		t.Errorf("%s\n%s\nwant %s", s.State, got, want)
	}
	// The same id gives the same answer, whatever has happened since.
	w.src.Put("new.csv", "1", old)
	again, _ := json.Marshal(w.accept(interapp.Request{ID: "one", Source: "element 925/187", FileNameFilter: "*.csv"}).Reply)
	if string(again) != want {
		t.Errorf("again: %s", again)
	}
	// Others see what is there.
	for filter, want := range map[string]string{
		"*.csv": "1 file copied, 2 already present", "c*": "1 file copied", "": "4 files already present", "*.no": "no file matches", "none": "no file matches",
	} {
		if filter == "" {
			continue
		}
		s := w.ended(w.accept(interapp.Request{FileNameFilter: filter}).ID)
		if s.Reply.Description != want || !s.Reply.Success {
			t.Errorf("%s: %+v", filter, s.Reply)
		}
	}
	if s := w.ended(w.accept(interapp.Request{}).ID); s.Reply.Description != "4 files already present" {
		t.Errorf("all: %+v", s.Reply)
	}
}

// Listeners hear of each state as it is reached, and not of the reply, which may
// be large.
func TestChanges(t *testing.T) {
	w := newWorld(t)
	changes := make(chan interapp.RequestState, 10)
	w.changed = func(s interapp.RequestState) { changes <- s }
	w.start(true)
	w.src.Put("f", "1", old)
	end := w.ended(w.accept(interapp.Request{ReplyTo: "http://127.0.0.1:1/in?secret=1", Source: "me"}).ID)
	for _, state := range []string{interapp.RequestAccepted, interapp.RequestRunning, interapp.RequestReplied} {
		s := <-changes
		if s.State != state || s.ID != end.ID || s.Request.Source != "me" || s.Reply != nil {
			t.Errorf("%+v, want %s without a reply", s, state)
		}
		if state == end.State && (s.Finished == nil || !s.Finished.Equal(*end.Finished) || s.Posting == nil || s.Posting.Done || !s.Posting.NextTry.Equal(*end.Finished)) {
			t.Errorf("%+v, want it as at its end, %+v", s, end)
		}
	}
}

func TestWhatIsNotThereHasItsReason(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.src.Put("good", "1", old)
	w.src.Put("bad", "1", old)
	w.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "bad" {
			return errors.New("broken sector")
		}
		return nil
	}
	s := w.ended(w.accept(interapp.Request{}).ID)
	if r := s.Reply; s.State != interapp.RequestReplied || r.Success || r.Description != "1 file copied, 1 failed" || len(r.Failed) != 1 ||
		r.Failed[0].Name != "bad" || !strings.Contains(r.Failed[0].Reason, "broken sector") || !slices.Equal(r.FileNames, []string{"good"}) {
		t.Errorf("%+v", s.Reply)
	}
	if s := w.ended(w.accept(interapp.Request{FileNameFilter: "good"}).ID); !s.Reply.Success {
		t.Errorf("what failed is none of this one's: %+v", s.Reply)
	}
	w.mu.Lock()
	w.refuse = &status.Error{Word: status.ConnectionRefused, Op: "connect to", Target: "server:22"}
	w.mu.Unlock()
	s = w.ended(w.accept(interapp.Request{FileNameFilter: "good"}).ID)
	if s.State != interapp.RequestFailed || s.Reply.Success || !strings.Contains(s.Reply.Description, "Connection Refused") || !strings.Contains(s.Reply.Description, status.ConnectionRefused.Hint()) {
		t.Errorf("%s: %+v", s.State, s.Reply)
	}
}

// Whoever sends the same request while it is being accepted waits for its answer too.
func TestWaitBeforeItIsBegun(t *testing.T) {
	w := newWorld(t)
	accepted := make(chan struct{})
	begin := make(chan struct{})
	w.changed = func(s interapp.RequestState) {
		if s.State == interapp.RequestAccepted {
			close(accepted)
			<-begin
		}
	}
	w.start(false)
	r := interapp.Request{ID: "same", FileNameFilter: "none"}
	first := make(chan error, 1)
	go func() { _, err := w.service.Accept(t.Context(), "c", "t", r); first <- err }()
	<-accepted
	w.accept(r)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := w.service.Wait(short, owner, r.ID); err != nil || s.Ended() || short.Err() == nil {
		t.Errorf("%+v %v, and the wait is not over", s, err)
	}
	w.run()
	close(begin)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if s, err := w.service.Wait(t.Context(), owner, r.ID); err != nil || s.State != interapp.RequestReplied {
		t.Errorf("%+v %v", s, err)
	}
}

// Nobody waits for what has no answer before the next start.
func TestWaitEndsWithTheProgram(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.src.Put("f", "1", old)
	defer w.close()()
	r := w.accept(interapp.Request{})
	w.until("the file is being copied", func() bool { return w.held.Load() > 0 })
	waited := make(chan interapp.RequestState, 1)
	go func() {
		s, err := w.service.Wait(context.Background(), owner, r.ID)
		if err != nil {
			t.Error(err)
		}
		waited <- s
	}()
	w.stop()
	if s := <-waited; s.Ended() {
		t.Errorf("%+v", s)
	}
	w.end()
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.src.Put("f", "1", old)
	open := w.close()
	defer open()
	r := w.accept(interapp.Request{})
	w.until("the file is being copied", func() bool { return w.held.Load() > 0 })
	running, err := w.service.Request(t.Context(), r.ID)
	if err != nil || running.State != interapp.RequestRunning || running.Reply != nil || running.Progress == nil || running.Progress.FilesFound != 1 {
		t.Errorf("%+v %v", running, err)
	}
	s, err := w.service.Cancel(t.Context(), owner, r.ID)
	if err != nil || s.State != interapp.RequestCancelled || s.Reply.Success || !strings.Contains(s.Reply.Description, "cancelled") {
		t.Errorf("%+v %v", s, err)
	}
	again, err := w.service.Cancel(t.Context(), owner, r.ID)
	if err != nil || again.State != interapp.RequestCancelled || !again.Finished.Equal(*s.Finished) {
		t.Errorf("%+v %v", again, err)
	}
}

func TestExpired(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.src.Put("f", "1", old)
	open := w.close()
	defer open()
	r := w.accept(interapp.Request{Timeout: "1s"})
	if s := w.ended(r.ID); s.State != interapp.RequestExpired || s.Reply.Success || !strings.Contains(s.Reply.Description, "not done within 1s: 1 file not copied") || len(s.Reply.Failed) != 1 {
		t.Errorf("%+v %+v", s, s.Reply)
	}
}

// A request that was accepted before a pause goes on when it is over, or says that it was
// in the way. New ones are refused.
func TestPaused(t *testing.T) {
	w := newWorld(t)
	w.start(false) // what is accepted is not begun
	w.src.Put("f", "1", old)
	short, long := w.accept(interapp.Request{Timeout: "1s"}), w.accept(interapp.Request{Timeout: "1h"})
	c, err := w.set.Get("c")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Pause(t.Context(), "ops", "the vendor works on it"); err != nil {
		t.Fatal(err)
	}
	_, err = w.service.Accept(t.Context(), "c", "t", interapp.Request{ID: "new"})
	if p, ok := errors.AsType[*connector.PausedError](err); !ok || p.Connector != "c" || p.By != "ops" {
		t.Errorf("a new one: %v", err)
	}
	if s, err := w.service.Accept(t.Context(), "c", "t", interapp.Request{ID: long.ID, Timeout: "1h"}); err != nil || s.ID != long.ID {
		t.Errorf("one that was accepted, again: %+v %v", s, err)
	}
	w.end()
	w.start(true)
	if s := w.ended(short.ID); s.State != interapp.RequestExpired || !strings.Contains(s.Reply.Description, "not done within 1s: connector c is paused by ops: the vendor works on it") {
		t.Errorf("%+v %+v", s, s.Reply)
	}
	if c, err = w.set.Get("c"); err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := w.ended(long.ID); s.State != interapp.RequestReplied || !s.Reply.Success || len(s.Reply.Files) != 1 {
		t.Errorf("%+v %+v", s, s.Reply)
	}
	w.end()
}

func TestBadRequests(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	for name, c := range map[string]struct {
		r     interapp.Request
		field string
		words string
	}{
		"glob":         {interapp.Request{FileNameFilter: "["}, "file_name_filter", `pattern "["`},
		"regex":        {interapp.Request{FileNameFilter: "regex:("}, "file_name_filter", "missing closing"},
		"from":         {interapp.Request{FileTimeFilter: &interapp.FileTimeFilter{From: "yesterday"}}, "file_time_filter.from", "2006-01-02T15:04:05Z"},
		"to":           {interapp.Request{FileTimeFilter: &interapp.FileTimeFilter{To: "2026-13-01"}}, "file_time_filter.to", "not a time"},
		"order":        {interapp.Request{FileTimeFilter: &interapp.FileTimeFilter{From: "2026-01-02", To: "2026-01-01"}}, "file_time_filter", "before to"},
		"both":         {interapp.Request{FileTimeFilter: &interapp.FileTimeFilter{From: "2026-01-02", NewerThan: "1h"}}, "file_time_filter.newer_than", "one of the two"},
		"newer":        {interapp.Request{FileTimeFilter: &interapp.FileTimeFilter{NewerThan: "-1h"}}, "file_time_filter.newer_than", "duration"},
		"id":           {interapp.Request{ID: "a b"}, "id", "without spaces"},
		"long id":      {interapp.Request{ID: strings.Repeat("x", 201)}, "id", "1 to 200"},
		"timeout":      {interapp.Request{Timeout: "1ms"}, "timeout", "1s to 24h"},
		"reply_to":     {interapp.Request{ReplyTo: "http://192.0.2.1/x"}, "reply_to", "reply_to_allow"},
		"other scheme": {interapp.Request{ReplyTo: "file:///etc/passwd"}, "reply_to", "reply_to_allow"},
	} {
		_, err := w.service.Accept(t.Context(), "c", "t", c.r)
		if invalid, ok := errors.AsType[*requests.Invalid](err); !ok || invalid.Field != c.field || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.service.Accept(t.Context(), "none", "t", interapp.Request{}); !errors.Is(err, connector.ErrUnknown) {
		t.Error(err)
	}
	if _, err := w.service.Request(t.Context(), "none"); !errors.Is(err, requests.ErrUnknown) {
		t.Error(err)
	}
	w.ended(w.accept(interapp.Request{ID: "taken"}).ID)
	for _, r := range []interapp.Request{{ID: "taken", FileNameFilter: "x"}, {ID: "taken", Source: "x"}} {
		if _, err := w.service.Accept(t.Context(), "c", "t", r); !errors.Is(err, requests.ErrTaken) {
			t.Error(err)
		}
	}
	if _, err := w.service.Accept(t.Context(), "c", "another caller", interapp.Request{ID: "taken"}); !errors.Is(err, requests.ErrTaken) {
		t.Error("another caller gets the answer:", err)
	}
	if n := w.src.Fetches(); n != 0 {
		t.Errorf("%d files were read", n)
	}
}

// There is a limit to what is open, of all and of each token. What is known
// already has its answer all the same.
func TestFull(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	w.ended(w.accept(interapp.Request{ID: "known", FileNameFilter: "none"}).ID)
	accept := func(token, id string) error {
		_, err := w.service.Accept(t.Context(), "c", token, interapp.Request{ID: id, FileNameFilter: "none"})
		return err
	}
	defer w.service.Fill("t", 1999)()
	if err := accept("t", "last"); err != nil {
		t.Error(err)
	}
	w.ended("last")
	defer w.service.Fill("t", 2000)()
	if err := accept("t", "many"); !errors.Is(err, requests.ErrFull) || !strings.Contains(err.Error(), "2000") {
		t.Errorf("of the token: %v", err)
	}
	for _, token := range []string{"other", ""} {
		if err := accept(token, "of-"+token); err != nil {
			t.Errorf("of another token: %v", err)
		}
		w.ended("of-" + token)
	}
	drain := w.service.Fill("", 8000)
	for _, token := range []string{"t", "other", ""} {
		if err := accept(token, "many"); !errors.Is(err, requests.ErrFull) {
			t.Errorf("of %q, of all: %v", token, err)
		}
	}
	if err := accept("t", "known"); err != nil {
		t.Error("known:", err)
	}
	if err := accept("other", "known"); !errors.Is(err, requests.ErrTaken) {
		t.Error("known, of another:", err)
	}
	drain()
	if err := accept("other", "again"); err != nil {
		t.Error(err)
	}
	w.ended("again")
}

// A time without a zone is the connector's; the filters hold to the second.
func TestTimeZones(t *testing.T) {
	w := newWorld(t)
	w.zone = time.FixedZone("", 2*3600)
	w.start(true)
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, w.zone)
	w.src.Put("before", "1", noon.Add(-time.Second))
	w.src.Put("noon", "1", noon)
	w.src.Put("after", "1", noon.Add(time.Second))
	w.src.Put("1970", "1", time.Unix(0, 0))
	w.src.Put("2106", "1", time.Unix(1<<32-1, 0))
	for filter, want := range map[interapp.FileTimeFilter]string{
		{From: "2026-03-01T12:00:00", To: "2026-03-01T12:00:01"}:             "noon",
		{From: "2026-03-01T10:00:00Z", To: "2026-03-01T10:00:01Z"}:           "noon",
		{From: "2026-03-01T05:00:00-05:00", To: "2026-03-01T05:00:02-05:00"}: "after noon",
		{From: "2026-03-01", To: "2026-03-02"}:                               "after before noon",
		{From: "2026-03-01 12:00", To: "2026-03-02"}:                         "after noon",
		{To: "1970-01-01T00:00:01Z"}:                                         "1970",
		{From: "2106-02-07T06:28:15Z"}:                                       "2106",
		{From: "2106-02-07T06:28:16Z"}:                                       "",
		{NewerThan: "1s"}:                                                    "2106",
	} {
		s := w.ended(w.accept(interapp.Request{FileTimeFilter: &filter}).ID)
		if got := strings.Join(s.Reply.FileNames, " "); got != want {
			t.Errorf("%+v: %q, want %q (%s)", filter, got, want, s.Reply.Description)
		}
	}
}

// What was accepted is answered after the program was started again, once.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.start(false) // it ends before it begins to work
	w.src.Put("f", "1", old)
	early := w.accept(interapp.Request{ID: "early"})
	w.end()
	w.start(true)
	if s := w.ended(early.ID); s.State != interapp.RequestReplied || len(s.Reply.FileNames) != 1 {
		t.Errorf("%+v", s)
	}
	w.src.Put("g", "2", old)
	open := w.close()
	late := w.accept(interapp.Request{ID: "late", FileNameFilter: "g"})
	w.until("the file is being copied", func() bool { return w.held.Load() > 0 })
	w.end()
	open()
	w.start(true)
	if s := w.ended(late.ID); s.State != interapp.RequestReplied || len(s.Reply.FileNames) != 1 || s.Reply.FileNames[0] != "g" {
		t.Errorf("%+v", s)
	}
}

// What comes while the program looks at what an earlier run left is done too.
func TestAcceptedWhileItStarts(t *testing.T) {
	w := newWorld(t)
	w.start(false)
	for range 50 { // that take their time to be read
		w.accept(interapp.Request{Source: strings.Repeat("x", 1<<18), FileNameFilter: "none"})
	}
	w.run()
	var ids []string
	for range 50 {
		ids = append(ids, w.accept(interapp.Request{FileNameFilter: "none"}).ID)
	}
	for _, id := range ids {
		w.ended(id)
	}
}

// A process that does not Run works on what it accepts, and leaves others alone.
func TestBegin(t *testing.T) {
	w := newWorld(t)
	w.start(false)
	w.src.Put("f", "1", old)
	left := w.accept(interapp.Request{ID: "left"})
	ctx, end := context.WithCancel(context.Background())
	w.service.Begin(ctx)
	defer w.service.End()
	defer end()
	if s := w.ended(w.accept(interapp.Request{FileNameFilter: "f"}).ID); s.State != interapp.RequestReplied || len(s.Reply.FileNames) != 1 {
		t.Errorf("%+v", s)
	}
	if s, err := w.service.Request(t.Context(), left.ID); err != nil || s.State != interapp.RequestAccepted {
		t.Errorf("%+v %v", s, err)
	}
	w.src.Put("g", "1", old)
	open := w.close()
	defer open()
	state := w.accept(interapp.Request{FileNameFilter: "g"})
	w.until("the file is being copied", func() bool { return w.held.Load() > 0 })
	if s, err := w.service.Cancel(t.Context(), requests.Caller{All: true}, state.ID); err != nil || s.State != interapp.RequestCancelled {
		t.Errorf("%+v %v", s, err)
	}
}

// 200 at once: each has its own answer, and no file is copied twice.
func TestTwoHundredAtOnce(t *testing.T) {
	w := newWorld(t)
	w.start(true)
	const dirs = 20
	for i := range 200 {
		w.src.Put(fmt.Sprintf("d%02d/f%03d", i%dirs, i), "x", old)
	}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			state, err := w.service.Accept(t.Context(), "c", "t", interapp.Request{FileNameFilter: fmt.Sprintf("d%02d/*", i%dirs)})
			if err != nil {
				t.Error(err)
				return
			}
			s := w.ended(state.ID)
			if len(s.Reply.FileNames) != 200/dirs || !s.Reply.Success {
				t.Errorf("%s: %+v", state.Request.FileNameFilter, s.Reply)
			}
			for _, name := range s.Reply.FileNames {
				if _, err := os.Stat(filepath.Join(w.dir, name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := w.src.Fetches(); n != 200 {
		t.Errorf("%d files were read", n)
	}
}
