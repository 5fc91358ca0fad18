package pending_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"sftpconnector/store/pending"
)

func TestName(t *testing.T) {
	t.Parallel()
	id := pending.NewID("0badcafe")
	if len(id) != 20 || !strings.HasPrefix(id, "0badcafe") || id == pending.NewID("0badcafe") {
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

func TestNamesOfOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"", ".", ".part", "x.csv", "x.part", ".x.part", ".x.csv.part", "x.csv.0123456789abcdef0123.part",
		".0123456789abcdef0123.part", ".x.csv.zzzzzzzzzzzzzzzzzzzz.part", ".x.csv.0123456789abcdef0123.part2",
		".x.csv-0123456789abcdef0123.part", ".x.csv.0123456789abcdef012.part",
	} {
		if id, ok := pending.ID(name); ok {
			t.Errorf("%q is taken for ours, with the id %q", name, id)
		}
	}
}
