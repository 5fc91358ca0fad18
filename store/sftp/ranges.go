package sftp

import "slices"

// ranges are the known byte ranges of a file. They may be added in any order and more
// than once.
type ranges struct{ spans []span } // in order, with gaps between them

// span is [from, to).
type span struct{ from, to int64 }

// add adds [from, to).
func (r *ranges) add(from, to int64) {
	if from >= to {
		return
	}
	// The spans that touch it are merged with it.
	first, _ := slices.BinarySearchFunc(r.spans, from, func(s span, from int64) int {
		if s.to < from {
			return -1
		}
		return 1
	})
	last := first
	for ; last < len(r.spans) && r.spans[last].from <= to; last++ {
		from, to = min(from, r.spans[last].from), max(to, r.spans[last].to)
	}
	r.spans = slices.Replace(r.spans, first, last, span{from, to})
}

// prefix is how many bytes from the start on are known without a gap.
func (r *ranges) prefix() int64 {
	if len(r.spans) == 0 || r.spans[0].from > 0 {
		return 0
	}
	return r.spans[0].to
}

// end is the end of the last known byte.
func (r *ranges) end() int64 {
	if len(r.spans) == 0 {
		return 0
	}
	return r.spans[len(r.spans)-1].to
}
