package server_test

import (
	"fmt"
	"testing"

	"sftpconnector/interapp"
	"sftpconnector/interapp/server"
	filesync "sftpconnector/sync"
)

// What the last pass has left is told with the reason, until a pass has done it.
func TestFilesThatWereLeft(t *testing.T) {
	d := newDaemon(t, server.Options{})
	const files = "/api/v1/connectors/results/files"
	page := func(query string) (p interapp.FilePage) {
		t.Helper()
		d.ask("GET", files+query, "").want(t, 200, &p)
		return p
	}
	if p := page("?state=waiting"); len(p.Files) != 0 {
		t.Errorf("before the first pass: %+v", p)
	}
	d.src.Put("a.csv", "12345", old)
	d.src.Put("sub/grows.csv", "12345", old)
	for i := range 5 {
		d.src.Put(fmt.Sprintf("~$%d.docx", i), "x", old)
	}
	d.src.Inject("", filesync.Entry{Name: "../out.csv", Size: 1, ModTime: old})
	d.src.OnFetch = func(e filesync.Entry, _ int64) error {
		if e.Name == "sub/grows.csv" && e.Size == 5 {
			d.src.Put("sub/grows.csv", "123456", old)
		}
		return nil
	}
	var pass interapp.Pass
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, &pass)
	p := page("?state=waiting")
	if len(p.Files) != 1 || p.Files[0].Name != "sub/grows.csv" || p.Files[0].Reason == "" || p.Files[0].Pass != pass.Pass || p.Cursor != "" {
		t.Errorf("waiting: %+v", p)
	}
	if p := page("?state=unsafe"); len(p.Files) != 1 || p.Files[0].Reason == "" {
		t.Errorf("unsafe: %+v", p)
	}
	first := page("?state=excluded&limit=2")
	second := page("?state=excluded&limit=2&cursor=" + first.Cursor)
	third := page("?state=excluded&limit=2&cursor=" + second.Cursor)
	if len(first.Files) != 2 || second.Files[0].Name != "~$2.docx" || second.Files[0].Reason == "" || len(third.Files) != 1 || third.Cursor != "" {
		t.Errorf("excluded: %+v %+v %+v", first, second, third)
	}
	for name, want := range map[string]int{"$1": 1, "*.docx": 5, "~$?.docx": 5, "~$?": 0, "%FF*": 0, "sub*": 0, ".docx": 5, "[0-9]*": 0} {
		if p := page("?state=excluded&name=" + name); len(p.Files) != want {
			t.Errorf("%s: %+v", name, p)
		}
	}
	d.ask("GET", files+"?cursor=l1", "").problem(t, 422, "cursor")

	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	if p := page("?state=waiting"); len(p.Files) != 0 {
		t.Errorf("once it is delivered: %+v", p)
	}
	// A pass that could not run knows nothing new.
	d.change(func() { d.refuse = fmt.Errorf("no server") })
	d.ask("POST", "/api/v1/connectors/results/apply?wait=1m", "").want(t, 200, nil)
	if p := page("?state=excluded"); len(p.Files) != 5 {
		t.Errorf("after a pass that failed: %+v", p)
	}
}
