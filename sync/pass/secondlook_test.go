package pass_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

// A file that grows is not taken at its first look, whatever its time says: 1970,
// long ago, or a clock that is a day behind.
func TestOldTimesAreLookedAtTwice(t *testing.T) {
	for name, mod := range map[string]time.Time{"1970": time.Unix(0, 0), "old": old, "none": {}, "a day behind": time.Now().Add(-25 * time.Hour)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.src.Put("a", "half", mod)
			settle := func(o *pass.Options) { o.Settle = time.Hour }
			b.want(b.pass(filesync.Automatic, settle), filesync.Succeeded, "waiting=1")
			b.src.Put("a", "the whole", mod)
			b.want(b.pass(filesync.Automatic, settle), filesync.Succeeded, "waiting=1")
			b.want(b.pass(filesync.Apply, func(o *pass.Options) { o.Settle, o.AwaitSettle = 30*time.Millisecond, true }), filesync.Succeeded, "copied=1")
			if got, err := os.ReadFile(filepath.Join(b.dir, "a")); string(got) != "the whole" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// The second look of more files than are kept in mind lists the source again.
func TestSecondLookByListing(t *testing.T) {
	b := newBench(t)
	const files = 300
	for i := range files {
		b.src.Put(fmt.Sprintf("d%d/f%d", i%7, i), fmt.Sprint(i), old)
	}
	b.src.Put("bad\\name", "x", old)
	b.src.Put("x.tmp", "x", old)
	b.src.Link("outside", "")
	lists := 0
	b.src.OnList = func(dir string) error {
		if dir == "" {
			lists++
			b.src.Put("grows", strings.Repeat("x", lists), old)
		}
		if dir == "" && lists == 2 {
			b.src.Delete("d0/f0")
		}
		return nil
	}
	b.limit = func(p *pass.Pass) { p.LimitWaiting(100) }
	r := b.pass(filesync.Apply, func(o *pass.Options) { o.Settle, o.AwaitSettle = 50*time.Millisecond, true })
	// The removed one is excluded, as is x.tmp; the unsafe two are counted once.
	b.want(r, filesync.Partial, fmt.Sprintf("copied=%d waiting=1 excluded=2 unsafe=2", files-1))
	if r.Files.Seen != files+4 || lists != 2 {
		t.Errorf("%d seen in %d listings", r.Files.Seen, lists)
	}
}

// The second listing is about the files that wait, and not about what was decided.
func TestSecondListingCountsOnce(t *testing.T) {
	b := newBench(t)
	settle := func(o *pass.Options) { o.Settle, o.AwaitSettle = 50*time.Millisecond, true }
	b.src.Put("conflict", "ours", old)
	b.src.Put("bad", "x", old)
	tries := 0
	b.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "bad" {
			tries++
			return errors.New("no luck")
		}
		return nil
	}
	if err := errors.Join(os.MkdirAll(b.dir, 0o755), os.WriteFile(filepath.Join(b.dir, "conflict"), []byte("theirs"), 0o644)); err != nil {
		t.Fatal(err)
	}
	b.want(b.pass(filesync.Apply, settle), filesync.Partial, "failed=1 conflict=1")
	for i := range 300 {
		b.src.Put(fmt.Sprintf("f%d", i), "x", old)
	}
	b.limit = func(p *pass.Pass) { p.LimitWaiting(100) }
	r := b.pass(filesync.Apply, settle)
	b.want(r, filesync.Partial, "copied=300 failed=1 conflict=1")
	if tries != 2 || len(r.Failures) != 2 {
		t.Errorf("%d tries, %v", tries, r.Failures)
	}
}
