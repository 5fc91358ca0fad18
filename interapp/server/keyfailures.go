package server

import (
	"net/netip"
	"sync/atomic"
	"time"

	"sftpconnector/space/authdelay"
)

// maxHeld is how many answers to wrong secret keys are held back at a time. Any more go
// out at once, to bound the memory that they take.
const maxHeld = 64

// keyFailures delays the answers to wrong secret keys.
type keyFailures struct {
	failures *authdelay.Failures
	held     atomic.Int64
}

// add counts a wrong key, and gives how long its answer is to be held back, and whether
// it is one of a flood.
func (k *keyFailures) add(address string) (hold time.Duration, flood bool) {
	at, _ := netip.ParseAddrPort(address) // all that are no IP count as one
	source := authdelay.PrefixOf(at.Addr())
	hold = k.failures.Add(source)
	return hold, k.failures.AtMaxDelay(source)
}

// hold waits for d, unless maxHeld answers wait already, or one of the ends comes
// first.
func (k *keyFailures) hold(d time.Duration, gone, ended <-chan struct{}) {
	defer k.held.Add(-1)
	if k.held.Add(1) > maxHeld || d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-ended:
	}
}
