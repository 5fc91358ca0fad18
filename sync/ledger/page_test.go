package ledger_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
)

// allFiles pages through all rows that a query selects.
func allFiles(t *testing.T, c *ledger.Connector, q ledger.Query) []ledger.File {
	t.Helper()
	var all []ledger.File
	for pages := 0; ; pages++ {
		page, next, err := c.Files(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > q.Limit || pages > 1000 {
			t.Fatalf("a page of %d rows, limit %d; page %d", len(page), q.Limit, pages)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		q.Cursor = next
	}
}

// names gives the paths of rows; a failure's is marked.
func names(files []ledger.File) []string {
	var out []string
	for _, f := range files {
		if f.Record.ID != 0 {
			out = append(out, f.Record.Delivery.Source.Name)
		} else {
			out = append(out, "!"+f.Record.Failure.Source.Name)
		}
	}
	return out
}

func TestPagesLoseNothing(t *testing.T) {
	l := open(t, t.TempDir())
	c, stranger := connector(t, l, "c"), connector(t, l, "d")
	var want []string
	for i := range 13 {
		name := fmt.Sprintf("f%02d", i)
		_, err := c.Fail(t.Context(), []filesync.Failure{{Source: entry(name, 1), Quarantined: i%3 == 0, Conflict: i%3 == 1, At: day}})
		must(t, err)
		want = append(want, "!"+name)
	}
	var batch []filesync.Delivery
	for i := range 29 {
		d := delivery(fmt.Sprintf("d%02d", i), 1)
		d.Adopted, d.Pass = i%4 == 0, fmt.Sprint(i%2+1)
		batch = append(batch, d)
		want = append(want, d.Source.Name)
	}
	commit(t, c, batch...)
	commit(t, stranger, delivery("theirs", 1))
	slices.Sort(want)
	for limit := 1; limit <= 50; limit++ {
		got := names(allFiles(t, c, ledger.Query{Limit: limit}))
		falling := func(a, b string) int { return strings.Compare(b, a) }
		if len(got) != len(want) || !slices.IsSortedFunc(got[:13], falling) || !slices.IsSortedFunc(got[13:], falling) {
			t.Fatalf("limit %d: not the failures and then the delivered, each newest first: %v", limit, got)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("limit %d: %v", limit, got)
		}
	}
	for _, each := range []struct {
		q    ledger.Query
		want int
	}{
		{ledger.Query{State: filesync.StateDelivered}, 21},
		{ledger.Query{State: filesync.StatePresent}, 8},
		{ledger.Query{State: filesync.StateQuarantined}, 5},
		{ledger.Query{State: filesync.StateConflict}, 4},
		{ledger.Query{State: filesync.StateFailed}, 4},
		{ledger.Query{State: filesync.StateNew}, 0},
		{ledger.Query{Pass: "1"}, 15},
		{ledger.Query{Name: "d0"}, 10},
		{ledger.Query{Name: "?01"}, 2},
		{ledger.Query{Name: "*"}, 42},
		{ledger.Query{Name: "d0", State: filesync.StatePresent}, 3},
	} {
		for _, limit := range []int{1, 3, 1000} {
			each.q.Limit = limit
			if got := allFiles(t, c, each.q); len(got) != each.want {
				t.Errorf("%+v: %d rows, want %d: %v", each.q, len(got), each.want, names(got))
			}
		}
	}
}

// Rows that come while somebody pages neither push others out nor bring them twice.
func TestPagesWhileRowsCome(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	seen := map[string]int{}
	for i := range 30 {
		commit(t, c, delivery(fmt.Sprintf("old%d", i), 1))
	}
	q := ledger.Query{Limit: 4}
	for i := 0; ; i++ {
		page, next, err := c.Files(t.Context(), q)
		must(t, err)
		for _, n := range names(page) {
			seen[n]++
		}
		commit(t, c, delivery(fmt.Sprintf("new%d", i), 1))
		if next == "" {
			break
		}
		q.Cursor = next
	}
	for i := range 30 {
		if n := seen[fmt.Sprintf("old%d", i)]; n != 1 {
			t.Errorf("old%d came %d times", i, n)
		}
	}
}

func TestNamesAreTakenLiterally(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	commit(t, c, delivery("[a]x.csv", 1), delivery("ax.csv", 1), delivery("100%_.csv", 1))
	for name, want := range map[string]int{"[a]x": 1, "%": 1, "_": 1, "x.csv": 2, "X.CSV": 0, "a?.csv": 1, "*x*": 2} {
		if got := allFiles(t, c, ledger.Query{Name: name, Limit: 10}); len(got) != want {
			t.Errorf("%q: %v", name, names(got))
		}
	}
}

func TestForeignCursor(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	for _, cursor := range []string{"x", "f", "d", "x5", "5", "f5x", "é9", "\x00", "d 5"} {
		if _, _, err := c.Files(t.Context(), ledger.Query{Cursor: cursor}); err == nil {
			t.Errorf("cursor %q was taken", cursor)
		}
	}
}

// deliveredFiles gives the paths that DeliveredFiles calls for.
func deliveredFiles(t *testing.T, c *ledger.Connector, prefix string, from, to time.Time) []string {
	t.Helper()
	got := []string{}
	must(t, c.DeliveredFiles(t.Context(), prefix, from, to, func(r filesync.Record) error {
		if want := find(t, c, r.Delivery.Source.Name); !reflect.DeepEqual(r, want) { // it may call the ledger
			t.Errorf("%+v, want %+v", r, want)
		}
		got = append(got, r.Delivery.Source.Name)
		return nil
	}))
	return got
}

// A prefix is bytes: nothing in it means something, and nothing behind it is left out.
func TestDeliveredFilesByPrefix(t *testing.T) {
	l := open(t, t.TempDir())
	c := connector(t, l, "c")
	commit(t, connector(t, l, "d"), delivery("a/theirs", 1))
	all := []string{"a", "a/", "a/%", "a/*x", "a/\U0010ffff\U0010ffff", "a/[b]", "a/b", "a/b/c", "a/ÿ", "a0", "A/b", "b", "%", "\U0010ffff"}
	for _, name := range all {
		commit(t, c, delivery(name, 1))
	}
	slices.Sort(all)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/[", "a/%", "%", "*", "a/*", "\U0010ffff", "a/\U0010ffff", "a/x\xff", "\xff", "c", "a/ÿ"} {
		want := []string{}
		for _, name := range all {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		if got := deliveredFiles(t, c, prefix, time.Time{}, time.Time{}); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
}

func TestDeliveredFilesByTime(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	for name, mtime := range map[string]time.Time{"1970": at(0), "before": at(-1), "second": at(1), "2106": at(1<<32 - 1), "unknown": {}} {
		commit(t, c, filesync.Delivery{Source: filesync.Entry{Name: name, ModTime: mtime}, Target: filesync.Entry{Name: name, ModTime: day}, Pass: "1", At: day})
	}
	for _, each := range []struct {
		from, to time.Time
		want     string
	}{
		{time.Time{}, time.Time{}, "1970 2106 before second unknown"},
		{at(0), time.Time{}, "1970 2106 second"},
		{at(0).Add(1), time.Time{}, "2106 second"},
		{time.Time{}, at(0), "before"},
		{time.Time{}, at(0).Add(1), "1970 before"},
		{at(0), at(1), "1970"},
		{at(0), at(0), ""},
		{at(1<<32 - 1), at(1 << 32), "2106"},
		{at(-1), at(1<<32 - 1), "1970 before second"},
	} {
		if got := strings.Join(deliveredFiles(t, c, "", each.from, each.to), " "); got != each.want {
			t.Errorf("from %v to %v: %s, want %s", each.from, each.to, got, each.want)
		}
	}
}

// Rows come page by page, each once, though others come and change meanwhile.
func TestDeliveredFilesWhileRowsCome(t *testing.T) {
	c := connector(t, open(t, t.TempDir()), "c")
	var batch []filesync.Delivery
	for i := range 2500 {
		batch = append(batch, delivery(fmt.Sprintf("old%04d", i), 1))
	}
	commit(t, c, batch...)
	seen := map[string]int{}
	must(t, c.DeliveredFiles(t.Context(), "old", time.Time{}, time.Time{}, func(r filesync.Record) error {
		seen[r.Delivery.Source.Name]++
		if len(seen)%500 == 0 {
			commit(t, c, delivery(r.Delivery.Source.Name, 2), delivery(fmt.Sprintf("old0000-%d", len(seen)), 1))
		}
		return nil
	}))
	for _, d := range batch {
		if n := seen[d.Source.Name]; n != 1 {
			t.Fatalf("%s came %d times", d.Source.Name, n)
		}
	}
	stop := errors.New("stop")
	if err := c.DeliveredFiles(t.Context(), "", time.Time{}, time.Time{}, func(filesync.Record) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}
