package server

import (
	"net/netip"
	"sync/atomic"
	"time"

	"sftpconnector/space/authdelay"
)

// mostHeld is how many answers to wrong secret keys are held back at a time. One
// more is not worth its memory, and goes out at once.
const maxHeld = 64

// guesses slows who sends wrong secret keys.
type keyFailures struct {
	failures *authdelay.Failures
	held     atomic.Int64
}

// failed counts a wrong key in, and says how long its answer is to be held back,
// and whether it is one of a flood.
func (k *keyFailures) add(address string) (hold time.Duration, flood bool) {
	at, _ := netip.ParseAddrPort(address) // no IP: all such are one
	source := authdelay.PrefixOf(at.Addr())
	hold = k.failures.Add(source)
	return hold, k.failures.AtMaxDelay(source)
}

// hold waits, unless so many do already, or one of the ends comes first.
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
