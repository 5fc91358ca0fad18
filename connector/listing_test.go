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
			first.add(interapp.File{Name: name})
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
	huge := firstFiles{limit: 10, most: 100}
	huge.add(interapp.File{Name: strings.Repeat("x", 1000)})
	if huge.cut(); len(huge.files) != 1 || huge.more {
		t.Errorf("of one file %d are left", len(huge.files))
	}
}
