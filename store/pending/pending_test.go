package pending_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"sftpconnector/store/pending"
)

func TestName(t *testing.T) {
	t.Parallel()
	owner := pending.NewOwner("0badcafe", "c", 1)
	id := owner.NewID()
	if len(id) != 26 || id == owner.NewID() {
		t.Fatalf("the id is %q", id)
	}
	if got, want := pending.Name("x.csv", id), ".x.csv."+id+".part"; got != want {
		t.Errorf("the name is %q, not %q", got, want)
	}
	seen := map[string]string{}
	long, wide := strings.Repeat("n", 254), strings.Repeat("\U0001f4c8", 63)
	for _, base := range []string{"x", ".", "x.csv", long + "a", long + "b", wide + "a", wide + "b", "a" + wide, "ab" + wide, "abc" + wide} {
		name := pending.Name(base, id)
		if other, taken := seen[name]; taken {
			t.Errorf("%q and %q have one name", base, other)
		}
		seen[name] = base
		if len(name) > 255 || !utf8.ValidString(name) || !strings.HasPrefix(name, ".") {
			t.Errorf("%q becomes %q: %d bytes", base, name, len(name))
		}
		if got, ok := pending.ID(name); !ok || got != id {
			t.Errorf("the id of %q is %q, %v", name, got, ok)
		}
	}
}

// A sweep takes files of its owner alone, and none of a later epoch.
func TestOwnerSweeps(t *testing.T) {
	t.Parallel()
	now := pending.NewOwner("0badcafe", "c", 0x1_ffff)
	for epoch, sweeps := range map[int64]bool{0: true, 1: true, 31: true, 32: true, 0xffff: true, 0x1_fffe: true, 0x1_ffff: true, 0x2_0000: false, 1<<30 - 1: false} {
		if id := pending.NewOwner("0badcafe", "c", epoch).NewID(); now.Sweeps(id) != sweeps {
			t.Errorf("%s of epoch %d: sweeps %v", id, epoch, !sweeps)
		}
	}
	// FNV-1a of "0badcafe/c" began the ids of programs before epochs.
	const older = "b850b289"
	if !now.Sweeps(older + "0123456789ab") {
		t.Error("an id of an earlier program stays")
	}
	for _, other := range []string{
		pending.NewOwner("0badcafe", "d", 0).NewID(), pending.NewOwner("0badcaff", "c", 0).NewID(), "b850b28a0123456789ab", older, "",
	} {
		if now.Sweeps(other) {
			t.Errorf("%q of another owner is swept", other)
		}
	}
	for _, id := range []string{older + "0123456789ab", now.NewID()} {
		if (pending.Owner{}).Sweeps(id) {
			t.Errorf("%q is swept by nobody", id)
		}
	}
}

// The names of the files of many connectors do not collide.
func TestOwnersOfManyConnectors(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for i := range 200_000 {
		name := pending.NewOwner("0badcafe", fmt.Sprint("connector-", i), 1).NewID()[:12]
		if other, taken := seen[name]; taken {
			t.Fatalf("connectors %d and %d have one name", other, i)
		}
		seen[name] = i
	}
}

func TestNamesOfOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ".", ".part", "x.csv", "x.part", ".x.part", ".x.csv.part", "x.csv.0123456789abcdef0123.part",
		".0123456789abcdef0123.part", ".x.csv.zzzzzzzzzzzzzzzzzzzz.part", ".x.csv.0123456789abcdef0123.part2",
		".x.csv-0123456789abcdef0123.part", ".x.csv.0123456789abcdef012.part",
		".x.csv.0123456789abcdefghijklmnow.part", ".x.csv.0123456789ABCDEFGHIJKLMNOP.part", ".0123456789abcdefghijklmnop.part",
	} {
		if id, ok := pending.ID(name); ok {
			t.Errorf("%q is taken for ours, with the id %q", name, id)
		}
	}
}
