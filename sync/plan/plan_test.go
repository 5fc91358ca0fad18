package plan_test

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/plan"
)

var (
	now   = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	march = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	may   = time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)

	file    = filesync.Entry{Name: "a/x.csv", Size: 10, ModTime: march}
	ready   = &plan.Stillness{Ready: true}
	nothing = &filesync.StatResult{Err: fs.ErrNotExist}
)

// version is the file in another version.
func version(size int64, modTime time.Time) filesync.Entry {
	return filesync.Entry{Name: file.Name, Size: size, ModTime: modTime}
}

// stands is something that stands at the destination.
func stands(size int64, modTime time.Time) *filesync.StatResult {
	return &filesync.StatResult{Entry: version(size, modTime)}
}

// delivered is the record of a delivery of that version under its own name.
func delivered(e filesync.Entry, after filesync.After) filesync.Record {
	return filesync.Record{ID: 1, After: after, Delivery: filesync.Delivery{Source: e, Target: e, At: may}}
}

// failed is the record of a version that failed so often and is tried again at next.
func failed(e filesync.Entry, tries int, next time.Time) filesync.Record {
	return filesync.Record{FailureID: 7, Failure: filesync.Failure{
		Source: e, Tries: tries, At: may, Next: next, Error: "permission denied", Quarantined: tries >= filesync.MaxTries}}
}

// conflicting adds a conflict to a record.
func conflicting(r filesync.Record, e filesync.Entry) filesync.Record {
	r.FailureID, r.Failure = 7, filesync.Failure{Source: e, Conflict: true, Error: "it is another one"}
	return r
}

// owner is the record of another file that has the name at the destination.
func owner(gone bool, after filesync.After) filesync.Record {
	r := delivered(filesync.Entry{Name: "b/x.csv", Size: 99, ModTime: may}, after)
	r.Delivery.Target.Name = file.Name
	r.Gone = gone
	return r
}

