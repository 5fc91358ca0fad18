package sync

import "sync"

// Seen is a set of ledger rows that a pass came across. Rows are numbered in
// the order of their making, so a bit each takes little: a million rows are
// 128 KiB. It may be used concurrently.
type Seen struct {
	// Unlisted is where it did not look: what lies there was not seen, and may be
	// there all the same.
	Unlisted Unlisted

	mu       sync.Mutex
	rows     bitmap
	failures bitmap
}

// NewSeen returns an empty set.
func NewSeen() *Seen {
	return &Seen{rows: bitmap{}, failures: bitmap{}}
}

// Add adds the rows of a record.
func (s *Seen) Add(r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.ID != 0 {
		s.rows.set(r.ID)
	}
	if r.FailureID != 0 {
		s.failures.set(r.FailureID)
	}
}

// AddRows adds rows of deliveries.
func (s *Seen) AddRows(ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.rows.set(id)
	}
}

// AddFailures adds rows of failures.
func (s *Seen) AddFailures(ids []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.failures.set(id)
	}
}

// Row reports whether the row of a delivery is in the set.
func (s *Seen) Row(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.has(id)
}

// Failure reports whether the row of a failure is in the set.
func (s *Seen) Failure(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures.has(id)
}

// bitmap is a sparse set of numbers in blocks of 4096 bits.
type bitmap map[int64]*[64]uint64

func (b bitmap) set(n int64) {
	block := b[n>>12]
	if block == nil {
		block = new([64]uint64)
		b[n>>12] = block
	}
	block[n>>6&63] |= 1 << (n & 63)
}

func (b bitmap) has(n int64) bool {
	block := b[n>>12]
	return block != nil && block[n>>6&63]&(1<<(n&63)) != 0
}
