package sftp

import (
	"testing"

	"pgregory.net/rapid"
)

// Ranges agree with a map of single bytes, whatever is added in whatever order.
func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ranges
		var there [64]bool
		for range rapid.IntRange(0, 30).Draw(t, "adds") {
			from := rapid.Int64Range(0, 63).Draw(t, "from")
			to := rapid.Int64Range(0, 64).Draw(t, "to")
			r.add(from, to)
			for i := from; i < to; i++ {
				there[i] = true
			}
			prefix, end := int64(0), int64(0)
			for prefix < 64 && there[prefix] {
				prefix++
			}
			for i, is := range there {
				if is {
					end = int64(i) + 1
				}
			}
			if r.prefix() != prefix || r.end() != end {
				t.Fatalf("prefix %d, end %d; want %d, %d: %v", r.prefix(), r.end(), prefix, end, r.spans)
			}
			for i, s := range r.spans {
				if s.from >= s.to || i > 0 && s.from <= r.spans[i-1].to {
					t.Fatalf("spans %v", r.spans)
				}
			}
		}
	})
}
