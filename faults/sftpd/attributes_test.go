package sftpd_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sftpconnector/faults/sftpd"
)

// told are the attributes that a look at /in/a was told; -1 is not told.
type told struct{ size, mode, mtime int64 }

func attributes(p []byte) told {
	a, _ := parseAttributes(p)
	return a
}

// parseAttributes gives what follows them, too.
func parseAttributes(p []byte) (told, []byte) {
	a := told{-1, -1, -1}
	flags := binary.BigEndian.Uint32(p)
	p = p[4:]
	if flags&1 != 0 {
		a.size, p = int64(binary.BigEndian.Uint64(p)), p[8:]
	}
	p = p[8:] // owner and group
	if flags&4 != 0 {
		a.mode, p = int64(binary.BigEndian.Uint32(p)), p[4:]
	}
	if flags&8 != 0 {
		a.mtime, p = int64(binary.BigEndian.Uint32(p[4:])), p[8:]
	}
	return a, p
}

// looks tells what STAT, LSTAT, FSTAT and READDIR say of /in/a, in this order.
func looks(r *raw) [4]told {
	h := r.open("/in/a", 1)
	all := [4]told{
		attributes(r.answer(pktAttrs, pktStat, "/in/a").rest),
		attributes(r.answer(pktAttrs, pktLstat, "/in/a").rest),
		attributes(r.answer(pktAttrs, pktFstat, h).rest),
	}
	r.status(pktClose, h)
	dir := r.answer(pktHandle, pktOpendir, "/in").string()
	r.answer(pktName, pktReaddir, dir) // "." and ".."
	p := r.answer(pktName, pktReaddir, dir).rest
	r.status(pktClose, dir)
	count := int(p[3])
	p = p[4:]
	for range count {
		var texts [2]string // name and long name
		for i := range texts {
			n := binary.BigEndian.Uint32(p)
			texts[i], p = string(p[4:][:n]), p[4+n:]
		}
		var a told
		if a, p = parseAttributes(p); texts[0] == "a" {
			all[3] = a
		}
	}
	return all
}

func TestLiesAboutAttributes(t *testing.T) {
	t.Parallel()
	truth := told{10, 0o100644, 1_700_000_000}
	for name, tc := range map[string]struct {
		lie  sftpd.Lie
		want told
	}{
		"size":      {sftpd.Lie{SizeDelta: 5}, told{15, truth.mode, truth.mtime}},
		"no size":   {sftpd.Lie{NoSize: true}, told{-1, truth.mode, truth.mtime}},
		"below 0":   {sftpd.Lie{SizeDelta: -50}, told{0, truth.mode, truth.mtime}},
		"time":      {sftpd.Lie{TimeDelta: -time.Hour}, told{10, truth.mode, truth.mtime - 3600}},
		"no time":   {sftpd.Lie{NoTime: true}, told{10, truth.mode, -1}},
		"no type":   {sftpd.Lie{NoType: true}, told{10, -1, truth.mtime}},
		"directory": {sftpd.Lie{Mode: 0o040755}, told{10, 0o040755, truth.mtime}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, root := files(t)
			when := time.Unix(truth.mtime, 0)
			if err := os.Chtimes(filepath.Join(root, "in", "a"), when, when); err != nil {
				t.Fatal(err)
			}
			r := rawClient(t, s)
			for i, op := range []sftpd.Op{sftpd.Stat, sftpd.Lstat, sftpd.Fstat, sftpd.Readdir} {
				s.Inject(sftpd.Fault{Kind: sftpd.Attributes, Ops: []sftpd.Op{op}, Under: "/in/a", Lie: tc.lie})
				want := [4]told{truth, truth, truth, truth}
				want[i] = tc.want
				if got := looks(r); got != want {
					t.Errorf("%s lies: told %v, want %v", op, got, want)
				}
			}
			if got := s.Injected()[sftpd.Attributes]; got != 4 {
				t.Errorf("%d lies counted, want 4", got)
			}
		})
	}
}

func TestALieByChanceIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	s, _ := files(t)
	r := rawClient(t, s)
	s.Inject(sftpd.Fault{Kind: sftpd.Attributes, Lie: sftpd.Lie{SizeDelta: 1, Random: true}})
	seen := map[int64]int{}
	for range 100 {
		seen[attributes(r.answer(pktAttrs, pktStat, "/in/a").rest).size]++
	}
	if seen[10] < 20 || seen[11] < 20 || seen[10]+seen[11] != 100 {
		t.Errorf("sizes told: %v", seen)
	}
}
