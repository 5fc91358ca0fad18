package connector

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sftpconnector/interapp"
)

// Whatever the order in which files come, the first by their names are kept.
func TestFirstFiles(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching("[a-z]{1,8}"), 0, 60, rapid.ID).Draw(t, "names")
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		most := rapid.SampledFrom([]int{1, 2000, 1 << 20}).Draw(t, "bytes")
		first := firstFiles{limit: limit, most: most}
		held := 0
		for _, name := range names {
			first.add(interapp.File{Name: name, Reason: strings.Repeat("r", rapid.IntRange(0, 1000).Draw(t, "reason"))})
			held = max(held, len(first.files))
		}
		first.cut()
		var got []string
		bytes := 0
		for _, f := range first.files {
			got, bytes = append(got, f.Name), bytes+sizeOf(f)
		}
		sorted := slices.Sorted(slices.Values(names))
		if len(got) > limit || bytes > most && len(got) > 1 || held > 2*limit {
			t.Fatalf("%d files of %d bytes, %d at a time", len(got), bytes, held)
		}
		if !slices.Equal(got, sorted[:len(got)]) {
			t.Fatalf("%v are not the first of %v", got, sorted)
		}
		if first.more != (len(got) < len(names)) {
			t.Fatalf("more is %v with %d of %d", first.more, len(got), len(names))
		}
		if most == 1<<20 && len(got) != min(limit, len(names)) {
			t.Fatalf("%d of %d with a limit of %d", len(got), len(names), limit)
		}
	})
	// What comes behind one that was left out is left out, though there is room for it.
	gap := firstFiles{limit: 10, most: 2000}
	for name, reason := range map[string]int{"a": 1300, "c": 2400} {
		gap.files = append(gap.files, interapp.File{Name: name, Reason: strings.Repeat("r", reason)})
	}
	gap.cut()
	gap.add(interapp.File{Name: "d"})
	gap.add(interapp.File{Name: "Z"})
	if gap.cut(); len(gap.files) != 2 || gap.files[0].Name != "Z" || gap.files[1].Name != "a" || !gap.more {
		t.Errorf("%d files, the last is %s", len(gap.files), gap.files[len(gap.files)-1].Name)
	}
	huge := firstFiles{limit: 10, most: 100}
	huge.add(interapp.File{Name: strings.Repeat("x", 1000)})
	if huge.cut(); len(huge.files) != 1 || huge.more {
		t.Errorf("of one file %d are left", len(huge.files))
	}
}
