package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sftpconnector/store/sftp/sftptest"
	"sftpconnector/store/sftp/wire"
	filesync "sftpconnector/sync"
)

// minutes lets listings tell times without their seconds.
func minutes(op sftptest.Op, _ string, a *sftptest.Attributes) {
	if op == sftptest.OpReaddir {
		a.ModTime = a.ModTime.Truncate(time.Minute)
	}
}

// soon bounds what would otherwise wait for ever.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// No file is open while a listing is asked for its version, as no further handle may be
// allowed.
func TestConfirmTakesNoSecondHandle(t *testing.T) {
	for name, f := range map[string]sftptest.Faults{
		"one handle":     {MaxHandles: 1, NoExtensions: true, Attributes: minutes},
		"listing denied": {NoExtensions: true, Attributes: minutes},
	} {
		t.Run(name, func(t *testing.T) {
			s, srv, e, _ := listedAs(t, f)
			if name == "listing denied" {
				srv.Set(func(f *sftptest.Faults) { f.Fail = answers(sftptest.StatusPermissionDenied, sftptest.OpOpendir)(true) })
			}
			if _, err := s.Fetch(soon(t), e, 0, &memory{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// As many files are confirmed at a time as there are handles, and all arrive.
func TestConfirmWithFewHandles(t *testing.T) {
	srv := faulty(t, sftptest.Faults{MaxHandles: 10, NoExtensions: true, Attributes: minutes})
	for i := range 40 {
		name := fmt.Sprintf("d/f%d", i)
		put(t, srv.Endpoint, name, noise(1000))
		if err := os.Chtimes(filepath.Join(srv.Root, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	s := openSource(t, byKey(srv.Endpoint))
	ctx := soon(t)
	var g sync.WaitGroup
	for _, e := range allOf(t, s, "d") {
		g.Go(func() {
			if v, err := s.Fetch(ctx, e, 0, &memory{}); err != nil || !v.SameVersion(e) {
				t.Errorf("%s: %+v, %v", e.Name, v, err)
			}
		})
	}
	g.Wait()
	if !s.limits.statDiffers.Load() {
		t.Error("nothing was learnt")
	}
	// A listing is not needed when handles tell the same twice.
	srv.ResetCounts()
	e := allOf(t, s, "d")["d/f0"]
	if v, err := s.Fetch(ctx, e, 0, &memory{}); err != nil || !v.SameVersion(e) || srv.Counts().Ops[sftptest.OpOpendir] != 1 {
		t.Errorf("%+v, %v after %d listings", v, err, srv.Counts().Ops[sftptest.OpOpendir])
	}
}

// One name may be asked for twice, as a listing may hold it twice while it changes.
func TestRelistOfOneNameTwice(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	var entries []filesync.Entry
	for i := range 2 * fewStats {
		name := fmt.Sprintf("d/f%d", i)
		put(t, srv.Endpoint, name, noise(1000))
		if err := os.Chtimes(filepath.Join(srv.Root, name), old, old); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, filesync.Entry{Name: name, Size: 1000, ModTime: old})
	}
	entries = append(entries, entries[0])
	s := openSource(t, byKey(srv.Endpoint))
	stats, err := s.Relist(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range stats {
		if k.Err != nil || !k.Entry.SameVersion(entries[i]) {
			t.Errorf("%d %s: %+v", i, entries[i].Name, k)
		}
	}
}

// A size that only listings have is not another size.
func TestSizesInListingsAlone(t *testing.T) {
	s, srv, e, _ := listedAs(t, sftptest.Faults{Attributes: sftptest.OfFiles(func(_ sftptest.Op, _ string, a *sftptest.Attributes) { a.NoSize = true })})
	for _, denied := range []bool{false, true} {
		if denied {
			srv.Set(func(f *sftptest.Faults) { f.Fail = answers(sftptest.StatusPermissionDenied, sftptest.OpFstat)(true) })
		}
		stats, err := s.Relist(t.Context(), []filesync.Entry{e})
		if err != nil || stats[0].Err != nil || !stats[0].Entry.SameVersion(e) {
			t.Errorf("%+v, %v; listed as %+v", stats, err, e)
		}
		if v, err := s.Fetch(t.Context(), e, 0, &memory{}); err != nil || !v.SameVersion(e) {
			t.Errorf("FSTAT denied %v: %+v, %v", denied, v, err)
		}
	}
}

// Items that wait to be probed as directories are bounded in bytes.
func TestUntypedItemsAreBounded(t *testing.T) {
	var kept atomic.Int64
	var untyped []item
	dir := strings.Repeat(strings.Repeat("n", 200)+"/", 19)
	for i := range 30_000 {
		_, untyped = splitUntyped([]item{{path: dir + fmt.Sprint(i)}}, untyped, &kept)
	}
	bytes := int64(0)
	for _, it := range untyped {
		bytes += bytesOf(it)
	}
	if bytes > maxUntyped || bytes != kept.Load() || len(untyped) == 0 {
		t.Errorf("%d items of %d bytes, %d counted", len(untyped), bytes, kept.Load())
	}
	typed, all := splitUntyped([]item{{path: strings.Repeat("x", maxProbedPath+1)}}, nil, new(atomic.Int64))
	if len(typed) != 1 || len(all) != 0 || !typed[0].mode.IsRegular() {
		t.Errorf("a path that is too long: %v, %v", typed, all)
	}
}

// One FSTAT that fails is not the server's way.
func TestOneFSTATThatFails(t *testing.T) {
	var l Limits
	l.fstatRefused(&wire.StatusError{Code: wire.CodeFailure})
	if l.noFstat.Load() {
		t.Error("one failure was taken for all")
	}
	for range 2 {
		l.fstatRefused(&wire.StatusError{Code: wire.CodeNoSuchFile})
	}
	if !l.noFstat.Load() {
		t.Error("three in a row were not")
	}
	var denied Limits
	if denied.fstatRefused(&wire.StatusError{Code: wire.CodePermissionDenied}); !denied.noFstat.Load() {
		t.Error("a refusal was not believed")
	}
}

// The second look at many directories takes them side by side.
func TestSecondLookAtManyDirectories(t *testing.T) {
	srv := faulty(t, sftptest.Faults{})
	var entries []filesync.Entry
	for d := range 4 {
		for i := range fewStats {
			put(t, srv.Endpoint, fmt.Sprintf("d%d/f%d", d, i), []byte("x"))
		}
	}
	s := openSource(t, byKey(srv.Endpoint))
	for d := range 4 {
		for _, e := range allOf(t, s, fmt.Sprintf("d%d", d)) {
			entries = append(entries, e)
		}
	}
	gone := slices.IndexFunc(entries, func(e filesync.Entry) bool { return e.Name == "d2/f7" })
	if err := os.Remove(filepath.Join(srv.Root, "d2/f7")); err != nil {
		t.Fatal(err)
	}
	stats, err := s.Relist(t.Context(), entries)
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range stats {
		switch {
		case i == gone && !errors.Is(k.Err, fs.ErrNotExist):
			t.Errorf("the removed one: %+v", k)
		case i != gone && (k.Err != nil || !k.Entry.SameVersion(entries[i])):
			t.Errorf("%s: %+v", entries[i].Name, k)
		}
	}
}

// Sizes that are too small do not make half a file: a file that goes on behind its end
// is not the file that was listed.
func TestSizesToldTooSmall(t *testing.T) {
	for name, size := range map[string]int64{"zero": 0, "less": 900} {
		for _, server := range []struct {
			name string
			path string
		}{{"small", ""}, {"as OpenSSH", "sftp"}} {
			t.Run(name+"/"+server.name, func(t *testing.T) {
				s, _, e, _ := listedAs(t, sftptest.Faults{Attributes: func(_ sftptest.Op, _ string, a *sftptest.Attributes) {
					if !a.Dir {
						a.Size = size
					}
				}})
				s.pool.first().wire().ordered = server.path != ""
				if _, err := s.Fetch(t.Context(), e, 0, &memory{}); !errors.Is(err, filesync.ErrChanged) {
					t.Errorf("%d bytes were listed: %v", e.Size, err)
				}
			})
		}
	}
	// The size is right, and it is the length of a READ.
	srv := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	s := openSource(t, byKey(srv.Endpoint))
	read := s.pool.first().wire().readSize()
	for _, n := range []int{0, 1, read - 1, read, read + 1, 2 * read, 9 << 20} {
		data := noise(n)
		e := put(t, srv.Endpoint, fmt.Sprint(n), data)
		var got memory
		if v, err := s.Fetch(t.Context(), e, 0, &got); err != nil || !v.SameVersion(e) || string(got.b) != string(data) {
			t.Errorf("%d bytes: %+v, %v", n, v, err)
		}
	}
}

// Files of /proc have no size, and something in them.
func TestFilesWithoutASize(t *testing.T) {
	srv := sftptest.StartOpenSSH(t, sftptest.OpenSSHOptions{})
	cfg := byKey(srv.Endpoint)
	cfg.Root = "/proc/sys/kernel/random"
	s := openSource(t, cfg)
	e := allOf(t, s, "")["boot_id"]
	if _, err := s.Fetch(t.Context(), e, 0, &memory{}); e.Name == "" || !errors.Is(err, filesync.ErrChanged) {
		t.Errorf("%+v: %v", e, err)
	}
}

// One kind of question that is never answered costs its own time, and not the file.
func TestLookThatIsNeverAnswered(t *testing.T) {
	for name, ops := range map[string][]sftptest.Op{
		"FSTAT": {sftptest.OpFstat}, "FSTAT and listings": {sftptest.OpFstat, sftptest.OpReaddir},
	} {
		t.Run(name, func(t *testing.T) {
			srv := faulty(t, sftptest.Faults{})
			data := noise(1000)
			e := put(t, srv.Endpoint, "f", data)
			cfg := byKey(srv.Endpoint)
			cfg.Timeouts.Operation, cfg.Timeouts.Keepalive = 8*time.Second, time.Second // which STAT answers
			s := openSource(t, cfg)
			srv.Set(func(f *sftptest.Faults) { f.Unanswered = ops })
			var got memory
			v, err := s.Fetch(soon(t), e, 0, &got)
			if err != nil || v != (filesync.Entry{}) && !v.SameVersion(e) || string(got.b) != string(data) {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