// These are the rules of a pass, one row each.
func TestDecide(t *testing.T) {
	type row struct {
		rule  string
		rules plan.Rules
		facts plan.Facts
		want  string // action, state, reason, and what else the decision says
	}
	automatic := plan.Rules{Mode: filesync.Automatic, Settle: time.Minute}
	apply := plan.Rules{Mode: filesync.Apply, Settle: time.Minute}
	request := plan.Rules{Mode: filesync.Request, Settle: time.Minute}
	survey := plan.Rules{Mode: filesync.Survey, Settle: time.Minute}
	with := func(r plan.Rules, change func(*plan.Rules)) plan.Rules { change(&r); return r }
	overwrite := func(r *plan.Rules) { r.Overwrite = true }
	once := func(r *plan.Rules) { r.Once = true }
	after := func(r *plan.Rules) { r.AfterCopy = true }
	wasDelivered := delivered(file, filesync.AfterNone)

	for _, group := range []struct {
		about string
		rows  []row
	}{
		{"filters", []row{
			{"a file that the filters leave out is excluded", automatic, plan.Facts{Excluded: "not in files.include"},
				"leave excluded: not in files.include"},
			{"also if it was delivered before", automatic, plan.Facts{Excluded: "not in files.include", Record: wasDelivered},
				"leave excluded: not in files.include"},
			{"one that is too young waits", automatic, plan.Facts{TooYoung: 90 * time.Second},
				"leave waiting: modified at 2026-03-01T08:00:00Z, files.minimum_age asks for 1m30s more"},
		}},
		{"settle", []row{
			{"it is asked whether a file stands still", automatic, plan.Facts{}, "observe"},
			{"one that does not waits", automatic, plan.Facts{Stillness: &plan.Stillness{Reason: "it is changing", Left: time.Second}},
				"leave waiting: it is changing"},
			{"and is looked at again where the pass does that", with(automatic, func(r *plan.Rules) { r.SecondLook = true }),
				plan.Facts{Stillness: &plan.Stillness{Reason: "it is changing", Left: time.Second}}, "await waiting: it is changing (1s)"},
			{"not so if it is not known for how long", with(automatic, func(r *plan.Rules) { r.SecondLook = true }),
				plan.Facts{Stillness: &plan.Stillness{Reason: "others wait before it"}}, "leave waiting: others wait before it"},
			{"one that never stands still has failed", automatic, plan.Facts{Stillness: &plan.Stillness{Left: time.Second, TimeChanges: 3}},
				"leave failed: it has another time at each look, 3 passes in a row, and the same size; stuck"},
			{"a survey tells what would become of it", survey, plan.Facts{Stillness: &plan.Stillness{Left: time.Second}, Standing: nothing},
				"copy new: not delivered yet; it has to stand still for 1m0s"},
			{"one that does is looked for at the destination", automatic, plan.Facts{Stillness: ready}, "examine"},
		}},
		{"new versions", []row{
			{"a file that stands nowhere is copied", automatic, plan.Facts{Stillness: ready, Standing: nothing}, "copy new: not delivered yet"},
			{"a new version is copied", automatic, plan.Facts{Stillness: ready, Standing: nothing, Record: delivered(version(9, march), filesync.AfterNone)},
				"copy changed: its size or time changed since it was delivered"},
			{"and replaces the old one", automatic, plan.Facts{Stillness: ready, Standing: stands(9, march), Record: delivered(version(9, march), filesync.AfterNone)},
				"copy changed: its size or time changed since it was delivered; replaces 9 bytes"},
			{"the same version after the original was removed is a new file", automatic,
				plan.Facts{Stillness: ready, Standing: nothing, Record: delivered(file, filesync.AfterDone)}, "copy new: not delivered yet"},
			{"and replaces its last copy", automatic, plan.Facts{Stillness: ready, Standing: stands(10, march), Record: delivered(file, filesync.AfterDone)},
				"copy new: not delivered yet; replaces 10 bytes"},
			{"a time within the same second is the same version", automatic,
				plan.Facts{Listed: version(10, march.Add(time.Second/2)), Record: wasDelivered}, "leave delivered: delivered 2026-05-01T08:00:00Z; delivered"},
		}},
		{"adoption", []row{
			{"a file of the same size and time is adopted", automatic, plan.Facts{Stillness: ready, Standing: stands(10, march)},
				"adopt present: the same name, size and time stand at the destination"},
			{"not so a directory of that name", automatic, plan.Facts{Stillness: ready,
				Standing: &filesync.StatResult{Entry: filesync.Entry{Name: file.Name, Size: 10, ModTime: march, Mode: fs.ModeDir}}},
				"leave conflict: a directory: another file stands at the destination under this name; new conflict"},
			{"nor a link", automatic, plan.Facts{Stillness: ready,
				Standing: &filesync.StatResult{Entry: filesync.Entry{Name: file.Name, Size: 10, ModTime: march, Mode: fs.ModeSymlink}}},
				"leave conflict: another file stands at the destination under this name (10 bytes of 2026-03-01T08:00:00Z); new conflict"},
			{"nor is an upload, which has a version of its own, found there", automatic,
				plan.Facts{Listed: filesync.Entry{Name: file.Name, Size: 10, ModTime: march, Version: "7"}, Stillness: ready, Standing: stands(10, march)},
				"leave conflict: another file stands at the destination under this name (10 bytes of 2026-03-01T08:00:00Z); new conflict"},
			{"one whose original turned out to be different is a conflict", automatic, plan.Facts{Record: conflicting(delivered(file, filesync.AfterRefused), file)},
				"leave conflict: it is another one"},
		}},
		{"conflict", []row{
			{"a foreign file is left", automatic, plan.Facts{Stillness: ready, Standing: stands(3, may)},
				"leave conflict: another file stands at the destination under this name (3 bytes of 2026-05-01T08:00:00Z); new conflict"},
			{"which is recorded once", automatic, plan.Facts{Stillness: ready, Standing: stands(3, may), Record: conflicting(filesync.Record{}, file)},
				"leave conflict: another file stands at the destination under this name (3 bytes of 2026-05-01T08:00:00Z)"},
			{"and again for another version", automatic, plan.Facts{Stillness: ready, Standing: stands(3, may), Record: conflicting(filesync.Record{}, version(9, march))},
				"leave conflict: another file stands at the destination under this name (3 bytes of 2026-05-01T08:00:00Z); new conflict"},
			{"with overwrite it is replaced", with(automatic, overwrite), plan.Facts{Stillness: ready, Standing: stands(3, may)},
				"copy new: not delivered yet; replaces 3 bytes"},
			{"a directory never is", with(automatic, overwrite), plan.Facts{Stillness: ready, Standing: &filesync.StatResult{Entry: filesync.Entry{Mode: fs.ModeDir}}},
				"leave conflict: a directory: another file stands at the destination under this name; new conflict"},
			{"a copy that was edited is left", automatic, plan.Facts{Stillness: ready, Standing: stands(11, may), Record: delivered(version(9, march), filesync.AfterNone)},
				"leave conflict: another file stands at the destination under this name (11 bytes of 2026-05-01T08:00:00Z); new conflict"},
			{"one whose size the destination does not tell is ours", automatic,
				plan.Facts{Stillness: ready, Standing: stands(-1, march), Record: delivered(version(9, march), filesync.AfterNone)},
				"copy changed: its size or time changed since it was delivered; replaces -1 bytes"},
		}},
		{"delivered before", []row{
			{"an automatic pass does not look for it", automatic, plan.Facts{Record: wasDelivered}, "leave delivered: delivered 2026-05-01T08:00:00Z; delivered"},
			{"an Apply does", apply, plan.Facts{Record: wasDelivered}, "examine"},
			{"a request does", request, plan.Facts{Record: wasDelivered}, "examine"},
			{"and finds it", apply, plan.Facts{Record: wasDelivered, Standing: stands(10, march)},
				"leave delivered: stands at the destination; delivered; at a/x.csv"},
			{"or brings it back", apply, plan.Facts{Record: wasDelivered, Standing: nothing}, "copy new: delivered before, missing at the destination"},
			{"not so if it is to be delivered once", with(apply, once), plan.Facts{Record: wasDelivered},
				"leave delivered: delivered 2026-05-01T08:00:00Z; delivered; at a/x.csv"},
			{"an edited copy is left", apply, plan.Facts{Record: wasDelivered, Standing: stands(11, may)},
				"leave conflict: another file stands at the destination under this name (11 bytes of 2026-05-01T08:00:00Z); new conflict"},
			{"or replaced, with overwrite", with(apply, overwrite), plan.Facts{Record: wasDelivered, Standing: stands(11, may)},
				"copy new: edited at the destination, and files.on_conflict is overwrite; replaces 11 bytes"},
			{"an unverified one says so", with(automatic, after), plan.Facts{Record: delivered(file, filesync.AfterUnverified)},
				"leave delivered: delivered 2026-05-01T08:00:00Z; the server did not confirm the copy, so its original is left; delivered"},
			{"an adopted one is present", automatic, plan.Facts{Record: func() filesync.Record { r := wasDelivered; r.Delivery.Adopted = true; return r }()},
				"leave present: delivered 2026-05-01T08:00:00Z; delivered"},
		}},
		{"after_copy", []row{
			{"is owed by what was delivered before it was asked for", with(automatic, after), plan.Facts{Record: wasDelivered, Standing: stands(10, march)},
				"leave delivered: delivered 2026-05-01T08:00:00Z; delivered; owes"},
			{"and only if the copy stands", with(automatic, after), plan.Facts{Record: wasDelivered, Standing: nothing},
				"leave delivered: delivered 2026-05-01T08:00:00Z; delivered"},
			{"what is to be delivered once owes it by what the ledger says", with(with(automatic, after), once), plan.Facts{Record: wasDelivered, Standing: nothing},
				"leave delivered: delivered 2026-05-01T08:00:00Z; delivered; at a/x.csv; owes"},
			{"what an automatic pass has been at is not looked at again", with(automatic, after), plan.Facts{Record: delivered(file, filesync.AfterOwed)},
				"leave delivered: delivered 2026-05-01T08:00:00Z; its original could not be removed or moved yet; delivered"},
			{"an Apply tries it again", with(apply, after), plan.Facts{Record: delivered(file, filesync.AfterOwed), Standing: stands(10, march)},
				"leave delivered: stands at the destination; delivered; at a/x.csv; owes"},
		}},
		{"failures", []row{
			{"one that failed waits for its time", automatic, plan.Facts{Record: failed(file, 2, now.Add(time.Minute))},
				"leave failed: tried 2 times, next at 2026-05-04T12:01:00Z: permission denied; held"},
			{"and is tried then", automatic, plan.Facts{Record: failed(file, 2, now)}, "observe"},
			{"a clock that was set back puts nothing off", automatic, plan.Facts{Now: march, Record: failed(file, 2, now)}, "observe"},
			{"an Apply does not wait", apply, plan.Facts{Record: failed(file, 2, now.Add(time.Minute))}, "observe"},
			{"another version does not wait", automatic, plan.Facts{Record: failed(version(9, march), 5, now.Add(time.Minute))}, "observe"},
			{"after five tries it is quarantined", automatic, plan.Facts{Record: failed(file, 5, now)},
				"leave quarantined: failed 5 times: permission denied"},
			{"also for an Apply", apply, plan.Facts{Record: failed(file, 5, now)}, "leave quarantined: failed 5 times: permission denied"},
			{"an earlier failure of what stands is over", apply, plan.Facts{Standing: stands(10, march), Record: func() filesync.Record {
				r := failed(file, 1, now)
				r.ID, r.Delivery = 1, wasDelivered.Delivery
				return r
			}()}, "leave delivered: stands at the destination; delivered; at a/x.csv; mended"},
			{"a copy that cannot be made durable is not made once more", automatic, plan.Facts{NotDurable: fs.ErrPermission},
				"leave failed: its copy stands, and cannot be made durable yet: permission denied; held"},
			{"a destination that cannot be looked at fails the file", automatic, plan.Facts{Stillness: ready, Standing: &filesync.StatResult{Err: fs.ErrPermission}},
				"leave failed: look at the destination: permission denied"},
			{"a name that it cannot hold is unsafe", automatic, plan.Facts{Stillness: ready, Standing: &filesync.StatResult{Err: fmt.Errorf("a:b: %w", fs.ErrInvalid)}},
				"leave unsafe: a:b: invalid argument"},
			{"a directory above that is a file is a conflict", automatic,
				plan.Facts{Stillness: ready, Standing: &filesync.StatResult{Err: fmt.Errorf("a is a file: %w", filesync.ErrConflict)}},
				"leave conflict: a is a file: another file stands at the destination under this name; new conflict"},
		}},
		{"names of several files", []row{
			{"a name belongs to the file that has it", automatic, plan.Facts{Stillness: ready, Standing: stands(99, may), Owner: owner(false, filesync.AfterNone)},
				"leave failed: the name a/x.csv at the destination belongs to b/x.csv"},
			{"until that is gone from the source", with(automatic, func(r *plan.Rules) { r.Flat = true }),
				plan.Facts{Stillness: ready, Standing: stands(99, may), Owner: owner(true, filesync.AfterNone)}, "copy new: not delivered yet; replaces 99 bytes"},
			{"what we removed has its last copy there", with(automatic, func(r *plan.Rules) { r.Flat = true }),
				plan.Facts{Stillness: ready, Standing: stands(99, may), Owner: owner(false, filesync.AfterDone), OwnersCopy: stands(99, may)},
				"leave failed: the name a/x.csv at the destination belongs to b/x.csv"},
			{"until that is taken", with(automatic, func(r *plan.Rules) { r.Flat = true }),
				plan.Facts{Stillness: ready, Standing: nothing, Owner: owner(false, filesync.AfterDone), OwnersCopy: nothing}, "copy new: not delivered yet"},
			{"names that only fold to one keep the last copy", automatic,
				plan.Facts{Stillness: ready, Standing: stands(99, may), Owner: owner(true, filesync.AfterNone), OwnersCopy: stands(99, may)},
				"leave failed: the name a/x.csv at the destination belongs to b/x.csv"},
			{"but with overwrite", with(automatic, overwrite),
				plan.Facts{Stillness: ready, Standing: stands(99, may), Owner: owner(true, filesync.AfterNone), OwnersCopy: stands(99, may)},
				"copy new: not delivered yet; replaces 99 bytes"},
			{"with keep-both what came under a free name is left", with(with(automatic, overwrite), func(r *plan.Rules) { r.KeepBoth = true }),
				plan.Facts{Stillness: ready, Standing: stands(3, may)},
				"leave conflict: another file stands at the destination under this name (3 bytes of 2026-05-01T08:00:00Z); new conflict"},
		}},
		{"files written under their own names", []row{
			{"a part of an interrupted copy is gone on with", with(automatic, func(r *plan.Rules) { r.InPlace = true }),
				plan.Facts{Stillness: ready, Standing: stands(4, may), Checkpoint: true}, "copy new: not delivered yet"},
			{"what is larger is no part", with(automatic, func(r *plan.Rules) { r.InPlace = true }),
				plan.Facts{Stillness: ready, Standing: stands(11, may), Checkpoint: true},
				"leave conflict: another file stands at the destination under this name (11 bytes of 2026-05-01T08:00:00Z); new conflict"},
			{"nor is anything elsewhere", automatic, plan.Facts{Stillness: ready, Standing: stands(4, may), Checkpoint: true},
				"leave conflict: another file stands at the destination under this name (4 bytes of 2026-05-01T08:00:00Z); new conflict"},
		}},
	} {
		for _, row := range group.rows {
			t.Run(group.about+"/"+row.rule, func(t *testing.T) {
				f := row.facts
				if f.Listed.Name == "" {
					f.Listed = file
				}
				if f.Now.IsZero() {
					f.Now = now
				}
				f.Destination = file.Name
				if got := describe(plan.Decide(row.rules, f)); got != row.want {
					t.Errorf("got  %s\nwant %s", got, row.want)
				}
			})
		}
	}
}

