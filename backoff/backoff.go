// Package backoff says how long to wait before what failed is tried again. All
// policies of the product are in this file. It says nothing of how often a thing
// is tried: the caller counts, waits, and gives up.
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
	// File is a file that failed: automatic passes leave it alone so long. The same
	// goes for a size of file that found no room at a destination.
	File Policy = iota
	// Login is a login that was refused. Servers lock accounts and addresses, so
	// that it is not tried again soon.
	Login
	// Connection is a source or a destination that was lost during a pass.
	Connection
	// Import is the import of a Space whose destination fails.
	Import
	// Posting is a reply, or deliveries, that a receiver did not take.
	Posting
	// Unconfigured is a posting whose connector is not configured now.
	Unconfigured
	// Connector is a request to a connector that is busy in another process, or is
	// being configured anew.
	Connector
	// Ledger is a read or write of the ledger, whose disk may be full.
	Ledger
	// Handle is an OPEN that an SFTP server refused with nothing else open.
	Handle
	// Size is a look at a file whose size an SFTP server does not show yet.
	Size
	// Listen is a listener that fails, as for want of file descriptors.
	Listen
	// Sweep is the search for pending files at an SFTP server that could not list a
	// directory in several passes (store/sftp/sweep.go). It is tried for ever.
	Sweep
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
