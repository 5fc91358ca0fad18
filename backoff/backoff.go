// Package backoff is the retry policy: how long to wait before what failed is tried again.
// All policies of the product are in this file. How often a thing is tried is for the
// caller, who counts, waits, and gives up; each policy says where.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Policy is how the wait grows from one failure in a row to the next: it doubles,
// from a first to a longest.
type Policy int

// The policies, by what is tried again.
const (
	// File is a file that failed: automatic passes leave it alone so long. After
	// sync.MaxTries it is quarantined. The same goes for a size of file that found no room
	// at a destination, for ever.
	File Policy = iota
	// Login is a login that was refused (connector/hold.go). Servers lock accounts and
	// addresses, so that it is not tried again soon. It is tried for ever.
	Login
	// Connection is a source or a destination that was lost during a pass. maxReopens in
	// sync/transfer/source.go and maxTries in connector/run.go count. A directory is listed
	// again (sync/pass/list.go), and a copy begun anew (sync/transfer/copy.go), without a
	// wait of its own, and five times at most.
	Connection
	// Import is the import of a Space whose destination fails. It is tried for ever, as
	// automatic passes are.
	Import
	// Posting is a reply, or deliveries, that a receiver did not take. It is posted until it
	// is taken, or the receiver answers 410 Gone.
	Posting
	// Unconfigured is a posting whose connector is not configured now.
	Unconfigured
	// Connector is a request to a connector that is busy in another process, or is
	// being configured anew.
	Connector
	// Ledger is a read or write of the ledger, whose disk may be full.
	Ledger
	// Handle is an OPEN that an SFTP server refused with nothing else open
	// (maxExclusiveTries in store/sftp/openattempt.go).
	Handle
	// Size is a look at a file whose size an SFTP server does not show yet, for half of the
	// time that an answer may take.
	Size
	// Listen is a listener that fails, as for want of file descriptors.
	Listen
	// Sweep is the search for pending files at an SFTP server that could not list a
	// directory in several passes (store/sftp/sweep.go). It is tried for ever.
	Sweep
	// Spool is the spool of a Space that could not be opened.
	Spool
	// Guess is the answer to a wrong password or secret key, which is held back.
	Guess
)

// terms are a policy's first and longest wait. With jitter each wait is drawn from its
// upper half, so that what failed together does not come again together.
type terms struct {
	first, longest time.Duration
	jitter         bool
}

func (p Policy) terms() terms {
	return [...]terms{
		File:         {first: time.Minute, longest: time.Hour},
		Login:        {first: time.Minute, longest: time.Hour},
		Connection:   {first: time.Second, longest: 4 * time.Second},
		Import:       {first: time.Second, longest: time.Minute},
		Posting:      {first: time.Second, longest: 5 * time.Minute, jitter: true},
		Unconfigured: {first: 5 * time.Minute, longest: 5 * time.Minute},
		Connector:    {first: time.Second, longest: time.Second},
		Ledger:       {first: 5 * time.Second, longest: 5 * time.Second},
		Handle:       {first: 100 * time.Millisecond, longest: time.Second},
		Size:         {first: 50 * time.Millisecond, longest: 2 * time.Second},
		Listen:       {first: 5 * time.Millisecond, longest: time.Second},
		Sweep:        {first: time.Minute, longest: time.Hour},
		Spool:        {first: 10 * time.Second, longest: 10 * time.Second},
		Guess:        {first: 250 * time.Millisecond, longest: 4 * time.Second},
	}[p]
}

// Wait gives the time from the n-th failure in a row to the next try. An n below 1
// counts as 1.
func (p Policy) Wait(n int) time.Duration {
	t := p.terms()
	wait := t.first
	for ; n > 1 && wait < t.longest; n-- {
		wait *= 2
	}
	wait = min(wait, t.longest)
	if t.jitter {
		wait = wait/2 + rand.N(wait/2+1)
	}
	return wait
}

// Longest gives the longest wait.
func (p Policy) Longest() time.Duration { return p.terms().longest }
