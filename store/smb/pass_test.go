package smb_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sftpconnector/status"
	"sftpconnector/store/smb"
	"sftpconnector/store/smb/smbtest"
	"sftpconnector/store/storetest"
	filesync "sftpconnector/sync"
	"sftpconnector/sync/ledger"
	"sftpconnector/sync/pass"
)

// passes gives what runs a pass from src to the share, each over a session of
// its own.
func passes(t *testing.T, s *smbtest.Server, src *storetest.Memory, delivered func(filesync.Delivered), adjust ...func(*pass.Options)) func() filesync.Result {
	t.Helper()
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c, err := l.Connector(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	return func() filesync.Result {
		n++
		d := open(t, config(s, ""))
		defer d.Close()
		filter, _ := filesync.NewFilter(filesync.FilterOptions{})
		o := pass.Options{ID: fmt.Sprint(n), Mode: filesync.Apply, Filter: filter, OnDelivered: delivered, Sweep: true}
		for _, a := range adjust {
			a(&o)
		}
		return pass.New(src, src.Open, d, c, pass.NewShared(0), o).Run(t.Context())
	}
}

// The server is restarted in the middle of a pass: the next one completes it,
// and no file is half there at any time.
func TestRestartInPass(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	src := storetest.NewMemory()
	want := map[string][]byte{}
	for i := range 600 {
		name := fmt.Sprintf("d%d/x%d.csv", i%7, i)
		want[name] = text(1 + i*i%40_000)
		src.Put(name, string(want[name]), then)
	}
	first, restarted := make(chan bool), make(chan bool)
	var once sync.Once
	pass := passes(t, s, src, func(filesync.Delivered) {
		once.Do(func() {
			close(first)
			<-restarted
		})
	})
	go func() {
		defer close(restarted)
		<-first
		s.Restart()
	}()
	if r := pass(); r.Outcome != filesync.Failed || !errors.Is(r.Err, filesync.ErrDisconnected) {
		t.Errorf("with a restart: %s %+v %v", r.Outcome, r.Files, r.Err)
	}
	if n := len(wantWhole(t, s.Dir, want)); n == 0 || n == len(want) {
		t.Errorf("%d files stand after the restart", n)
	}
	if r := pass(); r.Outcome != filesync.Succeeded || r.Files.Failed+r.Files.Conflict != 0 {
		t.Errorf("the next pass: %s %+v %v", r.Outcome, r.Files, r.Err)
	}
	if n := len(wantWhole(t, s.Dir, want)); n != len(want) {
		t.Errorf("%d files stand at the end", n)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "*", ".*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Two files of the source that are one name on the share: the second does not
// replace the first, of which there is nothing else any more.
func TestLastCopyOfOneName(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	for _, names := range [][2]string{{"A.csv", "a.csv"}, {"ΟΔΟΣ.csv", "οδος.csv"}} {
		src := storetest.NewMemory()
		pass := passes(t, s, src, nil, func(o *pass.Options) { o.Overwrite, o.AfterCopy.Remove = true, true })
		src.Put(names[0], "the first", then)
		if r := pass(); r.Outcome != filesync.Succeeded || src.Len() != 0 {
			t.Errorf("%s: %s %+v %v", names[0], r.Outcome, r.Files, r.Err)
		}
		src.Put(names[1], "the second", then)
		if r := pass(); r.Outcome != filesync.Partial || r.Files.Failed != 1 || !src.Has(names[1]) {
			t.Errorf("%s: %s %+v %v", names[1], r.Outcome, r.Files, r.Err)
		}
		wantThere(t, s, names[0], []byte("the first"))
	}
}

// A full share ends the pass and is the destination's fault, not the file's; it
// leaves nothing behind, and with room again the files arrive.
func TestFullShare(t *testing.T) {
	t.Parallel()
	dir, ok := smbtest.SmallDir(t, 1<<20)
	if !ok {
		t.Log("no file system can be mounted here: TestErrorsOfTheWhole has to do")
		return
	}
	s := smbtest.Start(t, smbtest.Options{Dir: dir})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 600<<10), 0o666); err != nil {
		t.Fatal(err)
	}
	src := storetest.NewMemory()
	src.Put("small", "fits", then)
	src.Put("big", string(text(700<<10)), then)
	pass := passes(t, s, src, nil)
	r := pass()
	if r.Outcome != filesync.Failed || !status.Is(r.Err, status.DestinationUnavailable) || !errors.Is(r.Err, filesync.ErrFull) {
		t.Errorf("%s, %v", r.Outcome, r.Err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.part")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 1<<20), 0o666); err == nil {
		t.Fatal("the share is not full")
	}
	d := open(t, config(s, ""))
	if err := d.Probe(t.Context()); !status.Is(err, status.DestinationUnavailable) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Probe: %v", err)
	}
	d.Close()
	os.Remove(ballast)
	os.Remove(filepath.Join(dir, "rest"))
	if r := pass(); r.Outcome != filesync.Succeeded || r.Files.Copied+r.Files.Present != 2 {
		t.Errorf("with room again: %s %+v %v", r.Outcome, r.Files, r.Err)
	}
	wantThere(t, s, "big", text(700<<10))
}

func TestErrorsOfTheWhole(t *testing.T) {
	t.Parallel()
	s := smbtest.Start(t, smbtest.Options{})
	d := open(t, config(s, ""))
	defer d.Close()
	for code, whole := range map[uint32]bool{
		0xC000007F: true, 0xC0000044: true, 0xC0000802: true, 0xC00000A2: true, 0xC0000185: true,
		0xC0000043: false, 0xC0000056: false, 0xC0000033: false, 0xC0000106: false, 0xC0000001: false,
	} {
		err := smb.Failed(t.Context(), d, code)
		if status.Is(err, status.DestinationUnavailable) != whole || strings.Contains(err.Error(), "\n") {
			t.Errorf("%#x: %v", code, err)
		}
		if full := code == 0xC000007F || code == 0xC0000044 || code == 0xC0000802; errors.Is(err, filesync.ErrFull) != full {
			t.Errorf("%#x: %v; that is full: %v", code, err, full)
		}
	}
}