// describe puts a decision into words.
func describe(d plan.Decision) string {
	var b strings.Builder
	fmt.Fprint(&b, d.Action)
	if d.State != "" {
		fmt.Fprintf(&b, " %s: %s", d.State, d.Reason)
	}
	if d.Action == plan.Await {
		fmt.Fprintf(&b, " (%v)", d.Left)
	}
	if d.Replaces != nil {
		fmt.Fprintf(&b, "; replaces %d bytes", d.Replaces.Size)
	}
	for _, said := range []struct {
		is   bool
		word string
	}{
		{d.Delivered, "delivered"}, {d.Action == plan.Leave && d.Target != "", "at " + d.Target}, {d.Held, "held"}, {d.Stuck, "stuck"},
		{d.Mended, "mended"}, {d.Owes, "owes"}, {d.NewConflict, "new conflict"},
	} {
		if said.is {
			b.WriteString("; " + said.word)
		}
	}
	return b.String()
}

// What fails a file for a reason of its own, or for a conflict, has an error that can
// be told apart.
func TestErrors(t *testing.T) {
	rules := plan.Rules{Mode: filesync.Automatic}
	for name, test := range map[string]struct{ standing, want error }{
		"conflict": {filesync.ErrConflict, filesync.ErrConflict},
		"unsafe":   {fs.ErrInvalid, fs.ErrInvalid},
		"failed":   {fs.ErrPermission, fs.ErrPermission},
	} {
		f := plan.Facts{Listed: file, Destination: file.Name, Stillness: ready, Standing: &filesync.StatResult{Err: test.standing}}
		if d := plan.Decide(rules, f); !errors.Is(d.Err, test.want) {
			t.Errorf("%s: %v", name, d.Err)
		}
	}
}
