package pass_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	filesync "sftpconnector/sync"
	"sftpconnector/sync/pass"
)

func TestRequestListsNoMoreThanItNeeds(t *testing.T) {
	for name, want := range map[string]string{
		"d/e/*.csv":  "/d/e",
		"d/*/c.csv":  "/d /d/e /d/f",
		"d/**":       "/d /d/e /d/f /d/f/g",
		"*/e/c.csv":  "/ /d /d/e /x",
		"link/*.csv": "/",
		"{d/e,x}/*":  "/ /d /d/e /d/f /d/f/g /x",
	} {
		b := newBench(t)
		for _, name := range []string{"a", "d/a", "d/e/c.csv", "d/f/a", "d/f/g/a", "x/a"} {
			b.src.Put(name, "1", old)
		}
		b.src.Link("link", "")
		var mu sync.Mutex
		var listed []string
		b.src.OnList = func(dir string) error {
			mu.Lock()
			defer mu.Unlock()
			listed = append(listed, "/"+dir)
			return nil
		}
		if r, _ := b.request(name); r.Err != nil {
			t.Errorf("%s: %v", name, r.Err)
		}
		slices.Sort(listed)
		if got := strings.Join(listed, " "); got != want {
			t.Errorf("%s lists %s, want %s", name, got, want)
		}
	}
}

// A file that is younger than files.minimum_age waits.
func TestYoungFileWaits(t *testing.T) {
	f, err := filesync.NewFilter(filesync.FilterOptions{MinimumAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.src.Put("young", "x", time.Now())
	b.src.Put("old", "x", old)
	r := b.pass(filesync.Automatic, func(o *pass.Options) { o.Filter = f })
	b.want(r, filesync.Succeeded, "copied=1 waiting=1")
}
